//! A cluster in memory behind a unix socket, and programs that are run against it.
//!
//! In front of the API stands what an agent's socket answers itself: `/_ping`, `/version`, `/info`.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt as _;
use orchestrator::api::Api;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::process::Command;
use tower::ServiceExt as _;

use crate::engine::Engine;
use crate::front::front;
use crate::memory::{Memory, Running};

/// No command of these tests takes so long unless it hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// See the module.
pub struct World {
    pub cluster: Arc<Memory>,
    pub folder: tempfile::TempDir,
    pub engine: Engine,
    api: Api,
    server: tokio::task::JoinHandle<()>,
    running: Option<Running>,
}

/// What a program did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    /// A manager, `m1`, and workers `w1` …, whose tasks become what is wanted of them.
    pub fn start(workers: u8) -> World {
        let mut world = World::stopped(workers);
        world.go();
        world
    }

    /// As [`World::start`], but nothing happens on it: no planning, no reports.
    pub fn stopped(workers: u8) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let cluster = Memory::with_workers(workers);
        let listener = UnixListener::bind(folder.path().join("api.sock")).expect("a socket");
        let api = Api::new(cluster.clone());
        let engine = Engine::default();
        let router = front(&api).merge(engine.router()).fallback_service(api.router());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the server runs");
        });
        World { cluster, folder, engine, api, server, running: None }
    }

    /// Lets things happen.
    pub fn go(&mut self) {
        self.running = Some(self.cluster.run());
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.path("api.sock").display())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// Runs `swarmctl` with the words of a line.
    pub async fn run(&self, line: &str) -> Done {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.with_input(&words, "", &[]).await
    }

    /// Runs `swarmctl`, which must succeed, and answers with what it printed.
    #[track_caller]
    pub fn ok(&self, line: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let done = self.run(line).await;
            assert_eq!(done.code, 0, "{caller}: swarmctl {line}\n{}{}", done.out, done.err);
            done.out
        }
    }

    pub async fn with_input(&self, words: &[&str], input: &str, envs: &[(&str, &str)]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmctl"));
        command.args(words).env("SWARMCTL_HOST", self.host()).envs(envs.iter().copied());
        run(&mut command, self.folder.path(), input).await
    }

    /// Runs the docker CLI; none where there is none.
    pub async fn docker(&self, line: &str) -> Option<Done> {
        let mut command = Command::new("docker");
        command.arg("-H").arg(self.host()).args(line.split_whitespace());
        if Command::new("docker").arg("--version").stdout(Stdio::null()).status().await.is_err() {
            println!("skipped: no docker CLI");
            return None;
        }
        Some(run(&mut command, self.folder.path(), "").await)
    }

    /// What answers on the socket.
    pub fn router(&self) -> Router {
        front(&self.api).merge(self.engine.router()).fallback_service(self.api.router())
    }

    /// `GET`, as JSON.
    pub async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = self.api.router().oneshot(request).await.expect("never fails");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&body).expect("JSON")
    }
}

pub async fn run(command: &mut Command, folder: &Path, input: &str) -> Done {
    command
        .current_dir(folder)
        .env("DOCKER_CONFIG", folder)
        .env("HOME", folder)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_API_VERSION")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A program that does not read its input is no failure.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
    let Output { status, stdout, stderr } = ended.expect("it does not hang").expect("it ends");
    Done {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// The table's lines, each with its columns joined by one blank.
pub fn lines(table: &str) -> Vec<String> {
    table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}
