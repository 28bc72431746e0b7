//! A cluster in memory for tests: state, leader, agents that obey at once or when told.
//!
//! Every entry goes through JSON on its way into the state, and a second state follows along, so
//! each test also shows that the log's bytes are enough and that replicas agree.

use std::collections::{BTreeMap, BTreeSet};

use model::lifecycle::Desired;
use model::object::{ContainerStatus, NodeDescription, Revision, Slot, Task};
use model::spec::{Availability, Platform, Resources, Role, ServiceSpec};
use model::wire::orders::Orders;
use model::wire::session::TaskReport;
use model::{Id, Millis, NodeId, ServiceId, TaskId, TaskState, Timestamp};

use crate::State;
use crate::command::{
    Applied, Batch, Bootstrap, Command, Entry, JoinNode, Refusal, RegistryAuth, Response,
    ServiceChange,
};
use crate::plan::{Agenda, Limits, Live, plan};
use crate::project::Projector;

pub(crate) const SECOND: Millis = Millis(1_000);

/// How an agent of the test behaves.
#[derive(Clone, Debug, Default)]
struct Agent {
    silent: bool,
    /// Images whose containers end with this code at once.
    broken: BTreeMap<String, i64>,
    /// What it said last of each task.
    said: BTreeMap<TaskId, TaskState>,
}

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) live: Live,
    pub(crate) agenda: Agenda,
    projector: Projector,
    told: BTreeMap<NodeId, Orders>,
    agents: BTreeMap<NodeId, Agent>,
    names: BTreeMap<String, NodeId>,
    /// Agents act only when stepped by hand.
    pub(crate) frozen: bool,
    revision: u64,
}

impl World {
    /// A cluster of `m1` and so many workers `w1`, `w2` …, all ready.
    pub(crate) fn with_workers(workers: usize) -> World {
        let mut world = World {
            state: State::default(),
            now: Timestamp(1_000_000),
            live: Live::since(Timestamp(1_000_000)),
            agenda: Agenda::default(),
            projector: Projector::new(1),
            told: BTreeMap::new(),
            agents: BTreeMap::new(),
            names: BTreeMap::new(),
            frozen: false,
            revision: 0,
        };
        let start = Bootstrap::bare(7, host("m1", 1, Role::Manager));
        let joined = world.client(Command::Bootstrap(Box::new(start))).expect("first");
        world.greet("m1", &joined);
        for number in 1..=workers {
            world.join(&format!("w{number}"), u8::try_from(number + 1).expect("few"));
        }
        world.settle();
        world
    }

    pub(crate) fn join(&mut self, name: &str, number: u8) {
        let join = host(name, number, Role::Worker);
        let joined = self.client(Command::JoinNode(Box::new(join))).expect("may join");
        self.greet(name, &joined);
    }

    fn greet(&mut self, name: &str, joined: &Response) {
        let Response::Joined { node } = *joined else { panic!("{joined:?}") };
        self.names.insert(name.to_owned(), node);
        self.agents.insert(node, Agent::default());
        self.told.insert(node, self.projector.open(&self.state, node).clone());
        self.live.began(node, self.now);
        self.agenda.note_heartbeat(&self.state, node);
    }

    /// One entry through the log.
    pub(crate) fn entry(&mut self, batch: Batch) -> Applied {
        let entry = Entry { at: self.now, batch };
        let bytes = serde_json::to_vec(&entry).expect("an entry can be written");
        let read: Entry = serde_json::from_slice(&bytes).expect("and read");
        assert_eq!(read, entry, "the log keeps an entry as it is");
        self.revision += 1;
        let follower = State::from_bytes(&self.state.to_bytes()).expect("a snapshot reads back");
        assert_eq!(follower, self.state, "a snapshot is the whole state");
        let mut follower = follower;
        let applied = self.state.apply(Revision(self.revision), &entry);
        assert_eq!(follower.apply(Revision(self.revision), &read), applied);
        assert_eq!(follower.to_bytes(), self.state.to_bytes(), "replicas agree byte for byte");
        self.state.verify().expect("what always holds");
        self.agenda.note(&self.state, &applied);
        for (node, delta) in self.projector.update(&self.state, [&applied]) {
            self.live.sent(node, delta.to.revision);
            let told = self.told.get_mut(&node).expect("has a session");
            told.take(delta).expect("deltas chain");
        }
        self.live.projected(self.state.revision());
        for (node, told) in &self.told {
            let mut whole = crate::project::orders(&self.state, *node, 1);
            whole.fence = told.fence;
            assert_eq!(*told, whole, "deltas add up to the whole");
        }
        applied
    }

    pub(crate) fn client(&mut self, command: Command) -> Result<Response, Refusal> {
        let batch = Batch { commands: vec![command], base: None };
        self.entry(batch).responses.remove(0)
    }

    /// Creates a service from JSON.
    pub(crate) fn create(&mut self, spec: &str) -> ServiceId {
        let spec: ServiceSpec = serde_json::from_str(spec).expect("a spec");
        let command = Command::CreateService { spec: Box::new(spec), registry_auth: None };
        match self.client(command).expect("a good spec") {
            Response::Created { id, .. } => ServiceId(id),
            other => panic!("{other:?}"),
        }
    }

    /// Writes a service's spec anew.
    pub(crate) fn update(&mut self, name: &str, edit: impl FnOnce(&mut ServiceSpec)) {
        let service = self.state.service_named(name).expect("there").clone();
        let mut spec = (*service.spec).clone();
        edit(&mut spec);
        self.change(name, ServiceChange::Spec(Box::new(spec))).expect("a good spec");
    }

    pub(crate) fn change(
        &mut self,
        name: &str,
        change: ServiceChange,
    ) -> Result<Response, Refusal> {
        let service = self.state.service_named(name).expect("there").clone();
        self.client(Command::UpdateService {
            id: service.id,
            version: service.meta.version,
            change,
            registry_auth: RegistryAuth::Keep,
        })
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let id = self.state.service_named(name).expect("there").id;
        self.client(Command::RemoveService { id }).expect("may go");
    }

    pub(crate) fn node(&self, name: &str) -> NodeId {
        self.names[name]
    }

    pub(crate) fn edit_node(&mut self, name: &str, edit: impl FnOnce(&mut model::spec::NodeSpec)) {
        let node = self.state.node(self.node(name)).expect("there").clone();
        let mut spec = node.spec.clone();
        edit(&mut spec);
        let (id, version) = (node.id, node.meta.version);
        self.client(Command::UpdateNode { id, version, spec: Box::new(spec) }).expect("may");
    }

    pub(crate) fn drain(&mut self, name: &str) {
        self.edit_node(name, |spec| spec.availability = Availability::Drain);
    }

    /// The node says nothing more; what runs there goes on.
    pub(crate) fn silence(&mut self, name: &str) {
        let node = self.node(name);
        self.agents.get_mut(&node).expect("there").silent = true;
    }

    pub(crate) fn hear(&mut self, name: &str) {
        let node = self.node(name);
        self.agents.get_mut(&node).expect("there").silent = false;
        self.told.insert(node, self.projector.open(&self.state, node).clone());
    }

    /// The orders that the node has.
    pub(crate) fn told(&self, name: &str) -> &Orders {
        &self.told[&self.node(name)]
    }

    /// Another manager leads: nothing is remembered but the state.
    pub(crate) fn change_leader(&mut self) {
        self.live = Live::since(self.now);
        self.agenda = Agenda::default();
        self.agenda.everything(&self.state);
        self.projector = Projector::new(1);
        for (node, told) in &mut self.told {
            *told = self.projector.open(&self.state, *node).clone();
        }
    }

    /// Containers of this image end with `code` at once, on every node.
    pub(crate) fn break_image(&mut self, image: &str, code: i64) {
        for agent in self.agents.values_mut() {
            agent.broken.insert(image.to_owned(), code);
        }
    }

    /// As [`World::break_image`], on every node but this.
    pub(crate) fn break_image_beside(&mut self, node: NodeId, image: &str, code: i64) {
        for (_, agent) in self.agents.iter_mut().filter(|(id, _)| **id != node) {
            agent.broken.insert(image.to_owned(), code);
        }
    }

    /// Containers of this image work from now on.
    pub(crate) fn mend_image(&mut self, image: &str) {
        for agent in self.agents.values_mut() {
            agent.broken.remove(image);
        }
    }

    /// Whether the node's agent can report.
    pub(crate) fn can_speak(&self, node: Option<NodeId>) -> bool {
        node.and_then(|id| self.agents.get(&id)).is_some_and(|agent| !agent.silent)
    }

    /// The container of a slot's newest task ends.
    pub(crate) fn kill(&mut self, service: &str, slot: u64, code: i64) {
        let task = self.newest(service, slot);
        let state = if code == 0 { TaskState::Complete } else { TaskState::Failed };
        self.say(&task, state, Some(code));
    }

    pub(crate) fn newest(&self, service: &str, slot: u64) -> Task {
        let id = self.state.service_named(service).expect("there").id;
        let tasks = self.state.tasks_in(id, Slot::Replica(slot));
        (**tasks.last().expect("a task")).clone()
    }

    /// The agent of a task's node reports it.
    pub(crate) fn say(&mut self, task: &Task, state: TaskState, code: Option<i64>) {
        let node = task.node.expect("placed");
        let report = TaskReport {
            task: task.id,
            state,
            at: self.now,
            message: state.name().to_owned(),
            error: code.filter(|c| *c != 0).map(|c| format!("exit code {c}")).unwrap_or_default(),
            container: Some(ContainerStatus { id: task.id.to_string(), pid: 1, exit_code: code }),
            ports: Vec::new(),
        };
        self.agents.get_mut(&node).expect("there").said.insert(task.id, state);
        self.client(Command::Report { node, statuses: vec![report] }).expect("taken");
    }

    /// One round: plan, propose, let agents act. True if anything happened.
    pub(crate) fn round(&mut self) -> bool {
        let planned = self.plan_once();
        let acted = !self.frozen && self.agents_act();
        planned || acted
    }

    /// Plans and applies once.
    pub(crate) fn plan_once(&mut self) -> bool {
        self.heartbeats();
        let mut again = self.agenda.clone();
        let limits = Limits::default();
        let planned = plan(&self.state, &self.live, self.now, &mut self.agenda, &limits);
        let same = plan(&self.state, &self.live, self.now, &mut again, &limits);
        assert_eq!(planned, same, "the same input gives the same plan");
        let any = !planned.batches.is_empty();
        for batch in planned.batches {
            let applied = self.entry(batch.clone());
            for (command, response) in batch.commands.iter().zip(&applied.responses) {
                assert!(response.is_ok(), "{command:?}: {response:?}");
            }
        }
        any
    }

    fn heartbeats(&mut self) {
        for (node, agent) in &self.agents {
            if agent.silent || self.state.node(*node).is_none() {
                continue;
            }
            // Time goes on in leaps here: they say nothing of the host's speed.
            self.live.began(*node, self.now);
            let applied = self.told.get(node).map_or(Revision(0), |o| o.fence.revision);
            self.live.applied(*node, applied);
            self.agenda.note_heartbeat(&self.state, *node);
        }
    }

    fn agents_act(&mut self) -> bool {
        let mut reports: Vec<(Task, TaskState, Option<i64>)> = Vec::new();
        for (node, agent) in &self.agents {
            let Some(told) = self.told.get(node).filter(|_| !agent.silent) else { continue };
            for order in told.tasks.values() {
                let Some(task) = self.state.task(order.id) else { continue };
                let at = agent.said.get(&order.id).copied().unwrap_or(task.status.state);
                let image = order.spec.container_spec.as_ref().map_or("", |c| &c.image);
                if let Some((to, code)) = step(order.desired, at, agent.broken.get(image).copied())
                {
                    reports.push(((**task).clone(), to, code));
                }
            }
        }
        for (task, to, code) in &reports {
            self.say(task, *to, *code);
        }
        !reports.is_empty()
    }

    /// Until nothing happens without time going on; then planning everything gives nothing more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..500 {
            if !self.round() {
                self.agenda.everything(&self.state);
                assert!(!self.plan_once(), "a full pass finds no more than the dirty keys");
                return;
            }
        }
        panic!("does not settle");
    }

    pub(crate) fn advance(&mut self, span: Millis) {
        let until = self.now + span;
        while self.now < until {
            self.now = (self.now + Millis(100)).min(until);
            for _ in 0..500 {
                if !self.round() {
                    break;
                }
            }
        }
    }

    /// Every task of a service on record: slot, observed state, node.
    pub(crate) fn show(&self, service: &str) -> String {
        let names: BTreeMap<NodeId, &String> = self.names.iter().map(|(n, id)| (*id, n)).collect();
        let Some(service) = self.state.service_named(service) else { return String::new() };
        let lines = self.state.tasks_of(service.id).map(|task| {
            let slot = match task.slot {
                Slot::Replica(number) => number.to_string(),
                Slot::Node(node) => names.get(&node).map_or("?", |n| n).to_owned(),
            };
            let node = task.node.and_then(|n| names.get(&n)).map_or("-", |n| n.as_str());
            format!("{slot} {} {node}", task.status.state)
        });
        lines.collect::<Vec<_>>().join(" | ")
    }

    /// Only the tasks that run.
    pub(crate) fn running(&self, service: &str) -> String {
        let shown = self.show(service);
        let running = shown.split(" | ").filter(|line| line.contains(" running "));
        running.collect::<Vec<_>>().join(" | ")
    }

    #[track_caller]
    pub(crate) fn expect(&self, service: &str, shown: &str) {
        assert_eq!(self.show(service), shown);
    }

    /// The nodes of the running tasks, with how many each has.
    pub(crate) fn spread(&self, service: &str) -> Vec<usize> {
        let mut on: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.running(service).split(" | ").filter(|l| !l.is_empty()) {
            let node = line.rsplit(' ').next().expect("a node").to_owned();
            *on.entry(node).or_default() += 1;
        }
        on.into_values().collect()
    }

    pub(crate) fn slots(&self, service: &str) -> BTreeSet<String> {
        let running = self.running(service);
        running.split(" | ").filter_map(|l| l.split(' ').next()).map(str::to_owned).collect()
    }
}

/// What an obedient agent reports next.
fn step(desired: Desired, at: TaskState, broken: Option<i64>) -> Option<(TaskState, Option<i64>)> {
    use TaskState::{Assigned, Draining, Failed, Orphaned, Ready, Remove, Running, Shutdown};
    match (desired, at) {
        (Desired::Remove, Remove) => None,
        (Desired::Remove, _) => Some((Remove, None)),
        (_, state) if state.is_terminal() && state != Orphaned => None,
        (Desired::Ready, Assigned) => Some((Ready, None)),
        (Desired::Running, Assigned | Ready) => match broken {
            Some(code) if code != 0 => Some((Failed, Some(code))),
            Some(_) | None => Some((Running, None)),
        },
        (Desired::Running, Running) => broken.map(|code| {
            let end = if code == 0 { TaskState::Complete } else { Failed };
            (end, Some(code))
        }),
        (Desired::Draining, Running) => Some((Draining, None)),
        (Desired::Shutdown, _) => Some((Shutdown, Some(0))),
        _ => None,
    }
}

fn host(name: &str, number: u8, role: Role) -> JoinNode {
    JoinNode {
        description: NodeDescription {
            hostname: name.to_owned(),
            platform: Platform { os: "linux".to_owned(), architecture: "x86_64".to_owned() },
            resources: Resources {
                nano_cpus: 4_000_000_000,
                memory_bytes: 8 << 30,
                ..Resources::default()
            },
            address: format!("192.168.1.{number}"),
            ..NodeDescription::default()
        },
        role,
        availability: Availability::Active,
        manager_address: Some(format!("192.168.1.{number}:2377")),
    }
}

/// A cluster of one node with `web.1` running.
pub(crate) fn one_running_task() -> World {
    let mut world = World::with_workers(0);
    world.create(&web(1));
    world.settle();
    world
}

/// A service `web` with so many replicas.
pub(crate) fn web(replicas: u64) -> String {
    format!(
        r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"web:1"}}}},
            "Mode":{{"Replicated":{{"Replicas":{replicas}}}}}}}"#
    )
}

/// An id that nothing has.
pub(crate) const NOBODY: Id = Id(1);
