//! What holds whatever the engine, the orders and the clock do: a simulated host under random faults.

use std::collections::{BTreeMap, BTreeSet};

use model::lifecycle::{Desired, Owner, TaskState};
use model::wire::orders::Orders;
use model::{Millis, TaskId, Timestamp};
use proptest::prelude::*;

use super::tests::{order, orders, task};
use super::*;

const TASKS: u128 = 4;

#[derive(Clone, Debug)]
enum Event {
    Plan,
    /// The nth step in flight ends: well, refused, or without an answer, having taken effect or not.
    End(usize, End),
    Dies(u128, i64),
    Health(u128, bool),
    RemovedByHand(u128),
    EngineGoes,
    EngineComes,
    /// A list taken before the previous list's answer arrived.
    LateList,
    Order(u128, Desired),
    Drop(u128),
    AgentRestarts,
    Time(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Well,
    Refused,
    LostButDone,
    LostNotDone,
}

fn event() -> impl Strategy<Value = Event> {
    let n = 0..TASKS;
    let desired = prop::sample::select(vec![
        Desired::Ready,
        Desired::Running,
        Desired::Draining,
        Desired::Shutdown,
        Desired::Remove,
    ]);
    let end = prop::sample::select(vec![
        End::Well,
        End::Well,
        End::Well,
        End::Refused,
        End::LostButDone,
        End::LostNotDone,
    ]);
    prop_oneof![
        8 => Just(Event::Plan),
        8 => (0..8usize, end).prop_map(|(i, e)| Event::End(i, e)),
        1 => (n.clone(), 0..3i64).prop_map(|(t, c)| Event::Dies(t, c)),
        1 => (n.clone(), any::<bool>()).prop_map(|(t, h)| Event::Health(t, h)),
        1 => n.clone().prop_map(Event::RemovedByHand),
        1 => Just(Event::EngineGoes),
        2 => Just(Event::EngineComes),
        1 => Just(Event::LateList),
        4 => (n.clone(), desired).prop_map(|(t, d)| Event::Order(t, d)),
        1 => n.prop_map(Event::Drop),
        1 => Just(Event::AgentRestarts),
        2 => (0..3_000u64).prop_map(Event::Time),
    ]
}

/// A host: an engine with containers, a worker, what was promised about each task.
struct Host {
    worker: Worker,
    orders: Orders,
    containers: BTreeMap<TaskId, Container>,
    flying: Vec<Effect>,
    now: Timestamp,
    engine: bool,
    stale: Option<(Mark, BTreeMap<TaskId, Container>)>,
    states: BTreeMap<TaskId, TaskState>,
    starts: BTreeMap<TaskId, u32>,
    dropped: BTreeSet<TaskId>,
    made: u32,
}

impl Host {
    fn new() -> Host {
        let mut host = Host {
            worker: Worker::new(Limits { starts: 2, pulls: 2 }, BTreeMap::new()),
            orders: orders([]),
            containers: BTreeMap::new(),
            flying: Vec::new(),
            now: Timestamp(1),
            engine: true,
            stale: None,
            states: BTreeMap::new(),
            starts: BTreeMap::new(),
            dropped: BTreeSet::new(),
            made: 0,
        };
        host.worker.confirm();
        host.worker.see_all(host.worker.mark(), BTreeMap::new());
        host
    }

    fn look(&self, task: TaskId) -> Sight {
        self.containers.get(&task).cloned().map_or(Sight::Absent, Sight::Present)
    }

    /// The engine carries a step out.
    fn carry_out(&mut self, effect: &Effect) {
        let task = effect.task;
        match &effect.step {
            Step::Create => {
                self.made += 1;
                let id = format!("c{}", self.made);
                let phase = Phase::Created;
                self.containers.entry(task).or_insert(Container { id, phase, ports: Vec::new() });
            }
            Step::Start { container } => {
                if let Some(c) = self.containers.get_mut(&task).filter(|c| c.id == *container)
                    && c.phase == Phase::Created
                {
                    *self.starts.entry(task).or_default() += 1;
                    c.phase = Phase::Running { pid: 1, health: Health::Starting };
                }
            }
            Step::Stop { container, .. } | Step::Kill { container } => {
                if let Some(c) = self.containers.get_mut(&task).filter(|c| c.id == *container)
                    && matches!(c.phase, Phase::Running { .. })
                {
                    c.phase = Phase::Ended(Exit { code: 143, ..Exit::default() });
                }
            }
            Step::Remove { .. } => {
                let running = self
                    .containers
                    .get(&task)
                    .is_some_and(|c| matches!(c.phase, Phase::Running { .. }));
                assert!(!running, "a running container was removed");
                self.containers.remove(&task);
            }
            Step::Inspect | Step::Pull | Step::Hook { .. } | Step::Abandon => {}
        }
    }

    fn end(&mut self, index: usize, end: End) {
        if self.flying.is_empty() {
            return;
        }
        let effect = self.flying.remove(index % self.flying.len());
        let end = if self.engine { end } else { End::LostNotDone };
        let outcome = match end {
            End::Well => {
                self.carry_out(&effect);
                let looks = matches!(
                    effect.step,
                    Step::Inspect
                        | Step::Create
                        | Step::Start { .. }
                        | Step::Stop { .. }
                        | Step::Kill { .. }
                );
                Outcome::Done(looks.then(|| self.look(effect.task)))
            }
            End::Refused => Outcome::Refused(String::from("no")),
            End::LostButDone => {
                self.carry_out(&effect);
                Outcome::Unknown(String::from("lost"))
            }
            End::LostNotDone => Outcome::Unknown(String::from("lost")),
        };
        self.worker.done(effect.task, outcome, self.now);
    }

    fn plan(&mut self) -> Plan {
        let plan = self.worker.plan(&self.orders, self.now);
        for effect in &plan.effects {
            if effect.step == Step::Abandon {
                self.flying.retain(|f| f.task != effect.task);
                self.worker.done(effect.task, Outcome::Abandoned, self.now);
                continue;
            }
            assert!(self.engine, "a step while the engine is out of sight: {effect:?}");
            assert!(
                self.flying.iter().all(|f| f.task != effect.task),
                "two steps in flight: {effect:?}"
            );
            self.flying.push(effect.clone());
        }
        self.check_reports();
        plan
    }

    fn check_reports(&mut self) {
        for report in self.worker.reports() {
            let before = self.states.insert(report.task, report.state);
            let before = before.unwrap_or(TaskState::Assigned);
            let state = report.state;
            assert!(
                before == state || before.may_become(state, Owner::Agent),
                "{before} -> {state}"
            );
            let runs = matches!(
                self.containers.get(&report.task).map(|c| &c.phase),
                Some(Phase::Running { .. })
            );
            if state.is_terminal() && before != state {
                assert!(!runs, "{state} was reported while the process runs");
            }
        }
        for (task, starts) in &self.starts {
            assert!(*starts <= 1, "task {task} was started {starts} times");
        }
    }

    fn list(&mut self) {
        self.engine = true;
        self.worker.see_all(self.worker.mark(), self.containers.clone());
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Plan => drop(self.plan()),
            Event::End(index, end) => self.end(index, end),
            Event::Dies(n, code) => {
                if let Some(c) = self.containers.get_mut(&task(n))
                    && matches!(c.phase, Phase::Running { .. })
                {
                    c.phase = Phase::Ended(Exit { code, ..Exit::default() });
                    self.notice(n);
                }
            }
            Event::Health(n, healthy) => {
                if let Some(c) = self.containers.get_mut(&task(n))
                    && let Phase::Running { health, .. } = &mut c.phase
                {
                    *health = if healthy {
                        Health::Healthy
                    } else {
                        Health::Unhealthy { output: String::new() }
                    };
                    self.notice(n);
                }
            }
            Event::RemovedByHand(n) => {
                self.containers.remove(&task(n));
                self.notice(n);
            }
            Event::EngineGoes => {
                self.stale = Some((self.worker.mark(), self.containers.clone()));
                self.engine = false;
                self.worker.lose_sight();
            }
            Event::EngineComes => self.list(),
            Event::LateList => {
                if let (true, Some((mark, list))) = (self.engine, self.stale.take()) {
                    self.worker.see_all(mark, list);
                }
            }
            Event::Order(n, desired) => {
                let id = task(n);
                if !self.dropped.contains(&id) {
                    let entry = self.orders.tasks.entry(id).or_insert_with(|| order(id, desired));
                    entry.desired = entry.desired.max(desired);
                }
            }
            Event::Drop(n) => {
                if self.orders.tasks.remove(&task(n)).is_some() {
                    self.dropped.insert(task(n));
                }
            }
            Event::AgentRestarts => {
                // Steps in flight go on inside the engine.
                for effect in std::mem::take(&mut self.flying) {
                    if self.engine {
                        self.carry_out(&effect);
                    }
                }
                self.worker = Worker::new(Limits { starts: 2, pulls: 2 }, self.worker.keep());
                // The orders here are always those of a manager.
                self.worker.confirm();
                self.stale = None;
                if self.engine {
                    self.list();
                }
            }
            Event::Time(ms) => self.now = self.now + Millis(ms),
        }
    }

    fn notice(&mut self, n: u128) {
        if self.engine {
            let mark = self.worker.mark();
            self.worker.see(mark, task(n), self.look(task(n)));
        }
    }

    /// Faults stop: everything must come to rest where the orders want it.
    fn settle(&mut self) {
        self.list();
        for round in 0.. {
            assert!(round < 500, "does not come to rest");
            for c in self.containers.values_mut() {
                if let Phase::Running { health: health @ Health::Starting, .. } = &mut c.phase {
                    *health = Health::Healthy;
                }
            }
            self.list();
            let plan = self.plan();
            let idle = self.flying.is_empty();
            while !self.flying.is_empty() {
                self.end(0, End::Well);
            }
            if idle && plan.effects.is_empty() {
                match plan.wake_at {
                    Some(at) => self.now = at,
                    None => break,
                }
            }
        }
        for (id, order) in &self.orders.tasks {
            let state = self.states[id];
            match order.desired {
                Desired::Ready => assert!(state >= TaskState::Ready, "{state}"),
                Desired::Running => assert!(state >= TaskState::Running, "{state}"),
                Desired::Draining => assert!(state >= TaskState::Draining, "{state}"),
                Desired::Shutdown => assert!(state.is_terminal(), "{state}"),
                Desired::Remove => {
                    assert_eq!(state, TaskState::Remove);
                    assert!(!self.containers.contains_key(id));
                }
            }
            if state.is_terminal() {
                let phase = self.containers.get(id).map(|c| &c.phase);
                assert!(!matches!(phase, Some(Phase::Running { .. })), "{state} but runs");
            }
        }
        self.orders.tasks.clear();
        for round in 0..100 {
            let plan = self.plan();
            let idle = self.flying.is_empty();
            while !self.flying.is_empty() {
                self.end(0, End::Well);
            }
            if idle && plan.effects.is_empty() && plan.wake_at.is_none() {
                break;
            }
            self.now = plan.wake_at.unwrap_or(self.now);
            assert!(round < 99, "does not come to rest without orders");
        }
        assert!(self.containers.is_empty(), "containers are left without orders");
        assert!(self.worker.is_empty(), "the worker remembers tasks without orders");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_ranks_rise_tasks_start_once_and_the_orders_come_true(
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut host = Host::new();
        for event in events {
            host.happen(event);
        }
        host.settle();
    }
}
