//! Who leads, as this manager sees it; and whether it may act as the leader itself.
//!
//! Elected is not enough: a new leader may act only when an entry of its own term has been applied
//! here (then nothing acknowledged before is missing), and only while a quorum has acknowledged it
//! lately. "Lately" is several leases: acting on a leadership that has just ended does no harm, for
//! writes and orders are fenced, while giving it up at every hiccup would. Reads look closer.

use model::NodeId;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;

use super::Raft;
use super::machine::Machine;
use super::open::Timing;
use super::time::sleep;
use super::types::TypeConfig;

/// A manager that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Raft's term; rises with every election. With the leader it makes a fence.
    pub term: u64,
    /// The last known leader of this term. May be gone.
    pub leader: Option<Leader>,
    /// Whether this manager may act as the leader: elected, up to date, and heard by a quorum.
    pub is_leading: bool,
}

type Metrics = openraft::RaftMetrics<TypeConfig>;

/// Follows Raft's metrics until it ends. Runs on Raft's threads.
pub(super) async fn follow<M: Machine>(
    raft: Raft<M>,
    timing: Timing,
    told: watch::Sender<Leadership>,
) {
    let mut metrics = raft.metrics();
    loop {
        let (now, running) = {
            let metrics = metrics.borrow_watched();
            (judge(&metrics, timing), metrics.running_state.is_ok())
        };
        let leading = now.is_leading;
        told.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tracing::info!(
                    term = now.term,
                    leader = now.leader.as_ref().map(|l| tracing::field::display(l.node)),
                    leading = now.is_leading,
                    "leadership",
                );
                *before = now;
            }
            changed
        });
        if !running {
            told.send_modify(|last| last.is_leading = false);
            return;
        }
        // A lease runs out silently, so a leader looks again even when nothing has changed.
        let pause = if leading { timing.heartbeat } else { timing.propose };
        tokio::select! {
            biased;
            changed = metrics.changed() => if changed.is_err() {
                told.send_modify(|last| last.is_leading = false);
                return;
            },
            () = sleep(pause) => {}
        }
    }
}

fn judge(metrics: &Metrics, timing: Timing) -> Leadership {
    let leader = metrics.current_leader.and_then(|id| {
        let address = metrics.membership_config.get_node(&id)?.addr.clone();
        Some(Leader { node: id.0, address })
    });
    let applied_own =
        metrics.last_applied.is_some_and(|applied| applied.leader_id.term == metrics.current_term);
    let alone = metrics.membership_config.voter_ids().all(|id| id == metrics.id);
    let heard =
        alone || metrics.last_quorum_acked.is_some_and(|at| at.elapsed() < timing.lease_wait());
    Leadership {
        term: metrics.current_term,
        leader,
        is_leading: metrics.state.is_leader() && applied_own && heard,
    }
}
