//! Programs of others that are run against the API when they are at hand: Python's docker SDK, and
//! schemathesis with the OpenAPI document. Where they are not, the tests say so and pass.
//!
//! `SWARMCTL_PYTHON` names a Python that has the package `docker`; `SWARMCTL_SCHEMATHESIS` the program.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use model::api::API_VERSION;
use orchestrator::api::Api;
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Command;

use crate::front::front;
use crate::memory::Memory;

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/docker_sdk.py");

const SCHEMATHESIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/schemathesis.toml");

/// Longer than either takes.
const TIMEOUT: Duration = Duration::from_secs(1_200);

async fn succeeds(command: &mut Command) {
    let command = command.stdout(Stdio::inherit()).stderr(Stdio::inherit()).kill_on_drop(true);
    let ended = tokio::time::timeout(TIMEOUT, command.status()).await.expect("it ends");
    assert!(ended.expect("it starts").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_docker_sdk_finds_what_its_own_tests_look_for() {
    let python = std::env::var_os("SWARMCTL_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let imports = Command::new(&python)
        .args(["-c", "import docker.types; docker.DockerClient"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if !imports.is_ok_and(|status| status.success()) {
        println!("skipped: no Python with the package docker");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    let cluster: Arc<Memory> = Memory::with_workers(2);
    let api = Api::new(cluster.clone());
    let router = front(&api).fallback_service(api.router());
    let listener = UnixListener::bind(&socket).expect("a socket");
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let _running = cluster.run();
    let host = format!("unix://{}", socket.display());
    succeeds(Command::new(&python).arg(SDK).env("DOCKER_HOST", host)).await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(program) = std::env::var_os("SWARMCTL_SCHEMATHESIS") else {
        println!("skipped: SWARMCTL_SCHEMATHESIS names no program");
        return;
    };
    let cluster: Arc<Memory> = Memory::with_workers(2);
    let router = Api::new(cluster.clone()).router();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let _running = cluster.run();
    let mut command = Command::new(program);
    // It leaves what it found where it runs.
    let folder = tempfile::tempdir().expect("a folder");
    command.current_dir(folder.path());
    command.args(["--config-file", SCHEMATHESIS, "run"]).arg(format!("{base}/openapi.json"));
    command.args(["--url", &format!("{base}/v{API_VERSION}")]);
    let more = std::env::var("SWARMCTL_SCHEMATHESIS_ARGS").unwrap_or_default();
    succeeds(command.args(more.split_whitespace())).await;
    server.abort();
}
