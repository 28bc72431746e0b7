//! Which change Raft's membership needs next, so that it follows the nodes' roles.

use std::collections::BTreeSet;

use model::NodeId;

use crate::State;

/// Raft's membership as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftMembers {
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    /// Learners whose log is close enough to the leader's to vote.
    pub caught_up: BTreeSet<NodeId>,
    pub leader: NodeId,
}

/// One change of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Begin to replicate to it, at `host:port`.
    AddLearner { node: NodeId, address: String },
    /// Let it vote.
    Promote { node: NodeId },
    /// Take its vote. If it is the leader, leadership is handed over first.
    Demote { node: NodeId },
    /// Stop replicating to it.
    Remove { node: NodeId },
}

/// The next change, or none when membership is as the roles say or a change would be unsafe. Ask
/// again when it has been made: one at a time keeps every two majorities overlapping.
#[must_use]
pub fn membership(state: &State, members: &RaftMembers) -> Option<MembershipChange> {
    let _ = (state, members);
    None
}
