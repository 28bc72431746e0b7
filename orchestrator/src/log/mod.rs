//! The replicated log: the only way to change the cluster's state.
//!
//! [`Log`] proposes entries, reads the state they lead to, tells who leads, and changes who votes.
//! It is Raft by openraft, with our storage ([`store`], [`snapshot`]) and our transport ([`net`],
//! [`routes`]); no type of openraft leaves this module. What the entries mean is a [`Machine`].
//!
//! Raft runs on threads of its own, so that load elsewhere in this program does not delay a
//! heartbeat. Everything on disk is sealed ([`seal`]).
//!
//! Read next: [`machine`] for how entries become state, [`leadership`] for who may decide.

mod codec;
mod forward;
mod leadership;
mod machine;
mod members;
mod net;
mod newcomer;
mod open;
mod routes;
mod runtime;
pub(crate) mod seal;
mod snapshot;
mod state;
mod store;
mod threads;
mod time;
mod types;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use model::{NodeId, Timestamp};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{
    ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
};
use telemetry::Span;

pub use self::leadership::{Leader, Leadership};
pub use self::machine::{Machine, Published, Update};
pub use self::members::{Member, MembershipError, PROMOTE_WITHIN, Standing};
pub use self::open::{Config, OpenError, Timing};
pub use self::seal::{SealError, SecretKey};
pub use self::watch::{Changes, Event};

use self::machine::{Driver, Publisher};
use self::time::{Instant, sleep, timeout};
use self::types::{Reply, Text, TypeConfig};
use crate::metrics;

/// Largest entry, bytes of JSON. Secrets and configs are at most 500 KB each; a plan is cut below.
pub const MAX_ENTRY: usize = 8 << 20;

type Raft<M> = openraft::Raft<TypeConfig, Driver<M>>;

/// This manager's part of the replicated log. Clones share it.
pub struct Log<M: Machine>(Arc<Inner<M>>);

struct Inner<M: Machine> {
    raft: Raft<M>,
    node: NodeId,
    timing: Timing,
    publisher: Arc<Publisher<M>>,
    leadership: tokio::sync::watch::Receiver<Leadership>,
    /// When a leader was last heard, or this manager started.
    heard: Mutex<Instant>,
    /// The newest term of which this manager, as its leader, asked another to take over.
    handed_over: AtomicU64,
    peers: net::Peers,
    store: store::Store,
    snapshots: Arc<snapshot::Snapshots>,
    newcomer: Option<newcomer::Newcomer>,
    threads: threads::Threads,
}

/// An entry that took effect.
#[derive(Debug)]
pub struct Done<A> {
    /// Its index in the log.
    pub position: u64,
    /// What the machine made of it. May say that the machine refused it.
    pub applied: Arc<A>,
}

/// How far a manager's log has come, in positions; 0 before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The last entry that is here.
    pub last: u64,
    /// The last entry that is in the state.
    pub applied: u64,
    /// The last entry that the newest snapshot has.
    pub snapshot: u64,
}

/// Why a proposal did not take effect, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// Nothing written. Ask the leader named here; when none is, wait for one.
    #[error("this manager does not lead the cluster")]
    NotLeader { leader: Option<Leader> },
    /// Nothing written, and trying again is of no use.
    #[error("the change is refused: {why}")]
    Refused { why: String },
    /// Perhaps written. Read before any retry.
    #[error("no answer from the log after {waited_ms} ms; the change may have been made")]
    Unknown { waited_ms: u64 },
}

/// Why the state cannot be read as of now. Trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("this manager neither leads the cluster nor reaches the manager that does")]
    NoLeader { leader: Option<Leader> },
    #[error("this manager's log has stopped")]
    Stopped,
}

impl<M: Machine> Clone for Log<M> {
    fn clone(&self) -> Self {
        Log(self.0.clone())
    }
}

impl<M: Machine> Log<M> {
    /// This manager's node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// The times that this log was opened with.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.0.timing
    }

    /// Puts `entry` into the log, if this manager leads, and answers what came of it.
    ///
    /// Waits at most [`Timing::propose`]. A lease that has run out for a moment (a starved machine)
    /// is waited for, not reported.
    ///
    /// # Errors
    /// See [`ProposeError`]: each says whether anything was written.
    pub async fn propose(&self, entry: M::Entry) -> Result<Done<M::Applied>, ProposeError> {
        let began = Instant::now();
        let mut spans = Span::of_current("orchestrator", "raft write", telemetry::Kind::Internal);
        let outcome = self.write(entry).await;
        metrics::proposed(began.elapsed(), &outcome);
        for span in &mut spans {
            match &outcome {
                Ok(done) => span.set("swarm.log.position", done.position),
                Err(error) => span.fail(error.to_string()),
            }
        }
        outcome
    }

    async fn write(&self, entry: M::Entry) -> Result<Done<M::Applied>, ProposeError> {
        let text = serde_json::to_vec(&entry)
            .map_err(|e| ProposeError::Refused { why: format!("it has no text form: {e}") })?;
        if text.len() > MAX_ENTRY {
            let why = format!("{} bytes are more than an entry may have ({MAX_ENTRY})", text.len());
            return Err(ProposeError::Refused { why });
        }
        let text = Text(Bytes::from(text));
        let started = Instant::now();
        loop {
            let left = self.0.timing.propose.saturating_sub(started.elapsed());
            let write = timeout(left, self.0.raft.client_write(text.clone())).await;
            match write {
                Ok(Ok(written)) => return done(written.log_id.index, written.data),
                Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                    if forward.reason == ForwardReason::LeaseExpired
                        && started.elapsed() < self.0.timing.lease_wait()
                    {
                        sleep(self.0.timing.heartbeat / 2).await;
                        continue;
                    }
                    return Err(ProposeError::NotLeader { leader: self.leader_of(forward) });
                }
                Ok(Err(RaftError::APIError(
                    ClientWriteError::ChangeMembershipError(_)
                    | ClientWriteError::PreconditionFailed(_),
                ))) => {
                    let why = "the log took it for a change of members".to_owned();
                    return Err(ProposeError::Refused { why });
                }
                Ok(Err(
                    RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))
                    | RaftError::Fatal(_),
                ))
                | Err(_) => {
                    let waited_ms = millis(started.elapsed());
                    return Err(ProposeError::Unknown { waited_ms });
                }
            }
        }
    }

    /// The state, containing everything that was acknowledged anywhere before this call.
    ///
    /// On the leader this costs nothing while its lease holds; on a follower one question to the
    /// leader and the wait until its entries have arrived here.
    ///
    /// # Errors
    /// When no leader can be reached within the lease's time.
    pub async fn read(&self) -> Result<Arc<Published<M>>, ReadError> {
        let published = self.0.publisher.current.load_full();
        if self.leads_for_sure() {
            return Ok(published);
        }
        let position = self.read_position().await?;
        let mut reached = self.0.publisher.position.subscribe();
        let wait = reached.wait_for(|at| *at >= position);
        match timeout(self.0.timing.propose, wait).await {
            Ok(Ok(_)) => Ok(self.0.publisher.current.load_full()),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::NoLeader { leader: self.leadership().leader }),
        }
    }

    /// The state as far as this manager knows it. May be old; never goes back.
    #[must_use]
    pub fn state(&self) -> Arc<Published<M>> {
        self.0.publisher.current.load_full()
    }

    /// Every change from now on, and the state from which they count.
    #[must_use]
    pub fn watch(&self) -> (Arc<Published<M>>, Changes<M>) {
        Changes::begin(self.0.publisher.clone())
    }

    /// How far this manager's log has come.
    #[must_use]
    pub fn extent(&self) -> Extent {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        Extent {
            last: metrics.last_log_index.unwrap_or(0),
            applied: metrics.last_applied.map_or(0, |id| id.index),
            snapshot: metrics.snapshot.map_or(0, |id| id.index),
        }
    }

    /// Who leads, now.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.0.leadership.borrow().clone()
    }

    /// Whether the leader that this manager knows has been heard lately; also true while this one
    /// leads. One that fell silent is kept as the last known until another is elected, which
    /// without a quorum never happens.
    #[must_use]
    pub fn hears_leader(&self) -> bool {
        let heard = *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.leadership().is_leading || heard.elapsed() < self.0.timing.lease_wait()
    }

    fn note_heard(&self) {
        *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Who leads, to be waited on.
    #[must_use]
    pub fn watch_leadership(&self) -> tokio::sync::watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Ends this manager's part: hands the leadership over if it leads and another can, then stops.
    ///
    /// Everything acknowledged is on disk before this is called, so it is a courtesy to the others,
    /// not a duty. Takes at most a few election times.
    pub async fn stop(&self) {
        if self.leadership().is_leading {
            let others = self
                .members()
                .into_iter()
                .filter(|m| m.standing == Standing::Voter && m.node != self.0.node);
            // The one that is furthest needs the least time to take over.
            if let Some(next) = others.max_by_key(|m| m.matched)
                && let Err(error) = self.transfer_leader(next.node).await
            {
                tracing::warn!(%error, "the leadership could not be handed over; others will elect");
            }
        }
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop in order");
        }
        self.0.store.clone().close().await;
        let snapshots = self.0.snapshots.clone();
        if time::blocking(move || snapshots.close()).await.is_err() {
            tracing::warn!("the folder of snapshots was not closed in order");
        }
        self.abandon();
    }

    /// Ends this manager's part at once, as a power failure would: nothing is handed over, nothing
    /// more is sent. For tests and benchmarks.
    pub fn abandon(&self) {
        self.0.threads.end();
    }

    /// Waits until the log has ended: stopped, or because its disk failed.
    pub async fn ended(&self) {
        let mut leadership = self.watch_leadership();
        while leadership.changed().await.is_ok() {}
    }

    /// The routes that other managers call; to be reachable for managers only.
    pub fn routes(&self) -> axum::Router {
        routes::routes(self.clone())
    }

    /// The threads on which Raft runs, for serving what other managers' Raft sends.
    ///
    /// `None` once the log has stopped.
    #[must_use]
    pub fn runtime(&self) -> Option<tokio::runtime::Handle> {
        self.0.threads.handle()
    }

    /// Whether this manager leads and no other can, at this moment.
    ///
    /// True while a quorum acknowledged something within the lease, and an entry of this term has
    /// been applied (so nothing acknowledged in an earlier term is missing here). The state must be
    /// taken before this is asked: then a pause of this process between the two does no harm.
    fn leads_for_sure(&self) -> bool {
        if !self.0.leadership.borrow().is_leading {
            return false;
        }
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.membership_config.voter_ids().all(|id| id.0 == self.0.node) {
            return metrics.state.is_leader();
        }
        // Whoever was asked to take over may be elected within the lease.
        metrics.state.is_leader()
            && metrics.current_term > self.0.handed_over.load(Ordering::Relaxed)
            && metrics.last_quorum_acked.is_some_and(|at| at.elapsed() < self.0.timing.read_lease())
    }

    /// The position that a read must have reached, from the leader.
    async fn read_position(&self) -> Result<u64, ReadError> {
        match self.own_read_position().await {
            Err(ReadError::NoLeader { leader: Some(leader) }) if leader.node != self.0.node => {
                let asked = self.0.peers.read_position(&leader).await;
                asked.ok_or(ReadError::NoLeader { leader: Some(leader) })
            }
            answer => answer,
        }
    }

    /// The position that a read must have reached, confirmed by a quorum that this manager leads.
    async fn own_read_position(&self) -> Result<u64, ReadError> {
        let read = self.0.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        match timeout(self.0.timing.lease_wait(), read).await {
            Ok(Ok(read)) => Ok(read.read_log_id().log_id().index),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ReadError::NoLeader { leader: self.leader_of(forward) })
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
                Err(ReadError::NoLeader { leader: None })
            }
            Ok(Err(RaftError::Fatal(_))) => Err(ReadError::Stopped),
        }
    }

    fn leader_of(&self, forward: ForwardToLeader<TypeConfig>) -> Option<Leader> {
        let node = forward.leader_id?.0;
        let address = forward.leader_node?.addr;
        Some(Leader { node, address })
    }
}

fn done<A: Send + Sync + 'static>(position: u64, reply: Reply) -> Result<Done<A>, ProposeError> {
    let applied = reply.0.and_then(|any| any.downcast::<A>().ok());
    // An entry that was replaced by a snapshot is in the state, but its outcome is not known.
    applied.map(|applied| Done { position, applied }).ok_or(ProposeError::Unknown { waited_ms: 0 })
}

/// This host's clock.
pub(crate) fn clock() -> Timestamp {
    // A clock before 1970 is as good as none; the state's own clock never goes back.
    Timestamp(std::time::UNIX_EPOCH.elapsed().map_or(0, millis))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
