//! Who takes part: learners, voters, and the verbs that move a manager between them.
//!
//! The verbs may be repeated: what is already so is not done again. They say what they could not
//! do; when to try again, and what for, is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::NodeId;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, RaftError};
use openraft::{BasicNode, ChangeMembers};

use super::time::{Instant, sleep, timeout};
use super::types::{TypeConfig, Voter};
use super::{Leader, Log, Machine};

/// How far a learner may be behind and still be made a voter, in entries. A voter that is far
/// behind counts for the quorum but cannot help it.
pub const PROMOTE_WITHIN: u64 = 512;

/// How long a change of members may take.
const CHANGE: Duration = Duration::from_secs(10);

/// One manager in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    pub standing: Standing,
    /// The last entry that it is known to have; only the leader knows of others.
    pub matched: Option<u64>,
    /// How long ago it last answered the leader; only the leader knows of others.
    pub silent_for: Option<Duration>,
}

/// What a member's word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Counts for quorums.
    Voter,
    /// Gets every entry, counts for nothing.
    Learner,
}

/// Why the members are not as asked.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Nothing changed. Ask the leader.
    #[error("this manager does not lead the cluster")]
    NotLeader { leader: Option<Leader> },
    /// Nothing changed. Try again when it has caught up.
    #[error("manager {node} is {entries} entries behind")]
    Behind { node: NodeId, entries: u64 },
    /// Nothing changed. Try again soon.
    #[error("manager {node} has not caught up for the first time, or cannot be asked")]
    Newcomer { node: NodeId },
    /// Nothing changed. Try again soon.
    #[error("another change of members is under way")]
    InProgress,
    /// Nothing changed, and trying again is of no use.
    #[error("{why}")]
    Refused { why: String },
    /// Perhaps changed, perhaps half of it. Look at the members and ask again.
    #[error("no answer from the log; the members may have changed")]
    Unknown,
}

impl<M: Machine> Log<M> {
    /// The managers in the log, by the newest membership that this manager knows.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: BTreeSet<Voter> = metrics.membership_config.voter_ids().collect();
        let matched = |id: &Voter| {
            if id.0 == self.0.node {
                return metrics.last_log_index;
            }
            let replication = metrics.replication.as_ref()?;
            replication.get(id)?.as_ref().map(|log_id| log_id.index)
        };
        let silent_for = |id: &Voter| {
            if id.0 == self.0.node {
                return Some(Duration::ZERO);
            }
            metrics.heartbeat.as_ref()?.get(id)?.as_ref().map(|at| at.elapsed())
        };
        let member = |(id, node): (&Voter, &BasicNode)| Member {
            node: id.0,
            address: node.addr.clone(),
            standing: if voters.contains(id) { Standing::Voter } else { Standing::Learner },
            matched: matched(id),
            silent_for: silent_for(id),
        };
        metrics.membership_config.nodes().map(member).collect()
    }

    /// Makes `node` get every entry, without a vote. It must run and answer at `address`.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, node: NodeId, address: &str) -> Result<(), MembershipError> {
        if self.member(node).is_some() {
            return Ok(());
        }
        let nodes = BTreeMap::from([(Voter(node), BasicNode::new(address))]);
        self.change(ChangeMembers::AddNodes(nodes), true).await
    }

    /// Makes a learner a voter, if it has nearly caught up.
    ///
    /// # Errors
    /// [`MembershipError::Behind`] or [`MembershipError::Newcomer`] until it has.
    pub async fn promote(&self, node: NodeId) -> Result<(), MembershipError> {
        let refused = |why: String| Err(MembershipError::Refused { why });
        let Some(member) = self.member(node) else {
            return refused(format!("manager {node} is not in the log"));
        };
        if member.standing == Standing::Voter {
            return Ok(());
        }
        let last = self.0.raft.metrics().borrow_watched().last_log_index.unwrap_or(0);
        let entries = last.saturating_sub(member.matched.unwrap_or(0));
        if member.matched.is_none() || entries > PROMOTE_WITHIN {
            return Err(MembershipError::Behind { node, entries });
        }
        if !self.0.peers.is_admitted(node, &member.address).await {
            return Err(MembershipError::Newcomer { node });
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([Voter(node)])), true).await
    }

    /// Takes a voter's vote; it stays a learner. A leader that loses its own hands over first.
    ///
    /// # Errors
    /// The last voter cannot be demoted.
    pub async fn demote(&self, node: NodeId) -> Result<(), MembershipError> {
        match self.member(node) {
            None => return Ok(()),
            Some(member) if member.standing == Standing::Learner => return Ok(()),
            Some(_) => self.not_the_last(node)?,
        }
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([Voter(node)])), true).await
    }

    /// Takes a manager out of the log, whatever it was.
    ///
    /// Its id must never come back with an empty log: a manager that is asked back gets a new one.
    ///
    /// # Errors
    /// The last voter cannot be removed.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        let ids = BTreeSet::from([Voter(node)]);
        match self.member(node).map(|m| m.standing) {
            None => Ok(()),
            Some(Standing::Learner) => self.change(ChangeMembers::RemoveNodes(ids), false).await,
            Some(Standing::Voter) => {
                self.not_the_last(node)?;
                self.change(ChangeMembers::RemoveVoters(ids), false).await
            }
        }
    }

    /// Hands the leadership to `node`, and waits until somebody else leads.
    ///
    /// # Errors
    /// [`MembershipError::Unknown`] when nobody does after a few election times.
    pub async fn transfer_leader(&self, node: NodeId) -> Result<(), MembershipError> {
        let before = self.leadership();
        if before.leader.as_ref().is_none_or(|l| l.node != self.0.node) {
            return Err(MembershipError::NotLeader { leader: before.leader });
        }
        if node == self.0.node {
            return Ok(());
        }
        self.0.handed_over.fetch_max(before.term, Ordering::Relaxed);
        let asked = self.0.raft.trigger().transfer_leader(Voter(node)).await;
        asked.map_err(|_| MembershipError::Unknown)?;
        let mut leadership = self.watch_leadership();
        let other =
            leadership.wait_for(|now| now.leader.as_ref().is_some_and(|l| l.node != self.0.node));
        match timeout(self.0.timing.election_max * 4, other).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(MembershipError::Unknown),
        }
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.members().into_iter().find(|m| m.node == node)
    }

    fn not_the_last(&self, node: NodeId) -> Result<(), MembershipError> {
        let others = self.members().iter().any(|m| m.standing == Standing::Voter && m.node != node);
        let why = format!("manager {node} is the last one with a vote");
        if others { Ok(()) } else { Err(MembershipError::Refused { why }) }
    }

    /// Makes a change of members; `stay` says whether voters who lose their vote stay as learners.
    async fn change(
        &self,
        change: ChangeMembers<Voter, BasicNode>,
        stay: bool,
    ) -> Result<(), MembershipError> {
        let started = Instant::now();
        loop {
            let done = self.0.raft.change_membership(change.clone(), stay);
            // Joint consensus is two entries, and each may wait for a peer that is coming up.
            return match timeout(CHANGE, done).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))))
                    if forward.reason == ForwardReason::LeaseExpired
                        && started.elapsed() < self.0.timing.lease_wait() =>
                {
                    sleep(self.0.timing.heartbeat / 2).await;
                    continue;
                }
                Ok(Err(RaftError::APIError(error))) => Err(self.explain(error)),
                Ok(Err(RaftError::Fatal(_))) | Err(_) => Err(MembershipError::Unknown),
            };
        }
    }

    fn explain(&self, error: ClientWriteError<TypeConfig>) -> MembershipError {
        match error {
            ClientWriteError::ForwardToLeader(forward) => {
                MembershipError::NotLeader { leader: self.leader_of(forward) }
            }
            ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_)
                | ChangeMembershipError::UncommittedLeaderLog(_),
            )
            | ClientWriteError::PreconditionFailed(_) => MembershipError::InProgress,
            ClientWriteError::ChangeMembershipError(other) => {
                MembershipError::Refused { why: other.to_string() }
            }
            ClientWriteError::LogEntryDiscarded(_) => MembershipError::Unknown,
        }
    }
}
