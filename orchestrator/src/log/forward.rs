//! Proposals made on a manager that does not lead: sent to the leader, answered from here.
//!
//! The leader answers with the position only. What came of the entry is taken from this manager's
//! own state machine when it reaches that position: it is the same everywhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::leadership::Leader;
use super::machine::Machine;
use super::time::{Instant, timeout};
use super::watch::{Changes, Event};
use super::{Done, Log, ProposeError, millis};
use crate::transport::CallError;

/// How the leader answers a proposal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Written { position: u64 },
    NotLeader,
    Refused { why: String },
    Unknown { waited_ms: u64 },
}

impl<A> From<Result<Done<A>, ProposeError>> for Answer {
    fn from(result: Result<Done<A>, ProposeError>) -> Self {
        match result {
            Ok(done) => Answer::Written { position: done.position },
            Err(ProposeError::NotLeader { .. }) => Answer::NotLeader,
            Err(ProposeError::Refused { why }) => Answer::Refused { why },
            Err(ProposeError::Unknown { waited_ms }) => Answer::Unknown { waited_ms },
        }
    }
}

impl<M: Machine> Log<M> {
    /// Puts `entry` into the log, through the leader if this manager is not it.
    ///
    /// Without a leader it waits for one, for [`Timing::propose`](super::Timing) in all.
    ///
    /// # Errors
    /// As for [`Log::propose`]; `NotLeader` means that no leader could be reached.
    pub async fn propose_anywhere(
        &self,
        entry: M::Entry,
    ) -> Result<Done<M::Applied>, ProposeError> {
        let started = Instant::now();
        let left = || self.0.timing.propose.saturating_sub(started.elapsed());
        let mut leadership = self.watch_leadership();
        loop {
            let now = leadership.borrow_and_update().clone();
            let attempt = match now.leader {
                Some(leader) if leader.node != self.0.node => {
                    self.propose_at(&leader, &entry, left()).await
                }
                Some(_) | None => self.propose(entry.clone()).await,
            };
            match attempt {
                Err(ProposeError::NotLeader { leader }) => {
                    // The leader as known here may lag behind, or be gone without a successor yet.
                    let wait = left().min(self.0.timing.election_max);
                    if wait.is_zero() {
                        return Err(ProposeError::NotLeader { leader });
                    }
                    // Either way the next round looks again.
                    let _ = timeout(wait, leadership.changed()).await;
                }
                decided => return decided,
            }
        }
    }

    async fn propose_at(
        &self,
        leader: &Leader,
        entry: &M::Entry,
        left: Duration,
    ) -> Result<Done<M::Applied>, ProposeError> {
        let started = Instant::now();
        let (_, changes) = self.watch();
        let unknown = || ProposeError::Unknown { waited_ms: millis(started.elapsed()) };
        let position = match self.0.peers.propose(leader, entry, left).await {
            Ok(Answer::Written { position }) => position,
            Ok(Answer::NotLeader) | Err(CallError::Unreachable { .. }) => {
                return Err(ProposeError::NotLeader { leader: Some(leader.clone()) });
            }
            Ok(Answer::Refused { why }) => return Err(ProposeError::Refused { why }),
            Ok(Answer::Unknown { .. })
            | Err(
                CallError::Broken { .. } | CallError::Timeout { .. } | CallError::Refused { .. },
            ) => return Err(unknown()),
        };
        let left = left.saturating_sub(started.elapsed());
        let applied = timeout(left, outcome_at(changes, position)).await.ok().flatten();
        applied.map(|applied| Done { position, applied }).ok_or_else(unknown)
    }
}

/// What this manager's own machine makes of the entry at `position`.
async fn outcome_at<M: Machine>(
    mut changes: Changes<M>,
    position: u64,
) -> Option<std::sync::Arc<M::Applied>> {
    loop {
        match changes.next().await? {
            Event::Update(update) => {
                if let Some((_, applied)) = update.applied.iter().find(|(at, _)| *at == position) {
                    return Some(applied.clone());
                }
                if update.after.position >= position {
                    return None;
                }
            }
            // The entry came in with a snapshot: it is in the state, its outcome is not known.
            Event::Reset(state) if state.position >= position => return None,
            Event::Reset(_) => {}
        }
    }
}
