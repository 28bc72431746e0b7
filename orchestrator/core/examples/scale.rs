//! Measures what one change costs the leader in clusters of different size: it must not grow with them.
//!
//! `cargo run --release -p orchestrator-core --example scale [NODES ...]`, 100 tasks a node, services
//! of 100 replicas, ten of them on a network; without NODES 100, 1,000 and 10,000 one after the other.
//! A change is all from the entry in the log to what agents are told and the plan that follows from
//! it, applied and told as well: state, agenda, planner, projection. Without log, disk and network.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::object::{NodeDescription, NodeState, Revision};
use model::spec::{Availability, Platform, Resources, Role, ServiceMode, ServiceSpec};
use model::wire::session::TaskReport;
use model::{Millis, NodeId, ServiceId, TaskId, TaskState, Timestamp};
use orchestrator_core::State;
use orchestrator_core::command::{
    Batch, Bootstrap, Command, Entry, JoinNode, RegistryAuth, Response, ServiceChange,
};
use orchestrator_core::plan::{Agenda, Limits, Live, plan};
use orchestrator_core::project::Projector;

const TASKS_A_NODE: u64 = 100;
const REPLICAS: u64 = 100;
const ROUNDS: usize = 20;

fn main() {
    let mut sizes: Vec<u64> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    println!("median of {ROUNDS}; a change with all that follows from it, on one processor\n");
    println!(
        "{:>7} {:>9} {:>9} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11}",
        "nodes",
        "tasks",
        "made in",
        "memory",
        "a report",
        "a failure",
        "one more",
        "an update",
        "a lost node"
    );
    for nodes in sizes {
        let begun = Instant::now();
        let mut cluster = Cluster::of(nodes);
        let made = begun.elapsed();
        let tasks = cluster.state.tasks().len();
        print!("{nodes:>7} {tasks:>9} {made:>9.1?} {:>5} MiB", memory() >> 10);
        let all = [
            cluster.median(Cluster::report),
            cluster.median(Cluster::failure),
            cluster.median(Cluster::one_more),
            cluster.median(Cluster::update),
            cluster.median(Cluster::lost_node),
        ];
        for time in all {
            print!(" {:>11}", format!("{time:.1?}"));
        }
        println!();
    }
}

/// The leader's part of a cluster, and agents that do at once what they are told.
struct Cluster {
    state: State,
    now: Timestamp,
    live: Live,
    agenda: Agenda,
    projector: Projector,
    nodes: Vec<NodeId>,
    services: Vec<ServiceId>,
    /// What agents have to say.
    said: BTreeMap<NodeId, Vec<TaskReport>>,
    next: usize,
}

impl Cluster {
    fn of(nodes: u64) -> Cluster {
        let now = Timestamp(1_000_000);
        let mut cluster = Cluster {
            state: State::default(),
            now,
            live: Live::since(now),
            agenda: Agenda::default(),
            projector: Projector::new(1),
            nodes: Vec::new(),
            services: Vec::new(),
            said: BTreeMap::new(),
            next: 0,
        };
        cluster.ask(Command::Bootstrap(Box::new(Bootstrap::bare(7, host(0, Role::Manager)))));
        for number in 1..nodes {
            cluster.ask(Command::JoinNode(Box::new(host(number, Role::Worker))));
        }
        for number in 0..nodes * TASKS_A_NODE / REPLICAS {
            if number % 10 == 0 {
                let spec = format!(r#"{{"Name":"net{}"}}"#, number / 10);
                let spec = serde_json::from_str(&spec).expect("a network");
                cluster.ask(Command::CreateNetwork { spec: Box::new(spec) });
            }
            let spec: ServiceSpec = serde_json::from_str(&format!(
                r#"{{"Name":"s{number}","TaskTemplate":{{"ContainerSpec":{{"Image":"app:1"}},
                    "Networks":[{{"Target":"net{}"}}],
                    "Resources":{{"Reservations":{{"NanoCPUs":10000000,"MemoryBytes":10485760}}}}}},
                    "Mode":{{"Replicated":{{"Replicas":{REPLICAS}}}}}}}"#,
                number / 10
            ))
            .expect("a service");
            cluster.ask(Command::CreateService { spec: Box::new(spec), registry_auth: None });
            cluster.settle();
        }
        cluster
    }

    /// One entry of the log, and what agents are told of it.
    fn entry(&mut self, batch: Batch) -> Vec<Result<Response, String>> {
        let entry = Entry { at: self.now, batch };
        let revision = Revision(self.state.revision().0 + 1);
        let applied = self.state.apply(revision, &entry);
        self.agenda.note(&self.state, &applied);
        for (node, delta) in self.projector.update(&self.state, [&applied]) {
            self.live.sent(node, delta.to.revision);
            self.live.applied(node, delta.to.revision);
            self.agenda.note_heartbeat(&self.state, node);
            for (id, order) in &delta.tasks.set {
                self.obey(node, *id, order.desired);
            }
        }
        self.live.projected(self.state.revision());
        applied.responses.into_iter().map(|r| r.map_err(|refusal| refusal.to_string())).collect()
    }

    fn obey(&mut self, node: NodeId, task: TaskId, desired: model::lifecycle::Desired) {
        use model::lifecycle::Desired;
        let Some(known) = self.state.task(task) else { return };
        let to = match desired {
            Desired::Ready => TaskState::Ready,
            Desired::Running => TaskState::Running,
            Desired::Draining => return,
            Desired::Shutdown | Desired::Remove => TaskState::Shutdown,
        };
        if known.status.state < to {
            self.say(node, task, to);
        }
    }

    fn say(&mut self, node: NodeId, task: TaskId, state: TaskState) {
        self.said.entry(node).or_default().push(TaskReport {
            task,
            state,
            at: self.now,
            message: state.name().to_owned(),
            error: String::new(),
            container: None,
            ports: Vec::new(),
        });
    }

    fn ask(&mut self, command: Command) {
        let batch = Batch { commands: vec![command], base: None };
        match self.entry(batch).remove(0).expect("nothing is refused here") {
            Response::Joined { node } => {
                self.nodes.push(node);
                self.projector.open(&self.state, node);
                self.live.began(node, self.now);
                self.agenda.note_heartbeat(&self.state, node);
            }
            Response::Created { id, .. } if self.state.service(ServiceId(id)).is_some() => {
                self.services.push(ServiceId(id));
            }
            Response::Created { .. } | Response::Updated { .. } | Response::Done => {}
        }
    }

    /// Until there is nothing to plan and nothing to report.
    fn settle(&mut self) {
        loop {
            let said = std::mem::take(&mut self.said);
            let idle = said.is_empty();
            if !idle {
                let commands =
                    said.into_iter().map(|(node, statuses)| Command::Report { node, statuses });
                let batch = Batch { commands: commands.collect(), base: None };
                self.entry(batch);
            }
            let limits = Limits::default();
            let planned = plan(&self.state, &self.live, self.now, &mut self.agenda, &limits);
            if planned.batches.is_empty() && idle && self.said.is_empty() {
                return;
            }
            for batch in planned.batches {
                for response in self.entry(batch) {
                    response.expect("no plan is refused here");
                }
            }
        }
    }

    fn median(&mut self, change: fn(&mut Cluster)) -> Duration {
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                self.next = self.next.wrapping_mul(6_364_136_223).wrapping_add(1_442_695_040);
                let begun = Instant::now();
                change(self);
                let time = begun.elapsed();
                self.heartbeats();
                time
            })
            .collect();
        times.sort();
        times[ROUNDS / 2]
    }

    /// Time goes on, and every agent is heard.
    fn heartbeats(&mut self) {
        self.now = self.now + Millis::from_secs(400);
        for node in self.nodes.clone() {
            self.live.began(node, self.now);
            self.live.applied(node, self.state.revision());
            self.agenda.note_heartbeat(&self.state, node);
        }
        self.settle();
    }

    fn some_service(&self) -> ServiceId {
        self.services[self.next % self.services.len()]
    }

    fn some_task(&self) -> (NodeId, TaskId) {
        let live = |t: &&std::sync::Arc<model::object::Task>| t.status.state == TaskState::Running;
        let task = self.state.tasks_of(self.some_service()).find(live).expect("one runs");
        (task.node.expect("somewhere"), task.id)
    }

    /// A task says something new that changes nothing.
    fn report(&mut self) {
        let (node, task) = self.some_task();
        self.say(node, task, TaskState::Running);
        self.settle();
    }

    /// A task fails and is replaced.
    fn failure(&mut self) {
        let (node, task) = self.some_task();
        self.say(node, task, TaskState::Failed);
        self.settle();
    }

    fn change(&mut self, edit: impl FnOnce(&mut ServiceSpec)) {
        let service = self.state.service(self.some_service()).expect("there");
        let (id, version) = (service.id, service.meta.version);
        let mut spec = (*service.spec).clone();
        edit(&mut spec);
        let change = ServiceChange::Spec(Box::new(spec));
        let registry_auth = RegistryAuth::Keep;
        self.ask(Command::UpdateService { id, version, change, registry_auth });
        self.settle();
    }

    /// A service gets one replica more.
    fn one_more(&mut self) {
        self.change(|spec| spec.mode = ServiceMode::replicated(REPLICAS + 1));
    }

    /// A service of a hundred replicas gets another image, all at once.
    fn update(&mut self) {
        self.change(|spec| {
            let mut config = spec.effective_update();
            config.parallelism = 0;
            spec.update_config = Some(config);
            spec.task_template.force_update += 1;
        });
    }

    /// A node with a hundred tasks is lost.
    fn lost_node(&mut self) {
        let node = self.nodes[1 + self.next % (self.nodes.len() - 1)];
        let state = NodeState::Down;
        self.live.forget(node);
        let message = "lost".to_owned();
        let batch =
            Batch { commands: vec![Command::NodeStatus { node, state, message }], base: None };
        self.entry(batch);
        self.settle();
    }
}

fn host(number: u64, role: Role) -> JoinNode {
    let address = format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255);
    JoinNode {
        description: NodeDescription {
            hostname: format!("h{number}"),
            platform: Platform { os: "linux".to_owned(), architecture: "x86_64".to_owned() },
            resources: Resources {
                nano_cpus: 32_000_000_000,
                memory_bytes: 128 << 30,
                ..Resources::default()
            },
            address: address.clone(),
            ..NodeDescription::default()
        },
        role,
        availability: Availability::Active,
        manager_address: Some(format!("{address}:2377")),
    }
}

/// The memory of this process, KiB; 0 where the system does not tell.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
