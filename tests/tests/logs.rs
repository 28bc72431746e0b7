//! Logs as JSON: every line that agent and orchestrator write, from the first to the last, is one object.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use cluster_tests::lab::program;
use serde_json::Value;

/// Runs a program until it has written `last`, asks it to end, and gives every line.
fn lines_of(mut command: Command, last: &str) -> Vec<String> {
    command.env_remove("SWARMCTL_LOG").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = Vec::new();
    let mut asked = false;
    for line in BufReader::new(child.stderr.take().expect("a pipe")).lines() {
        let line = line.expect("text");
        if !asked && line.contains(last) {
            let ended = Command::new("kill").arg(child.id().to_string()).status();
            asked = ended.expect("kill runs").success();
        }
        lines.push(line);
    }
    let status = child.wait().expect("its end");
    assert!(asked && status.success(), "{status}: {lines:#?}");
    lines
}

/// Each line is an object with the fields that a reader of logs looks for.
fn check(lines: &[String], first: &str, last: &str) {
    let logged: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    for line in &logged {
        assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
        let level = line["level"].as_str().unwrap_or_default();
        assert!(["INFO", "WARN", "ERROR"].contains(&level), "{line}");
        assert!(line["target"].is_string() && line["fields"]["message"].is_string(), "{line}");
    }
    let message = |line: &Value| line["fields"]["message"].as_str().unwrap_or("").to_owned();
    assert!(logged.iter().any(|line| message(line) == first), "{first}: {logged:#?}");
    assert!(logged.iter().any(|line| message(line) == last), "{last}: {logged:#?}");
}

fn empty_settings(home: &Path) -> std::path::PathBuf {
    let file = home.join("agent.toml");
    std::fs::write(&file, "").expect("written");
    file
}

#[test]
fn the_agent_writes_json_when_asked() {
    let home = tempfile::tempdir().expect("a directory");
    let mut agent = Command::new(program("agent"));
    agent.arg("--config").arg(empty_settings(home.path()));
    agent.arg("--data-dir").arg(home.path().join("data"));
    agent.arg("--socket").arg(home.path().join("docker.sock"));
    agent.arg("--engine").arg(format!("unix://{}/engine.sock", home.path().display()));
    agent.args(["--log-format", "json"]);
    let lines = lines_of(agent, "serving the Docker API");
    check(&lines, "serving the Docker API", "stopping; containers go on");
}

#[test]
fn the_orchestrator_writes_json_when_asked() {
    let home = tempfile::tempdir().expect("a directory");
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("free");
    let mut orchestrator = Command::new(program("orchestrator"));
    orchestrator.arg("--data-dir").arg(home.path());
    orchestrator.arg("--api-socket").arg(home.path().join("manager.sock"));
    orchestrator.arg("--listen-addr").arg(listen.to_string());
    orchestrator.env("SWARMCTL_LOG_FORMAT", "json").arg("bootstrap");
    let lines = lines_of(orchestrator, "\"message\":\"leading\"");
    check(&lines, "serving", "leading");
}
