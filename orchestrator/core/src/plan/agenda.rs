//! What the planner has to look at: keys that changed, and keys whose time comes.

use std::collections::{BTreeMap, BTreeSet};

use model::{NodeId, ServiceId, Timestamp};

use crate::State;
use crate::command::Applied;

/// What the planner has to look at. In the leader's memory; a new leader starts with everything.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) nodes: BTreeSet<NodeId>,
    pub(super) timers: BTreeMap<Timestamp, BTreeSet<ServiceId>>,
}

impl Agenda {
    /// All there is: at the start of a leadership, after an unknown outcome, and now and then as a
    /// safety net.
    pub fn everything(&mut self, state: &State) {
        self.services.extend(state.services().map(|s| s.id));
        self.nodes.extend(state.nodes().map(|n| n.id));
    }

    /// What an applied entry touches. `state` is the one after it.
    pub fn note(&mut self, state: &State, applied: &Applied) {
        let _ = applied;
        self.everything(state);
    }

    /// A node was heard of for the first time in a while, or acknowledged a newer revision.
    pub fn note_node(&mut self, node: NodeId) {
        self.nodes.insert(node);
    }

    /// Nothing is due at `now`.
    #[must_use]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.services.is_empty()
            && self.nodes.is_empty()
            && self.timers.keys().next().is_none_or(|at| *at > now)
    }
}
