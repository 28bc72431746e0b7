//! One simulated host: its agent (the real worker), its engine, what is on its disk.

use std::collections::BTreeMap;

use agent_core::worker::{Kept, Limits, Worker};
use model::wire::orders::Orders;
use model::wire::session::TaskReport;
use model::{NodeId, TaskId, Timestamp};

use super::engine::Engine;

/// A host.
pub struct Host {
    pub name: String,
    pub node: NodeId,
    /// The host has power and its agent runs.
    pub up: bool,
    /// Counts the agent's starts: what an earlier one began has no effect.
    pub life: u64,
    pub engine: Engine,
    /// The engine answers.
    pub engine_up: bool,
    pub worker: Worker,
    pub orders: Orders,
    /// On disk.
    pub ledger: (Orders, BTreeMap<TaskId, Kept>),
    /// The session with a leader, if there is one.
    pub session: Option<u64>,
    pub heard_leader: Timestamp,
    /// Reports that no leader has acknowledged, by task.
    pub pending: BTreeMap<TaskId, TaskReport>,
    pub report_seq: u64,
    /// Reports sent under which number.
    pub in_flight: BTreeMap<u64, Vec<TaskReport>>,
    pub beat: u64,
    /// Containers of these images end soon after they start.
    pub crashing: bool,
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
            engine: Engine::default(),
            engine_up: true,
            worker,
            orders: Orders::default(),
            ledger: (Orders::default(), BTreeMap::new()),
            session: None,
            heard_leader: Timestamp(0),
            pending: BTreeMap::new(),
            report_seq: 0,
            in_flight: BTreeMap::new(),
            beat: 0,
            crashing: false,
        }
    }

    /// The agent's process ends; containers go on.
    pub fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.session = None;
        self.in_flight.clear();
        self.pending.clear();
    }

    /// The agent starts with what its disk holds, and looks at the engine.
    pub fn restart(&mut self, now: Timestamp) {
        self.up = true;
        self.life += 1;
        self.orders = self.ledger.0.clone();
        self.worker = Worker::new(Limits::default(), self.ledger.1.clone());
        self.heard_leader = now;
        self.see_all();
        self.pending = self.worker.reports().into_iter().map(|r| (r.task, r)).collect();
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

    /// Writes the ledger: before anything is obeyed or reported.
    pub fn save(&mut self) {
        self.ledger = (self.orders.clone(), self.worker.keep());
    }
}
