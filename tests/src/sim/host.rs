//! One simulated host: its agent (the real worker), its engine, what is on its disk.

use std::collections::BTreeMap;

use agent_core::worker::{Kept, Limits, Worker};
use model::object::Revision;
use model::wire::orders::Orders;
use model::wire::session::TaskReport;
use model::{Millis, NodeId, TaskId, Timestamp};

use super::engine::{Engine, Recipe};

/// What an agent finds on its disk when it starts.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// None when the file is missing or does not read.
    pub orders: Option<Orders>,
    pub kept: BTreeMap<TaskId, Kept>,
}

/// A host.
pub struct Host {
    pub name: String,
    pub node: NodeId,
    /// The host has power and its agent runs.
    pub up: bool,
    /// Counts the agent's starts and ends: what an earlier one began has no effect.
    pub life: u64,
    /// Steps of lives before this one ended with the power of the host.
    pub powered_since: u64,
    pub engine: Engine,
    /// The engine answers.
    pub engine_up: bool,
    pub worker: Worker,
    /// What the agent obeys; without any it does nothing.
    pub orders: Option<Orders>,
    /// What the disk holds; while the agent runs and its disk works, that is what it obeys.
    pub ledger: Ledger,
    /// The disk takes nothing more: the ledger stays what it was.
    pub disk_full: bool,
    /// The session with a leader, if there is one.
    pub session: Option<u64>,
    /// Its first orders have arrived.
    pub told: bool,
    /// Orders have arrived since the agent's start.
    pub heard: bool,
    pub heard_leader: Timestamp,
    pub heard_by_leader: Timestamp,
    /// Names and routes are those of this revision.
    pub applied: Revision,
    /// Reports that no leader has acknowledged, by task, each with the number it was sent under.
    pub pending: BTreeMap<TaskId, (TaskReport, u64)>,
    /// The latest report of every task, acknowledged or not, since the agent's start.
    pub said: BTreeMap<TaskId, TaskReport>,
    pub report_seq: u64,
    /// When reports were sent that are not acknowledged yet.
    pub reports_sent: Option<Timestamp>,
    pub beat: u64,
    /// Steps under way, each with its name and the number it was begun under.
    pub flights: BTreeMap<TaskId, (&'static str, u64)>,
    pub flight: u64,
    /// When the worker wants to be asked again.
    pub wake_at: Option<Timestamp>,
    /// Nothing arrives from managers, nothing arrives at them.
    pub cut_to: bool,
    pub cut_from: bool,
    /// The session whose frames to the host, and from it, are lost.
    pub broken_to: u64,
    pub broken_from: u64,
    /// When the last frame arrives, to the host and from it: frames do not overtake.
    pub last_to: Timestamp,
    pub last_from: Timestamp,
    /// The agent gets no CPU until then.
    pub paused_until: Timestamp,
    /// Containers end soon after they start, or their health checks fail now and then.
    pub crashing_until: Timestamp,
    pub flapping_until: Timestamp,
    /// What its clock shows more than the true time: now, and since the agent's last start.
    pub clock: Millis,
    pub ahead: Millis,
    /// The cluster has removed the node; it asks to join again.
    pub removed: bool,
    /// The agent has once started with less than it had known: its disk was torn or full.
    pub forgot: bool,
}

impl Host {
    /// A host that has joined as this node.
    #[must_use]
    pub fn new(name: String, node: NodeId) -> Host {
        let mut worker = Worker::new(Limits::default(), BTreeMap::new());
        let mark = worker.mark();
        worker.see_all(mark, BTreeMap::new());
        Host {
            name,
            node,
            up: true,
            life: 0,
            powered_since: 0,
            engine: Engine::default(),
            engine_up: true,
            worker,
            orders: None,
            ledger: Ledger::default(),
            disk_full: false,
            session: None,
            told: false,
            heard: false,
            heard_leader: Timestamp(0),
            heard_by_leader: Timestamp(0),
            applied: Revision(0),
            pending: BTreeMap::new(),
            said: BTreeMap::new(),
            report_seq: 0,
            reports_sent: None,
            beat: 0,
            flights: BTreeMap::new(),
            flight: 0,
            wake_at: None,
            cut_to: false,
            cut_from: false,
            broken_to: 0,
            broken_from: 0,
            last_to: Timestamp(0),
            last_from: Timestamp(0),
            paused_until: Timestamp(0),
            crashing_until: Timestamp(0),
            flapping_until: Timestamp(0),
            clock: Millis(0),
            ahead: Millis(0),
            removed: false,
            forgot: false,
        }
    }

    /// The time as the agent has it.
    #[must_use]
    pub fn time(&self, now: Timestamp) -> Timestamp {
        now + self.ahead
    }

    /// The disk takes nothing more from now on.
    pub fn fill_disk(&mut self) {
        if self.up && !self.disk_full {
            self.ledger = Ledger { orders: self.orders.clone(), kept: self.worker.keep() };
            self.disk_full = true;
        }
    }

    /// The agent's process ends; containers go on.
    pub fn crash(&mut self) {
        if self.up && !self.disk_full {
            self.ledger = Ledger { orders: self.orders.take(), kept: self.worker.keep() };
        }
        self.up = false;
        self.life += 1;
        self.session = None;
        self.wake_at = None;
        self.pending.clear();
        self.said.clear();
        self.reports_sent = None;
        self.flights.clear();
    }

    /// The host is off: its agent, every process, and what the engine was at.
    pub fn power_off(&mut self) {
        self.crash();
        self.powered_since = self.life;
        self.engine.power_off();
    }

    /// The agent starts with what its disk holds, and looks at the engine.
    pub fn restart(&mut self, now: Timestamp) {
        self.up = true;
        self.life += 1;
        self.forgot |= self.disk_full;
        self.disk_full = false;
        self.ahead = self.clock;
        let ledger = std::mem::take(&mut self.ledger);
        self.orders = ledger.orders;
        if let Some(orders) = &mut self.orders {
            // Bytes of secrets are not kept on disk.
            orders.secrets.values_mut().for_each(|secret| secret.data.clear());
        }
        self.worker = Worker::new(Limits::default(), ledger.kept);
        self.heard = false;
        self.heard_leader = now;
        self.applied = Revision(0);
        self.see_all();
    }

    /// Everything is to be reported again, to a new leader: what this run of the agent has said.
    pub fn start_reports_over(&mut self) {
        self.pending = self.said.iter().map(|(task, r)| (*task, (r.clone(), 0))).collect();
        self.reports_sent = None;
    }

    /// Newer reports; each takes the place of an older one of its task.
    pub fn say(&mut self, reports: Vec<TaskReport>) {
        for report in reports {
            self.said.insert(report.task, report.clone());
            self.pending.insert(report.task, (report, 0));
        }
        if let Some(orders) = &self.orders {
            self.said.retain(|task, _| orders.tasks.contains_key(task));
            self.pending.retain(|task, _| orders.tasks.contains_key(task));
        }
    }

    /// The agent lists the containers.
    pub fn see_all(&mut self) {
        if self.engine_up {
            let mark = self.worker.mark();
            self.worker.see_all(mark, self.engine.containers.clone());
        } else {
            self.worker.lose_sight();
        }
    }

    /// What the agent tells the engine of a task with each step.
    pub fn tell_engine(&mut self, task: TaskId) {
        let order = self.orders.as_ref().and_then(|o| o.tasks.get(&task));
        let Some(container) = order.and_then(|t| t.spec.container_spec.as_ref()) else { return };
        let recipe =
            Recipe { image: container.image.clone(), checked: container.healthcheck.is_some() };
        self.engine.recipes.insert(task, recipe);
    }
}
