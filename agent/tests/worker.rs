//! The worker's shell on a simulated engine: orders become containers, whatever happens to engine and agent.

mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use agent::engine::Docker;
use agent::engine::files::Files;
use agent::ledger::Ledger;
use agent::orders::Desk;
use agent::plane::{LocalTask, Net, NetError, NoNet, Sent};
use agent::worker::{Handle, Reports, Sources, Tools, spawn};
use agent_core::worker::Limits;
use model::lifecycle::{Desired, TaskState};
use model::object::{Revision, Slot};
use model::spec::{ContainerSpec, TaskSpec};
use model::wire::orders::{Fence, NetworkOrder, Orders, TaskOrder};
use model::wire::session::TaskReport;
use model::{Id, NetworkId, ServiceId, TaskId};
use support::Engine;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An agent's worker on a data directory.
struct Host {
    desk: Arc<Desk>,
    reports: Reports,
    worker: Handle,
    stop: CancellationToken,
    revision: u64,
}

impl Host {
    fn start(home: &Path) -> Host {
        Host::start_with(home, Arc::new(NoNet::default()))
    }

    fn start_with(home: &Path, net: Arc<dyn Net>) -> Host {
        let ledger = Ledger::below(home);
        let desk = Desk::open(ledger.clone());
        let (reports, stop) = (Reports::default(), CancellationToken::new());
        tokio::spawn(desk.clone().save(stop.clone()));
        let tools = Tools {
            engine: Arc::new(Docker::new(&home.join("engine.sock"))),
            net,
            files: Files::below(home),
            ledger,
            reports: reports.clone(),
            limits: Limits::default(),
            socket: None,
        };
        let sources = Sources {
            latest: desk.latest(),
            durable: desk.durable(),
            kept: desk.kept(),
            causes: desk.causes(),
        };
        let revision = desk.fence().map_or(0, |f| f.revision.0);
        let worker = spawn(tools, sources, stop.clone());
        Host { desk, reports, worker, stop, revision }
    }

    fn order(&mut self, tasks: &[TaskOrder]) {
        self.revision += 1;
        let fence = Fence { term: 1, revision: Revision(self.revision) };
        let tasks = tasks.iter().map(|t| (t.id, t.clone())).collect();
        assert!(self.desk.whole(Orders { fence, tasks, ..Orders::default() }));
    }

    /// Waits until a task is reported in that state.
    async fn until(&self, n: u128, state: TaskState) -> TaskReport {
        let mut latest: BTreeMap<TaskId, TaskReport> = BTreeMap::new();
        let wait = async {
            loop {
                if let Some((_, reports)) = self.reports.batch() {
                    latest.extend(reports.into_iter().map(|r| (r.task, r)));
                }
                if let Some(report) = latest.get(&TaskId(Id(n))).filter(|r| r.state == state) {
                    return report.clone();
                }
                self.reports.changed().await;
            }
        };
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("{n} is never {state}"))
    }
}

fn task(n: u128, image: &str, desired: Desired) -> TaskOrder {
    let container = ContainerSpec { image: image.into(), ..ContainerSpec::default() };
    TaskOrder {
        id: TaskId(Id(n)),
        service: ServiceId::default(),
        service_name: "web".into(),
        stack: None,
        slot: Slot::Replica(1),
        name: format!("web.{n}"),
        desired,
        not_before: None,
        spec: Arc::new(TaskSpec { container_spec: Some(container), ..TaskSpec::default() }),
        attachments: Vec::new(),
        host_ports: Vec::new(),
        labels: BTreeMap::new(),
        registry_auth: None,
    }
}

fn pinned(n: u128, desired: Desired) -> TaskOrder {
    let mut task = task(n, "web:1", desired);
    let spec = Arc::make_mut(&mut task.spec);
    let options =
        model::spec::EngineOptions { pull_policy: "missing".into(), ..Default::default() };
    spec.container_spec.as_mut().expect("a container").engine = Some(Box::new(options));
    task
}

#[tokio::test]
async fn a_task_runs_drains_stops_and_is_removed_as_ordered() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let mut host = Host::start(home.path());
    host.order(&[pinned(1, Desired::Running)]);
    let report = host.until(1, TaskState::Running).await;
    assert_eq!(report.container.expect("a container").pid, 4711);
    host.order(&[pinned(1, Desired::Draining)]);
    host.until(1, TaskState::Draining).await;
    host.order(&[pinned(1, Desired::Shutdown)]);
    host.until(1, TaskState::Shutdown).await;
    assert_eq!(engine.containers.lock().expect("a lock").len(), 1, "it stays for its logs");
    host.order(&[]);
    engine.until("the container is removed", BTreeMap::is_empty).await;
    host.worker.empty().await;
}

#[tokio::test]
async fn a_killed_or_unhealthy_container_is_a_failed_task() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let mut host = Host::start(home.path());
    host.order(&[pinned(1, Desired::Running), pinned(2, Desired::Running)]);
    host.until(1, TaskState::Running).await;
    host.until(2, TaskState::Running).await;
    engine.happens("web.1", "die", |made| {
        made.status = "exited";
        made.exit_code = 137;
    });
    assert_eq!(host.until(1, TaskState::Failed).await.error, "task: non-zero exit (137)");
    engine.happens("web.2", "health_status: unhealthy", |made| made.health = Some("unhealthy"));
    assert_eq!(host.until(2, TaskState::Failed).await.error, "unhealthy container: said");
}

#[tokio::test]
async fn an_image_that_cannot_be_had_rejects_the_task_in_the_registrys_words() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let mut host = Host::start(home.path());
    host.order(&[task(1, "nosuch@sha256:0", Desired::Running)]);
    assert_eq!(host.until(1, TaskState::Rejected).await.error, "pull access denied");
}

/// A data plane on a host so slow that the first two requests for networks get no answer.
#[derive(Default)]
struct SlowNet {
    asked: AtomicU32,
    rest: NoNet,
}

impl Net for SlowNet {
    fn begin(&self, advertise: IpAddr) {
        self.rest.begin(advertise);
    }

    fn ensure_networks(
        &self,
        networks: Vec<NetworkOrder>,
    ) -> Sent<'_, Result<BTreeMap<NetworkId, String>, NetError>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < 2 {
            let (network, message) = (String::from("front"), String::from("no answer"));
            return Box::pin(async { Err(NetError { network, message, unanswered: true }) });
        }
        self.rest.ensure_networks(networks)
    }

    fn apply(&self, orders: Arc<Orders>, local: Vec<LocalTask>) {
        self.rest.apply(orders, local);
    }

    fn applied(&self) -> watch::Receiver<Revision> {
        self.rest.applied()
    }

    fn remove_all(&self) -> Sent<'_, Result<(), NetError>> {
        self.rest.remove_all()
    }
}

#[tokio::test]
async fn a_network_that_is_slow_to_come_is_waited_for_and_its_task_is_not_rejected() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let net = Arc::new(SlowNet::default());
    let mut host = Host::start_with(home.path(), net.clone());
    host.order(&[pinned(1, Desired::Running)]);
    host.until(1, TaskState::Running).await;
    assert_eq!(net.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_restart_of_the_agent_adopts_what_runs_and_repeats_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let mut host = Host::start(home.path());
    host.order(&[pinned(1, Desired::Running), pinned(2, Desired::Running)]);
    host.until(1, TaskState::Running).await;
    host.until(2, TaskState::Running).await;
    engine.happens("web.2", "die", |made| {
        made.status = "exited";
        made.exit_code = 1;
    });
    host.until(2, TaskState::Failed).await;
    host.stop.cancel();
    // Somebody tidies up while no agent looks.
    engine.containers.lock().expect("a lock").retain(|_, made| made.name != "web.2");
    let calls = engine.count_calls("");
    let host = Host::start(home.path());
    host.until(1, TaskState::Running).await;
    host.until(2, TaskState::Failed).await;
    assert_eq!(engine.count_calls(""), calls, "nothing was changed on the engine");
}

#[tokio::test]
async fn an_engine_that_goes_away_and_comes_back_loses_no_container() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    let serving = engine.serve();
    let mut host = Host::start(home.path());
    host.order(&[pinned(1, Desired::Running)]);
    host.until(1, TaskState::Running).await;
    serving.cancel();
    // It may take another request before it is really away.
    let socket = home.path().join("engine.sock");
    while tokio::net::UnixStream::connect(&socket).await.is_ok() {
        tokio::task::yield_now().await;
    }
    host.order(&[pinned(1, Desired::Running), pinned(2, Desired::Running)]);
    host.until(2, TaskState::Accepted).await;
    engine.serve();
    host.until(2, TaskState::Running).await;
    assert_eq!(engine.count_calls("/containers/create"), 2);
    assert_eq!(engine.count_calls("/stop"), 0);
}
