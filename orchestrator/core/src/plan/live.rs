//! What only the leader's memory knows: who was heard of when, who has applied what.

use std::collections::BTreeMap;

use model::object::Revision;
use model::wire::session::PATIENCE;
use model::{Millis, NodeId, Timestamp};

/// For how long a slow node is remembered as slow.
const MEMORY: Millis = Millis::from_secs(600);

/// What only the leader's memory knows. Made anew with each leadership.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Since when this manager leads; no node counts as silent from before.
    pub(super) leader_since: Timestamp,
    pub(super) nodes: BTreeMap<NodeId, LiveNode>,
    /// Up to here every change has been projected and sent to whom it concerns.
    pub(super) projected: Revision,
}

/// One node with a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LiveNode {
    pub(super) heard_at: Timestamp,
    /// The longest silence that ended within a session, and when: the host was there, only slow.
    slowest: Millis,
    slowest_at: Timestamp,
    /// The revision of the last orders sent to it.
    pub(super) sent: Revision,
    /// The revision that it said it has applied.
    pub(super) applied: Revision,
}

impl Live {
    /// A leadership begins.
    #[must_use]
    pub fn since(now: Timestamp) -> Live {
        Live { leader_since: now, ..Live::default() }
    }

    /// The node's agent began a session. What silence came before it says nothing of the host's speed.
    pub fn began(&mut self, node: NodeId, now: Timestamp) {
        let known = self.nodes.entry(node).or_default();
        known.heard_at = known.heard_at.max(now);
    }

    /// Any other frame of the node's agent.
    pub fn heard(&mut self, node: NodeId, now: Timestamp) {
        let known = self.nodes.entry(node).or_default();
        if known.heard_at > Timestamp(0) {
            let silent = now.since(known.heard_at);
            if silent >= known.slowest || now.since(known.slowest_at) > MEMORY {
                (known.slowest, known.slowest_at) = (silent, now);
            }
        }
        known.heard_at = known.heard_at.max(now);
    }

    /// This manager itself did nothing for so long, until now. What agents said meanwhile waits to be
    /// read, so that time is no silence of theirs.
    pub fn slept(&mut self, lost: Millis, now: Timestamp) {
        self.leader_since = now.min(self.leader_since + lost);
        for known in self.nodes.values_mut().filter(|n| n.heard_at > Timestamp(0)) {
            known.heard_at = now.min(known.heard_at + lost);
        }
    }

    /// How long the node may be silent where `usual` is the limit: a host that was slow lately, and
    /// not lost, gets twice what it took, at most [`PATIENCE`] times the usual.
    #[must_use]
    pub fn patience(&self, node: NodeId, usual: Millis) -> Millis {
        let slowest = self.nodes.get(&node).map_or(Millis(0), |n| n.slowest);
        Millis((slowest.0 * 2).clamp(usual.0, usual.0 * u64::from(PATIENCE)))
    }

    /// The node's heartbeat said that names and routes there are of this revision.
    pub fn applied(&mut self, node: NodeId, applied: Revision) {
        let known = self.nodes.entry(node).or_default();
        known.applied = known.applied.max(applied);
    }

    /// Orders of this revision were sent to the node.
    pub fn sent(&mut self, node: NodeId, sent: Revision) {
        let known = self.nodes.entry(node).or_default();
        known.sent = known.sent.max(sent);
    }

    /// Every change up to this revision has been sent to every node that it concerns. A node that
    /// has applied all it was sent counts as having applied this.
    pub fn projected(&mut self, revision: Revision) {
        self.projected = self.projected.max(revision);
    }

    /// The node said that it leaves for good.
    pub fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Up to which revision the node's names and routes are current.
    #[must_use]
    pub fn acknowledged(&self, node: NodeId) -> Revision {
        self.nodes.get(&node).map_or(Revision(0), |n| {
            if n.applied >= n.sent { self.projected.max(n.applied) } else { n.applied }
        })
    }

    /// When this leader last heard of the node; the epoch if never.
    pub(super) fn heard_at(&self, node: NodeId) -> Timestamp {
        self.nodes.get(&node).map_or(Timestamp(0), |n| n.heard_at)
    }
}
