//! The unmodified docker CLI against the API on a unix socket.
//!
//! In front of the API stands what an agent's socket answers itself: `/_ping`, `/version`, `/info`.
//! Where no docker CLI is installed the tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use bytes::Bytes;
use orchestrator::api::{Api, Cluster as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::process::Command;

use crate::front::{front, missing};
use crate::memory::{Memory, Running, container_of};

/// No command of these tests takes so long unless it hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster in memory behind a socket.
pub struct Docker {
    /// The first number of the CLI's version.
    major: u32,
    cluster: Arc<Memory>,
    folder: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
    _running: Running,
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What the docker CLI did.
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

impl Docker {
    /// None where there is no docker CLI.
    pub async fn start(workers: u8) -> Option<Docker> {
        let major = major().await;
        if major.is_none() {
            println!("skipped: no docker CLI");
        }
        let major = major?;
        let folder = tempfile::tempdir().expect("a folder");
        let cluster = Memory::with_workers(workers);
        let listener = UnixListener::bind(socket(folder.path())).expect("a socket");
        let api = Api::new(cluster.clone());
        let router = front(&api)
            .route("/{version}/images/{*rest}", get(missing))
            .route("/{version}/volumes/{*rest}", get(missing))
            .fallback_service(api.router());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the server runs");
        });
        let running = cluster.run();
        Some(Docker { major, cluster, folder, server, _running: running })
    }

    /// It has other words for some refusals, fewer flags, and does not wait for stacks: Debian 12's.
    pub fn is_old(&self) -> bool {
        let old = self.major < 26;
        if old {
            println!("skipped: docker {} is too old a CLI", self.major);
        }
        old
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("-H")
            .arg(format!("unix://{}", socket(self.folder.path()).display()))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("DOCKER_CONFIG", self.folder.path())
            .env("HOME", self.folder.path())
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_API_VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn with_input(&self, line: &str, input: &str, envs: &[(&str, &str)]) -> Done {
        let mut child = self.command(line).envs(envs.iter().copied()).spawn().expect("docker runs");
        let mut stdin = child.stdin.take().expect("piped");
        let written = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
        let Output { status, stdout, stderr } = ended
            .unwrap_or_else(|_| panic!("docker {line} hangs: {}", self.tasks()))
            .expect("docker ends");
        let done = Done {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        };
        assert!(written.is_ok(), "docker {line} did not read: {written:?} {}", done.err);
        done
    }

    pub async fn run(&self, line: &str) -> Done {
        self.with_input(line, "", &[]).await
    }

    /// What a command that must succeed prints.
    #[track_caller]
    fn ok(&self, line: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let done = self.run(line).await;
            assert_eq!(done.code, 0, "{caller}: docker {line}\n{}{}", done.out, done.err);
            done.out
        }
    }

    /// Every task with what is wanted of it, for a failed test.
    fn tasks(&self) -> String {
        let state = self.cluster.state();
        let task = |t: &Arc<model::object::Task>| format!("{:?} wanted {:?}", t.status, t.desired);
        state.tasks().map(task).collect::<Vec<_>>().join("\n")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }
}

/// From `Docker version 28.2.2, build …`.
async fn major() -> Option<u32> {
    let shown = Command::new("docker").arg("--version").output().await.ok()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    shown.strip_prefix("Docker version ")?.split('.').next()?.parse().ok()
}

/// The table's lines, each with its columns joined by one blank.
fn lines(table: &str) -> Vec<String> {
    table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_manages_nodes() {
    let Some(docker) = Docker::start(2).await else { return };
    let table = docker.ok("node ls --format {{.Hostname}}/{{.Self}}/{{.Status}}/{{.Availability}}/{{.ManagerStatus}}/{{.TLSStatus}}").await;
    let mut nodes = lines(&table);
    nodes.sort();
    let expected = [
        "m1/true/Ready/Active/Leader/Ready",
        "w1/false/Ready/Active//Ready",
        "w2/false/Ready/Active//Ready",
    ];
    assert_eq!(nodes, expected);
    docker.ok("node update --label-add zone=a --availability drain w1").await;
    let shown =
        docker.ok("node inspect w1 --format {{.Spec.Availability}}-{{.Spec.Labels.zone}}").await;
    assert_eq!(shown.trim(), "drain-a");
    assert!(docker.ok("node inspect self --pretty").await.contains("Leader:\t\tYes"));
    docker.ok("node ps self").await;
    let refused = docker.run("node rm w2").await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("is not down and can't be removed"), "{}", refused.err);
    let refused = docker.run("node demote m1").await;
    assert!(refused.err.contains("attempting to demote the last manager"), "{}", refused.err);
    let token = docker.ok("swarm join-token worker").await;
    assert!(
        token.contains("docker swarm join --token SWMTKN-1-") && token.contains("192.0.2.1:2377")
    );
    docker.ok("swarm join-token --rotate -q manager").await;
    docker.ok("swarm update --task-history-limit 3").await;
    let none = docker.run("swarm unlock-key").await;
    assert!(none.err.contains("no unlock key is set"), "{}", none.err);
    let locked = docker.ok("swarm update --autolock=true").await;
    let key = docker.ok("swarm unlock-key -q").await;
    assert!(locked.contains(key.trim()) && key.starts_with("SWMKEY-1-"), "{locked} {key}");
    docker.ok("swarm update --task-history-limit 4").await;
    assert_eq!(docker.ok("swarm unlock-key -q").await, key, "another change leaves the key");
    let rotated = docker.ok("swarm unlock-key --rotate -q").await;
    assert_ne!(rotated, key);
    assert!(docker.run("swarm unlock").await.err.contains("swarm is not locked"));
    docker.ok("swarm update --autolock=false").await;
    assert!(docker.run("swarm unlock-key").await.err.contains("no unlock key is set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_runs_a_service_through_its_life() {
    let Some(docker) = Docker::start(2).await else { return };
    docker.ok("network create -d overlay --label a=b back").await;
    let made = docker.with_input("secret create pw -", "hunter2", &[]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    let made = docker.with_input("config create conf -", "key=value", &[]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(docker.ok("config inspect --pretty conf").await.contains("key=value"));
    assert_eq!(lines(&docker.ok("secret ls --format {{.Name}}").await), ["pw"]);
    let waited = docker
        .ok("service create --name web --replicas 2 --network back --secret pw --config conf -p 8080:80 --update-monitor 50ms --label tier=front demo/web:1")
        .await;
    assert!(waited.contains("converged"), "{waited}");
    let table = docker
        .ok("service ls --format {{.Name}}/{{.Mode}}/{{.Replicas}}/{{.Image}}/{{.Ports}}")
        .await;
    assert_eq!(lines(&table), ["web/replicated/2/2/demo/web:1/*:8080->80/tcp"]);
    let table = docker.ok("service ps web --format {{.Name}}/{{.DesiredState}}/{{.Error}}").await;
    let mut tasks = lines(&table);
    tasks.sort();
    assert_eq!(tasks, ["web.1/Running/", "web.2/Running/"]);
    docker.ok("service scale web=3").await;
    docker.ok("service update --image demo/web:2 --env-add A=1 web").await;
    let image = "service inspect web --format {{.Spec.TaskTemplate.ContainerSpec.Image}}";
    assert_eq!(docker.ok(image).await.trim(), "demo/web:2");
    docker.ok("service rollback web").await;
    assert_eq!(docker.ok(image).await.trim(), "demo/web:1");
    docker.ok("service update --force --detach web").await;
    let pretty = docker.ok("service inspect --pretty web").await;
    assert!(pretty.contains("Replicas:\t3") && pretty.contains("UpdateStatus:"), "{pretty}");
    assert!(docker.ok("inspect web").await.contains("\"Name\": \"web\""), "found without a type");
    let refused = docker.run("service create --name web --detach demo/web:1").await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("service web already exists"), "{}", refused.err);
    let refused = docker.run("secret rm pw").await;
    assert!(refused.err.contains("is in use by the following service: web"), "{}", refused.err);
    let past = docker.ok("events --since 1 --until 1s --filter type=service --format {{.Action}}:{{.Actor.Attributes.name}}").await;
    assert!(lines(&past).contains(&"create:web".to_owned()), "{past}");
    docker.ok("service rm web").await;
    docker.ok("network rm back").await;
    assert_eq!(docker.ok("service ls -q").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_runs_global_services_and_jobs() {
    let Some(docker) = Docker::start(1).await else { return };
    docker.ok("service create --name glob --mode global --update-monitor 50ms demo/web:1").await;
    docker.ok("service create --name job --mode replicated-job --replicas 3 --max-concurrent 2 demo/web:1").await;
    let table = docker.ok("service ls --format {{.Name}}/{{.Mode}}/{{.Replicas}}").await;
    assert_eq!(lines(&table), ["glob/global/2/2", "job/replicated job/0/2 (3/3 completed)"]);
    let tasks = docker.ok("service ps job --format {{.Name}}/{{.DesiredState}}").await;
    assert_eq!(lines(&tasks).len(), 3);
    assert!(lines(&tasks).iter().all(|t| t.ends_with("/Complete")), "{tasks}");
    docker.ok("service update --force job").await;
    assert!(docker.ok("service inspect --pretty job").await.contains("Name:\t\tjob"));
    let refused = docker.run("service scale glob=2").await;
    assert_eq!(refused.code, 1);
}

const STACK: &str = "
services:
  web:
    image: demo/web:1
    deploy: {replicas: 2, update_config: {monitor: 50ms}}
    networks: [back]
    ports: ['8080:80']
    configs: [app]
    secrets: [pw]
  db:
    image: demo/db:1
    deploy: {update_config: {monitor: 50ms}}
    networks: {back: {aliases: [store]}}
networks: {back: {}}
configs: {app: {file: ./app.conf}}
secrets: {pw: {file: ./pw.txt}}
";

#[tokio::test(flavor = "multi_thread")]
async fn docker_deploys_a_stack_again_and_removes_it() {
    let Some(docker) = Docker::start(2).await else { return };
    if docker.is_old() {
        return;
    }
    docker.write("stack.yml", STACK);
    docker.write("app.conf", "key=value\n");
    docker.write("pw.txt", "hunter2\n");
    docker.ok("stack deploy --detach=false -c stack.yml demo").await;
    assert_eq!(lines(&docker.ok("stack ls --format {{.Name}}/{{.Services}}").await), ["demo/2"]);
    let table = docker.ok("stack services demo --format {{.Name}}/{{.Replicas}}").await;
    assert_eq!(lines(&table), ["demo_db/1/1", "demo_web/2/2"]);
    assert_eq!(docker.ok("stack ps -q demo").await.lines().count(), 3);
    let tasks = || -> Vec<_> { docker.cluster.state().tasks().map(|t| t.id).collect() };
    let before = tasks();
    for _ in 0..2 {
        docker.ok("stack deploy --detach=false -c stack.yml demo").await;
    }
    assert_eq!(tasks(), before, "an unchanged stack restarts nothing");
    docker.write("stack.yml", &STACK.replace("demo/web:1", "demo/web:2"));
    docker.ok("stack deploy --detach=false -c stack.yml demo").await;
    let images = docker
        .ok("service inspect demo_web --format {{.Spec.TaskTemplate.ContainerSpec.Image}}")
        .await;
    assert_eq!(images.trim(), "demo/web:2");
    docker.write(
        "stack.yml",
        "services: {db: {image: 'demo/db:1', deploy: {update_config: {monitor: 50ms}}}}",
    );
    docker.ok("stack deploy --prune --detach=false -c stack.yml demo").await;
    let left = docker.ok("stack services demo --format {{.Name}}").await;
    assert_eq!(lines(&left), ["demo_db"]);
    docker.ok("stack rm --detach=false demo").await;
    assert_eq!(docker.ok("network ls -q --filter label=com.docker.stack.namespace=demo").await, "");
    assert_eq!(docker.ok("secret ls -q").await, "");
    assert!(docker.cluster.state().tasks().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_shows_logs_of_every_task_and_goes_on_without_a_node() {
    let Some(docker) = Docker::start(2).await else { return };
    docker.ok("service create --name web --replicas 3 --update-monitor 50ms demo/web:1").await;
    let state = docker.cluster.state();
    let tasks: Vec<_> = state.tasks().cloned().collect();
    for (i, task) in tasks.iter().enumerate() {
        let text = format!("2026-11-21T09:53:0{i}.000000000Z line of {i}\n");
        let length = u32::try_from(text.len()).expect("short").to_be_bytes();
        let frame = [&[1, 0, 0, 0], &length[..], text.as_bytes()].concat();
        let log = vec![Bytes::from(frame)];
        docker.cluster.logs.lock().expect("no panic").insert(container_of(task.id), log);
    }
    let shown = docker.ok("service logs --raw web").await;
    assert_eq!(lines(&shown), ["line of 0", "line of 1", "line of 2"], "in the order of time");
    let named = docker.ok("service logs --timestamps web").await;
    assert!(
        named.contains("web.") && named.contains("@") && named.contains("| line of 0"),
        "{named}"
    );
    assert!(named.starts_with("2026-11-21T09:53:00"), "{named}");
    let one = docker.ok(&format!("service logs --raw {}", tasks[1].id)).await;
    assert_eq!(lines(&one), ["line of 1"]);
    let away = tasks[2].node.expect("placed");
    docker.cluster.unreachable.lock().expect("no panic").push(away);
    let done = docker.run("service logs web").await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("no log of web."), "{}", done.err);
    assert!(done.out.contains("line of"), "{}", done.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_executes_in_containers_of_other_nodes() {
    let Some(docker) = Docker::start(2).await else { return };
    docker.ok("service create --name web --replicas 3 --update-monitor 50ms demo/web:1").await;
    let state = docker.cluster.state();
    let task = state.tasks().find(|t| t.node != Some(docker.cluster.node())).expect("a worker's");
    let id = container_of(task.id);
    let long = "a line of some length\n".repeat(20_000);
    for name in [&id[..], &id[..12], &format!("web.{}.{}", slot(task), task.id)] {
        let done = docker.with_input(&format!("exec -i {name} cat"), &long, &[]).await;
        assert_eq!((done.code, done.err.as_str()), (7, ""), "{name}");
        assert_eq!(done.out, format!("{long}bye\n"), "all of it, and what comes after its end");
    }
    let format = "inspect --format {{.State.Status}}";
    assert_eq!(docker.ok(&format!("{format} {id}")).await.trim(), "running");
    let none = docker.run("exec nosuch true").await;
    assert!(none.err.contains("No such container: nosuch"), "{}", none.err);
    docker.cluster.unreachable.lock().expect("no panic").extend(task.node);
    let away = docker.run(&format!("exec {id} true")).await;
    assert!(away.code != 0 && away.err.contains("which cannot be asked now"), "{}", away.err);
}

fn slot(task: &model::object::Task) -> u64 {
    match task.slot {
        model::object::Slot::Replica(number) => number,
        model::object::Slot::Node(_) => panic!("a replica"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_speaks_older_versions() {
    let Some(docker) = Docker::start(0).await else { return };
    for version in ["1.24", "1.30", "1.41", "1.44", "1.47", "1.50", "1.51"] {
        let name = format!("web{}", version.replace('.', "-"));
        let env = [("DOCKER_API_VERSION", version)];
        // The CLI knows `--detach` from 1.29 on, and does not wait before.
        let detach = if version == "1.24" { "" } else { "--detach" };
        let line = format!("service create {detach} --name {name} --replicas 1 demo/web:1");
        for line in
            [line.as_str(), "service ls", "node ls", "network ls", &format!("service ps {name}")]
        {
            let done = docker.with_input(line, "", &env).await;
            assert_eq!(done.code, 0, "{version}: docker {line}: {}", done.err);
        }
    }
    let done = docker.with_input("service ls", "", &[("DOCKER_API_VERSION", "1.99")]).await;
    assert!(done.err.contains("client version 1.99 is too new"), "{}", done.err);
}
