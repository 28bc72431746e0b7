//! What a leader remembers during one leadership, and what it makes of what comes in.
//!
//! No waiting and no I/O here but the outboxes of sessions, which never block: events and applied
//! entries in, batches to propose out. All judgement is the core's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use model::object::{NodeState, Revision};
use model::wire::session::{FromManager, TaskReport};
use model::{Millis, NodeId, TaskId, Timestamp};
use orchestrator_core::State;
use orchestrator_core::command::{Batch, Command};
use orchestrator_core::plan::{Agenda, Limits, Live, heartbeat, plan, silence_limit};
use orchestrator_core::project::Projector;
use telemetry::Context;

use crate::log::Update;
use crate::metrics;
use crate::sessions::{Event, Outbox, Settings, What};
use crate::traces;

/// Reports in one entry, about: keeps an entry small enough to be replicated at once.
const REPORTS: usize = 2_000;

/// One leadership's memory.
pub(super) struct Desk {
    state: Arc<State>,
    live: Live,
    agenda: Agenda,
    projector: Projector,
    sessions: BTreeMap<NodeId, Session>,
    /// Commands that events ask for (a host described itself, a node leaves).
    commands: Vec<Command>,
    /// Nodes that have reports to be written.
    reporting: BTreeMap<NodeId, Reports>,
    /// What is on its way to the log: of which session, up to which number.
    in_flight: Vec<(NodeId, u64, u64)>,
    wake_at: Option<Timestamp>,
}

/// A node's newest session.
struct Session {
    id: u64,
    outbox: Outbox,
}

/// Reports of one node: the latest of each task.
struct Reports {
    session: u64,
    seq: u64,
    tasks: BTreeMap<TaskId, TaskReport>,
}

impl Desk {
    pub(super) fn new(term: u64, state: Arc<State>, now: Timestamp) -> Desk {
        let mut agenda = Agenda::default();
        agenda.everything(&state);
        Desk {
            live: Live::since(now),
            agenda,
            projector: Projector::new(term),
            state,
            sessions: BTreeMap::new(),
            commands: Vec::new(),
            reporting: BTreeMap::new(),
            in_flight: Vec::new(),
            wake_at: None,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// When the planner wants to be asked again.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.wake_at
    }

    /// What agents are told about time, from the cluster's spec.
    pub(super) fn settings(&self) -> Settings {
        Settings { heartbeat: heartbeat(&self.state), silence: silence_limit(&self.state) }
    }

    /// The loop stood still for so long, until now.
    pub(super) fn slept(&mut self, lost: Millis, now: Timestamp) {
        if lost > Millis(0) {
            self.live.slept(lost, now);
        }
    }

    pub(super) fn look_at_everything(&mut self) {
        self.agenda.everything(&self.state);
    }

    /// The state did not come from the one before by entries: begin again with it.
    pub(super) fn reset(&mut self, state: Arc<State>) {
        self.state = state;
        self.look_at_everything();
        let nodes: Vec<NodeId> = self.sessions.keys().copied().collect();
        for node in nodes {
            self.send_whole(node);
        }
    }

    /// Entries have been applied, oldest first.
    pub(super) fn applied(&mut self, updates: &[Arc<Update<State>>]) {
        let Some(last) = updates.last() else { return };
        self.state = last.after.state.clone();
        let entries: Vec<_> =
            updates.iter().flat_map(|u| u.applied.iter().map(|(_, applied)| &**applied)).collect();
        for applied in &entries {
            self.agenda.note(&self.state, applied);
        }
        let deltas = self.projector.update(&self.state, entries.iter().copied());
        for (node, mut delta) in deltas {
            if let Some(session) = self.sessions.get(&node) {
                traces::ordered(self.state.node(node).map(|node| &**node), &mut delta);
                self.live.sent(node, delta.to.revision);
                session.outbox.delta(delta);
            }
        }
        self.live.projected(self.state.revision());
        self.end_removed();
        traces::settle(&self.state);
    }

    /// Something happened on a session.
    pub(super) fn event(&mut self, event: Event, now: Timestamp) {
        let Event { node, session, what } = event;
        if let What::Began { description, have: _, outbox } = what {
            if self.state.node(node).is_none() {
                // Removed while it was away.
                outbox.send(FromManager::Removed);
                return;
            }
            self.sessions.insert(node, Session { id: session, outbox });
            self.reporting.remove(&node);
            self.live.began(node, now);
            self.agenda.note_heartbeat(&self.state, node);
            self.describe(node, description);
            self.send_whole(node);
            return;
        }
        if self.sessions.get(&node).is_none_or(|s| s.id != session) {
            return;
        }
        if !matches!(what, What::Ended) {
            self.live.heard(node, now);
            self.agenda.note_heartbeat(&self.state, node);
        }
        match what {
            What::Began { .. } => {}
            What::Heartbeat { applied } => self.heartbeat(node, applied),
            What::Statuses { seq, reports } => self.statuses(node, session, seq, reports),
            What::Description { description } => self.describe(node, description),
            What::Resend => self.send_whole(node),
            What::Leaving => {
                self.live.forget(node);
                let message = "the node has left the cluster".to_owned();
                let state = NodeState::Disconnected;
                self.commands.push(Command::NodeStatus { node, state, message });
            }
            What::Ended => {
                self.sessions.remove(&node);
                self.reporting.remove(&node);
                self.projector.close(node);
            }
        }
    }

    /// What agents reported, as one batch, unless one is on its way.
    pub(super) fn reports(&mut self) -> Option<Batch> {
        let mut commands = std::mem::take(&mut self.commands);
        let mut count = 0;
        while count < REPORTS
            && let Some((node, reports)) = self.reporting.pop_first()
        {
            count += reports.tasks.len();
            self.in_flight.push((node, reports.session, reports.seq));
            let statuses = reports.tasks.into_values().collect();
            commands.push(Command::Report { node, statuses });
        }
        (!commands.is_empty()).then_some(Batch { commands, base: None })
    }

    /// The batch of [`Desk::reports`] is in the log, or perhaps not: then agents send again.
    pub(super) fn reported(&mut self, written: bool) {
        for (node, session, seq) in std::mem::take(&mut self.in_flight) {
            if let Some(current) = self.sessions.get(&node)
                && current.id == session
                && written
            {
                current.outbox.send(FromManager::StatusAck { seq });
            }
        }
    }

    /// What the planner wants proposed, and for which requests (as far as traces are recorded).
    pub(super) fn plan(&mut self, now: Timestamp) -> Vec<(Batch, Vec<Context>)> {
        if self.agenda.is_idle(now) && self.wake_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let limits = Limits::default();
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let plan = plan(&self.state, &self.live, now, &mut self.agenda, &limits);
        metrics::planned(began.elapsed(), &plan.batches);
        self.wake_at = plan.wake_at;
        let causes = traces::planned(&self.state, began_at, &plan.batches);
        plan.batches.into_iter().zip(causes).collect()
    }

    fn heartbeat(&mut self, node: NodeId, applied: Revision) {
        self.live.applied(node, applied);
        self.agenda.note_heartbeat(&self.state, node);
    }

    fn statuses(&mut self, node: NodeId, session: u64, seq: u64, reports: Vec<TaskReport>) {
        // What the state already has need not be written again, only acknowledged.
        let news: Vec<TaskReport> = reports.into_iter().filter(|r| !self.state.knows(r)).collect();
        let waiting = self.reporting.entry(node).or_insert_with(|| Reports {
            session,
            seq,
            tasks: BTreeMap::new(),
        });
        waiting.session = session;
        waiting.seq = seq;
        waiting.tasks.extend(news.into_iter().map(|report| (report.task, report)));
        if waiting.tasks.is_empty() {
            self.reporting.remove(&node);
            if let Some(session) = self.sessions.get(&node) {
                session.outbox.send(FromManager::StatusAck { seq });
            }
        }
    }

    fn describe(&mut self, node: NodeId, description: model::object::NodeDescription) {
        if self.state.node(node).is_some_and(|n| n.description != description) {
            let description = Box::new(description);
            self.commands.push(Command::DescribeNode { node, description });
        }
    }

    fn send_whole(&mut self, node: NodeId) {
        let Some(session) = self.sessions.get(&node) else { return };
        let orders = self.projector.open(&self.state, node);
        self.live.sent(node, orders.fence.revision);
        session.outbox.whole(orders.clone());
    }

    /// Nodes whose record has gone are told so, once.
    fn end_removed(&mut self) {
        let state = &self.state;
        let gone: Vec<NodeId> =
            self.sessions.keys().filter(|node| state.node(**node).is_none()).copied().collect();
        for node in gone {
            if let Some(session) = self.sessions.remove(&node) {
                session.outbox.send(FromManager::Removed);
            }
            self.projector.close(node);
            self.live.forget(node);
        }
    }
}
