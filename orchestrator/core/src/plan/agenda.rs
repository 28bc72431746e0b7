//! What the planner has to look at: keys that changed, and keys whose time comes.

use std::collections::{BTreeMap, BTreeSet};

use model::object::{NodeState, Service};
use model::spec::ModeKind;
use model::{NodeId, ServiceId, Timestamp};

use crate::State;
use crate::command::{Applied, ObjectRef};

/// What the planner has to look at. In the leader's memory; a new leader starts with everything.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) nodes: BTreeSet<NodeId>,
    /// Room may have become free: look at every service that waits for some.
    room: bool,
    /// When each service wants to be looked at again; the earliest wish counts.
    wishes: BTreeMap<ServiceId, Timestamp>,
    timers: BTreeSet<(Timestamp, ServiceId)>,
    /// When the next node may become silent.
    pub(super) nodes_at: Option<Timestamp>,
    /// A task began to drain, or a node acknowledged something while one does.
    pub(super) drain: bool,
    /// A node or the cluster changed: the rotation of the authority may have come to its end.
    pub(super) trust: bool,
    /// When the next draining task may stop although not every node has said so.
    pub(super) drain_at: Option<Timestamp>,
}

impl Agenda {
    /// All there is: at the start of a leadership, after an unknown outcome, and now and then as a
    /// safety net.
    pub fn everything(&mut self, state: &State) {
        self.services.extend(state.services().map(|s| s.id));
        self.nodes.extend(state.nodes().map(|n| n.id));
        self.room = true;
        self.nodes_at = None;
        self.drain = true;
        self.trust = true;
    }

    /// What an applied entry touches. `state` is the one after it.
    pub fn note(&mut self, state: &State, applied: &Applied) {
        for change in &applied.changes {
            match change.object {
                ObjectRef::Task(id) => {
                    let Some(place) = &change.task else { continue };
                    self.services.insert(place.service);
                    if let Some(service) = state.service(place.service) {
                        self.services.extend(state.dependents(&service.spec.name));
                    }
                    let ended = state.task(id).is_none_or(|t| t.status.state.is_terminal());
                    self.room |= ended;
                    self.drain |= state.task(id).is_some_and(|t| t.drain.is_some());
                }
                ObjectRef::Service(id) => {
                    self.services.insert(id);
                    self.services.extend(state.dependents(&change.name));
                    // With another spec it may have given an address back. (A step of its rollout
                    // writes no version.)
                    let written = |s: &Service| s.meta.version.0 == applied.revision.0;
                    self.room |= state.service(id).is_none_or(|s| written(s));
                }
                ObjectRef::Node(id) => self.note_changed_node(state, id),
                ObjectRef::Network(_) => self.room = true,
                ObjectRef::Cluster => self.trust = true,
                ObjectRef::Secret(_) | ObjectRef::Config(_) => {}
            }
        }
    }

    fn note_changed_node(&mut self, state: &State, id: NodeId) {
        self.nodes.insert(id);
        self.drain = true;
        self.trust = true;
        self.room = true;
        self.services.extend(state.tasks_on(id).map(|t| t.service));
        let everywhere = |s: &Service| match s.spec.mode.kind() {
            ModeKind::Global | ModeKind::GlobalJob => true,
            ModeKind::Replicated { .. } | ModeKind::ReplicatedJob { .. } => false,
        };
        self.services.extend(state.services().filter(|s| everywhere(s)).map(|s| s.id));
    }

    /// A frame of a node's agent: it may be up again, or have acknowledged what a stop waits for.
    /// Call [`super::Live::heard`] and the like first. Costs nothing when there is no news.
    pub fn note_heartbeat(&mut self, state: &State, node: NodeId) {
        if state.node(node).is_some_and(|n| n.status.state != NodeState::Ready) {
            self.nodes.insert(node);
        }
        self.drain |= state.draining().next().is_some();
    }

    /// Nothing is due at `now`.
    #[must_use]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.services.is_empty()
            && self.nodes.is_empty()
            && !self.room
            && !self.drain
            && !self.trust
            && self.next().is_none_or(|at| at > now)
    }

    /// The service wants to be looked at again then.
    pub(super) fn wake(&mut self, service: ServiceId, at: Timestamp) {
        if let Some(old) = self.wishes.insert(service, at) {
            self.timers.remove(&(old, service));
        }
        self.timers.insert((at, service));
    }

    /// Moves what is due by time or by room to the services to look at.
    pub(super) fn take_due(&mut self, state: &State, now: Timestamp) {
        while let Some((at, service)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            self.wishes.remove(&service);
            self.services.insert(service);
        }
        if std::mem::take(&mut self.room) {
            self.services.extend(state.services_waiting_for_room());
        }
    }

    /// The earliest time at which something is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.nodes_at, self.drain_at].into_iter().flatten().min()
    }
}
