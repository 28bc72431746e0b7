//! A cluster in memory for the API: entries are applied at once, nodes are simulated.
//!
//! What is real: the state, the planner, the API. What is not: the log, sessions, engines. Time is
//! virtual where a test drives it ([`Memory::settle`]) and the host's where clients wait
//! ([`Memory::run`]). An image's tag decides the fate of its tasks ([`Fate`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use model::lifecycle::{Desired, TaskState};
use model::object::{
    ContainerStatus, EngineDescription, JoinSecrets, NodeDescription, NodeState, Revision,
};
use model::spec::{Availability, ClusterSpec, Platform, Resources, Role, TaskSpec};
use model::wire::session::{StreamHead, StreamRequest, TaskReport};
use model::{NodeId, Timestamp};
use orchestrator::api::cluster::{
    Cluster, Feed, Members, NodeStream, ProposeError, Reachability, ReadError, RequestBody,
    StreamError,
};
use orchestrator_core::command::{
    Applied, Batch, Bootstrap, Command, Entry, JoinNode, Response, first_node,
};
use orchestrator_core::plan::{Agenda, Limits, Live, plan};
use orchestrator_core::state::State;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};

/// A container's log: what its engine would send, in pieces.
pub type Log = Vec<Bytes>;

/// See the module.
pub struct Memory {
    now: AtomicU64,
    state: Mutex<Arc<State>>,
    planner: Mutex<(Live, Agenda)>,
    updates: broadcast::Sender<Feed>,
    /// By container; a container without one has no log on its engine.
    pub logs: Mutex<BTreeMap<String, Log>>,
    /// What containers have that are not in `logs`.
    every_log: Mutex<Option<Log>>,
    /// Nodes whose engine cannot be asked.
    pub unreachable: Mutex<Vec<NodeId>>,
    /// No reads, no proposals.
    pub leaderless: Mutex<bool>,
    first: NodeId,
}

/// When the virtual clock starts.
const START: u64 = 1_795_254_000_000;
const SEED: u64 = 7;

pub fn description(hostname: &str, address: &str) -> NodeDescription {
    let plugins = [("Log", "json-file"), ("Network", "overlay"), ("Volume", "local")];
    NodeDescription {
        hostname: hostname.to_owned(),
        platform: Platform { architecture: "x86_64".to_owned(), os: "linux".to_owned() },
        resources: Resources {
            nano_cpus: 2_000_000_000,
            memory_bytes: 8 << 30,
            ..Resources::default()
        },
        engine: EngineDescription {
            version: "20.10.24".to_owned(),
            plugins: plugins.map(|(k, v)| (k.to_owned(), vec![v.to_owned()])).into(),
            ..EngineDescription::default()
        },
        address: address.to_owned(),
        agent_version: "0.1.0".to_owned(),
        capabilities: Vec::new(),
        trust: None,
    }
}

/// The host's clock, by which certificates are judged.
pub fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ms = since.expect("after 1970").as_millis();
    Timestamp(u64::try_from(ms).expect("before the year 500 million"))
}

impl Memory {
    /// A cluster of one manager, `m1`, and as many workers, `w1` …
    pub fn with_workers(workers: u8) -> Arc<Memory> {
        let ca = orchestrator::ca::new_root(wall()).expect("a CA");
        let memory = Arc::new(Memory {
            now: AtomicU64::new(START),
            state: Mutex::default(),
            planner: Mutex::default(),
            updates: broadcast::Sender::new(1024),
            logs: Mutex::default(),
            every_log: Mutex::default(),
            unreachable: Mutex::default(),
            leaderless: Mutex::default(),
            first: first_node(SEED),
        });
        let node = |name: &str, last: u8, role| JoinNode {
            description: description(name, &format!("192.0.2.{last}")),
            role,
            availability: Availability::Active,
            manager_address: Some(format!("192.0.2.{last}:2377")),
        };
        let spec = serde_json::json!({
            "Name": "default", "Labels": {}, "Orchestration": {"TaskHistoryRetentionLimit": 5},
            "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0,
                "LogEntriesForSlowFollowers": 500, "ElectionTick": 10, "HeartbeatTick": 1},
            "Dispatcher": {"HeartbeatPeriod": 5_000_000_000_i64},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_i64}, "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": false},
        });
        memory.apply(vec![Command::Bootstrap(Box::new(Bootstrap {
            seed: SEED,
            spec: serde_json::from_value::<ClusterSpec>(spec).expect("a cluster spec"),
            ca,
            tokens: JoinSecrets { worker: "w".repeat(25), manager: "m".repeat(25) },
            address_pools: vec!["10.20.0.0/16".to_owned()],
            subnet_size: 24,
            data_path_port: 4789,
            relay_key: "0".repeat(64),
            unlock_key: None,
            node: node("m1", 1, Role::Manager),
        }))]);
        for worker in 1..=workers {
            let name = format!("w{worker}");
            memory.apply(vec![Command::JoinNode(Box::new(node(&name, worker + 1, Role::Worker)))]);
        }
        let nodes: Vec<NodeId> = memory.state().nodes().map(|n| n.id).collect();
        memory.planner.lock().expect("no panic").0 = Live::since(Timestamp(START));
        for node in nodes {
            let message = String::new();
            memory.apply(vec![Command::NodeStatus { node, state: NodeState::Ready, message }]);
        }
        memory
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    /// Moves the virtual clock.
    pub fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// From now on every container has this log.
    pub fn every_log(&self, log: Log) {
        *self.every_log.lock().expect("no panic") = Some(log);
    }

    /// Applies the commands as one entry, which each must accept.
    pub fn apply(&self, commands: Vec<Command>) -> Vec<Response> {
        let applied = self.take(Batch { commands, base: None });
        let accepted = |r: &Result<_, _>| match r {
            Ok(response) => Response::clone(response),
            Err(refusal) => panic!("refused: {refusal}"),
        };
        applied.responses.iter().map(accepted).collect()
    }

    fn take(&self, batch: Batch) -> Arc<Applied> {
        let mut state = self.state.lock().expect("no panic");
        let mut next = State::clone(&state);
        let revision = Revision(next.revision().0 + 1);
        self.advance(1);
        let applied = Arc::new(next.apply(revision, &Entry { at: self.now(), batch }));
        let after = Arc::new(next);
        *state = after.clone();
        self.planner.lock().expect("no panic").1.note(&after, &applied);
        // Nobody watching is no error.
        let _ = self.updates.send(Feed::Applied { after, applied: vec![applied.clone()] });
        applied
    }

    /// One round of planner and nodes; false when there was nothing to do.
    fn round(&self) -> bool {
        let state = self.state();
        let batches = {
            let mut planner = self.planner.lock().expect("no panic");
            let (live, agenda) = &mut *planner;
            for node in state.nodes() {
                live.heard(node.id, self.now());
                live.sent(node.id, state.revision());
                live.applied(node.id, state.revision());
            }
            live.projected(state.revision());
            plan(&state, live, self.now(), agenda, &Limits::default()).batches
        };
        let mut busy = !batches.is_empty();
        for batch in batches {
            self.take(batch);
        }
        for command in self.followers() {
            busy = true;
            self.take(Batch { commands: vec![command], base: None });
        }
        for (node, statuses) in self.reports() {
            busy = true;
            self.take(Batch { commands: vec![Command::Report { node, statuses }], base: None });
        }
        busy
    }

    /// Nodes whose engine can be asked have at once the certificate that they should have.
    fn followers(&self) -> Vec<Command> {
        let state = self.state();
        let away = self.unreachable.lock().expect("no panic").clone();
        let mut commands = Vec::new();
        for node in state.nodes().filter(|node| !away.contains(&node.id)) {
            let wanted = orchestrator_core::project::orders(&state, node.id, 1).cluster.trust;
            let Some(trust) = wanted else { continue };
            if node.description.trust.as_ref() != Some(&trust) {
                let mut description = Box::new(node.description.clone());
                description.trust = Some(trust.clone());
                commands.push(Command::DescribeNode { node: node.id, description });
            }
            let manages = node.spec.role == Role::Manager;
            if manages && node.manager_trust.as_ref() != Some(&trust) {
                let trust = Box::new(trust);
                commands.push(Command::ManagerTrust { node: node.id, trust });
            }
        }
        commands
    }

    /// What every node has to say: each task is at once what is wanted of it, unless its image's
    /// tag says otherwise.
    fn reports(&self) -> BTreeMap<NodeId, Vec<TaskReport>> {
        let state = self.state();
        let mut reports: BTreeMap<NodeId, Vec<TaskReport>> = BTreeMap::new();
        for task in state.tasks() {
            let Some(node) = task.node else { continue };
            let is = task.status.state;
            let service = state.service(task.service);
            let is_job = service.is_some_and(|s| s.job.is_some());
            let template = service.and_then(|s| s.templates.get(&task.template));
            let fate = Fate::of(template.map(|t| &t.task));
            let becomes = match task.desired {
                Desired::Running if fate == Fate::Pulls && is < TaskState::Running => {
                    if is == TaskState::Preparing {
                        continue;
                    }
                    TaskState::Preparing
                }
                Desired::Running if fate == Fate::Missing && is < TaskState::Running => {
                    TaskState::Rejected
                }
                Desired::Running if fate == Fate::Fails && is == TaskState::Running => {
                    TaskState::Failed
                }
                Desired::Ready if is < TaskState::Ready => TaskState::Ready,
                Desired::Running if is < TaskState::Running => TaskState::Running,
                Desired::Running if is == TaskState::Running && is_job => TaskState::Complete,
                Desired::Draining if is < TaskState::Draining => TaskState::Draining,
                Desired::Shutdown if !is.is_terminal() => TaskState::Shutdown,
                Desired::Remove if is != TaskState::Remove => TaskState::Remove,
                Desired::Ready
                | Desired::Running
                | Desired::Draining
                | Desired::Shutdown
                | Desired::Remove => continue,
            };
            if task.not_before.is_some_and(|at| at > self.now()) && becomes > TaskState::Ready {
                continue;
            }
            let runs = becomes == TaskState::Running;
            let error = match becomes {
                TaskState::Failed => "task: non-zero exit (3)",
                TaskState::Rejected => "No such image: demo/web:missing",
                _ => "",
            };
            let exit_code = if becomes == TaskState::Failed { 3 } else { 0 };
            reports.entry(node).or_default().push(TaskReport {
                task: task.id,
                state: becomes,
                at: self.now(),
                message: if runs { "started" } else { becomes.name() }.to_owned(),
                error: error.to_owned(),
                container: Some(ContainerStatus {
                    id: container_of(task.id),
                    pid: if runs { 4711 } else { 0 },
                    exit_code: becomes.is_terminal().then_some(exit_code),
                }),
                ports: Vec::new(),
            });
        }
        reports
    }

    /// Until nothing is left to do. Virtual time moves in steps of a second while something waits
    /// for it, at most a minute.
    pub fn settle(&self) {
        for _ in 0..60 {
            let mut rounds = 0;
            while self.round() {
                rounds += 1;
                assert!(rounds < 10_000, "planner and nodes never settle");
            }
            self.advance(1_000);
        }
    }

    /// Keeps planner and nodes going by the host's clock, until dropped.
    pub fn run(self: &Arc<Self>) -> Running {
        let memory = self.clone();
        Running(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                memory.advance(20);
                while memory.round() {}
            }
        }))
    }
}

/// What becomes of an image's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They run.
    Runs,
    /// `:pulls`: their image is being pulled for ever.
    Pulls,
    /// `:missing`: there is no such image.
    Missing,
    /// `:fails`: they start and end with exit code 3.
    Fails,
}

impl Fate {
    fn of(task: Option<&TaskSpec>) -> Fate {
        let image = task.and_then(|t| t.container_spec.as_ref()).map_or("", |c| c.image.as_str());
        match image.rsplit(':').next() {
            Some("pulls") => Fate::Pulls,
            Some("missing") => Fate::Missing,
            Some("fails") => Fate::Fails,
            _ => Fate::Runs,
        }
    }
}

/// Keeps a cluster going.
pub struct Running(tokio::task::JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The id of the container of a task, as engines make them: 64 hexadecimal digits.
pub fn container_of(task: model::TaskId) -> String {
    format!("{:032x}{:032x}", task.0.0, 0)
}

impl Cluster for Memory {
    fn node(&self) -> NodeId {
        self.first
    }

    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>> {
        Box::pin(async {
            if *self.leaderless.lock().expect("no panic") {
                return Err(ReadError::NoLeader);
            }
            Ok(self.state())
        })
    }

    fn state(&self) -> Arc<State> {
        self.state.lock().expect("no panic").clone()
    }

    fn propose(&self, batch: Batch) -> BoxFuture<'_, Result<Arc<Applied>, ProposeError>> {
        Box::pin(async move {
            if *self.leaderless.lock().expect("no panic") {
                return Err(ProposeError::NoLeader);
            }
            // As the log has it: what is proposed must survive being written.
            let text = serde_json::to_string(&batch).expect("a batch is JSON");
            Ok(self.take(serde_json::from_str(&text).expect("a batch reads back")))
        })
    }

    fn watch(&self) -> (Arc<State>, BoxStream<'static, Feed>) {
        let state = self.state.lock().expect("no panic");
        let updates = BroadcastStream::new(self.updates.subscribe());
        let feed = updates.map(|update| update.expect("a test is not that slow"));
        (state.clone(), feed.boxed())
    }

    fn members(&self) -> Members {
        let leader = (!*self.leaderless.lock().expect("no panic")).then_some(self.first);
        Members { leader, managers: [(self.first, Reachability::Reachable)].into() }
    }

    fn open_stream(
        &self,
        node: NodeId,
        request: StreamRequest,
        body: RequestBody,
    ) -> BoxFuture<'_, Result<NodeStream, StreamError>> {
        Box::pin(async move {
            if self.unreachable.lock().expect("no panic").contains(&node) {
                return Err(StreamError::NotConnected);
            }
            if let Some(stream) = archive(&request, body).await? {
                return Ok(stream);
            }
            if let Some(stream) = exec(&request) {
                return Ok(stream);
            }
            let container = request.path.split('/').nth(2).unwrap_or_default();
            let log = self.logs.lock().expect("no panic").get(container).cloned();
            let log = log.or_else(|| self.every_log.lock().expect("no panic").clone());
            let status = if log.is_some() { 200 } else { 404 };
            let body = stream::iter(log.unwrap_or_default()).map(Ok).boxed();
            let (input, _) = mpsc::channel(1);
            Ok(NodeStream { head: StreamHead { status, headers: Vec::new() }, input, body })
        })
    }
}

/// An engine's answers about a container and an exec in it. The command sends back its input, says
/// `bye` when that has ended, and ends with code 7.
fn exec(request: &StreamRequest) -> Option<NodeStream> {
    let path = request.path.split('?').next().unwrap_or_default();
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let (status, text) = match (request.method.as_str(), &words[..]) {
        ("GET", ["containers", id, "json"]) => {
            let state = r#"{"Status":"running","Running":true}"#;
            (200, format!(r#"{{"Id":"{id}","State":{state},"Config":{{"Tty":false}}}}"#))
        }
        ("POST", ["containers", _, "exec"]) => (201, r#"{"Id":"e1"}"#.to_owned()),
        ("GET", ["exec", "e1", "json"]) => {
            (200, r#"{"ID":"e1","Running":false,"ExitCode":7}"#.to_owned())
        }
        ("POST", ["exec", "e1", "start"]) => return Some(echo()),
        _ => return None,
    };
    let (input, _) = mpsc::channel(1);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let body = stream::iter([Ok(Bytes::from(text))]).boxed();
    Some(NodeStream { head: StreamHead { status, headers }, input, body })
}

/// An engine that takes files: it answers with the number of bytes that came.
async fn archive(
    request: &StreamRequest,
    mut body: RequestBody,
) -> Result<Option<NodeStream>, StreamError> {
    if request.method != "PUT" || !request.path.contains("/archive") {
        return Ok(None);
    }
    let mut taken = 0;
    while let Some(chunk) = body.next().await {
        taken += chunk.map_err(|e| StreamError::Broken { why: e.to_string() })?.len();
    }
    let chunked = request.headers.iter().any(|(n, v)| n == "transfer-encoding" && v == "chunked");
    let text = format!(r#"{{"Taken":{taken},"Chunked":{chunked}}}"#);
    let (input, _) = mpsc::channel(1);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let body = stream::iter([Ok(Bytes::from(text))]).boxed();
    Ok(Some(NodeStream { head: StreamHead { status: 200, headers }, input, body }))
}

fn echo() -> NodeStream {
    let (input, mut chunks) = mpsc::channel::<Bytes>(4);
    let (output, back) = mpsc::channel(4);
    tokio::spawn(async move {
        let frame = |text: &[u8]| {
            let length = u32::try_from(text.len()).expect("short").to_be_bytes();
            Ok(Bytes::from([&[1, 0, 0, 0], &length[..], text].concat()))
        };
        while let Some(bytes) = chunks.recv().await {
            // The client may have gone.
            if output.send(frame(&bytes)).await.is_err() {
                return;
            }
        }
        let _ = output.send(frame(b"bye\n")).await;
    });
    let kind = "application/vnd.docker.raw-stream".to_owned();
    let headers = vec![("content-type".to_owned(), kind)];
    let body = ReceiverStream::new(back).boxed();
    NodeStream { head: StreamHead { status: 101, headers }, input, body }
}
