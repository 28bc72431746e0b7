//! A cluster for one test: a lab whose hosts are joined, and what a user does with it.
//!
//! Drives the programs that were built beside the test, and the unmodified `docker` client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::lab::{Host, Lab, program};

/// Between two looks while waiting for something. Not a synchronisation: what is waited for is
/// always looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A lab whose hosts form a cluster. Its hosts do not change; gone when it is dropped.
pub struct Cluster {
    lab: Lab,
    hosts: Vec<Host>,
}

/// What an HTTP server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Deref for Cluster {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Cluster {
    /// Brings up hosts that form a cluster; `label` is short and unique per test.
    #[must_use]
    #[track_caller]
    pub fn up(label: &str, managers: u8, workers: u8) -> Self {
        let (managers, workers) = (managers.to_string(), workers.to_string());
        Self::with(label, &["--managers", &managers, "--workers", &workers])
    }

    /// The same, with flags of `swarmctl lab up`.
    #[must_use]
    #[track_caller]
    pub fn with(label: &str, flags: &[&str]) -> Self {
        let lab = Lab::up(label, flags);
        let hosts = lab.hosts();
        Self { lab, hosts }
    }

    fn host_of(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).expect("a host of this cluster")
    }

    /// Where a host's port is reached from this machine.
    #[must_use]
    pub fn address(&self, host: &str, port: u16) -> String {
        format!("{}:{port}", self.host_of(host).address)
    }

    /// `docker …` against a host's cluster socket.
    ///
    /// # Errors
    /// With what it printed, when its exit code is not 0.
    pub fn docker(&self, host: &str, arguments: &[&str]) -> Result<String> {
        text_of(self.docker_command(host, arguments))
    }

    /// The same, not run yet.
    #[must_use]
    pub fn docker_command(&self, host: &str, arguments: &[&str]) -> Command {
        docker_at(&self.host_of(host).cluster_socket, arguments)
    }

    /// `docker …` against a host's engine itself.
    ///
    /// # Errors
    /// With what it printed, when its exit code is not 0.
    pub fn engine(&self, host: &str, arguments: &[&str]) -> Result<String> {
        text_of(docker_at(&self.host_of(host).engine_socket, arguments))
    }

    /// `swarmctl …` against a host's cluster socket.
    ///
    /// # Errors
    /// With what it printed, when its exit code is not 0.
    pub fn swarmctl(&self, host: &str, arguments: &[&str]) -> Result<String> {
        let socket = format!("unix://{}", self.host_of(host).cluster_socket.display());
        let mut command = Command::new(program("swarmctl"));
        command.args(["--host", &socket]).args(arguments);
        text_of(command)
    }

    /// The tasks of a service that run, as (name, node), by `docker service ps`.
    ///
    /// # Errors
    /// When docker does.
    pub fn running(&self, host: &str, service: &str) -> Result<Vec<(String, String)>> {
        let format = "{{.Name}}|{{.Node}}|{{.CurrentState}}";
        let arguments =
            ["service", "ps", service, "--filter", "desired-state=running", "--format", format];
        let text = self.docker(host, &arguments)?;
        let task = |line: &str| {
            let mut cells = line.split('|');
            let (name, node, state) = (cells.next()?, cells.next()?, cells.next()?);
            state.starts_with("Running").then(|| (name.to_owned(), node.to_owned()))
        };
        Ok(text.lines().filter_map(task).collect())
    }
}

fn docker_at(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    let socket = format!("unix://{}", socket.display());
    command.args(["-H", &socket]).args(arguments).env_remove("DOCKER_HOST");
    command
}

/// Runs a command for its output; its input is empty unless it has been set.
///
/// # Errors
/// With all that it printed, when its exit code is not 0.
pub fn text_of(mut command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let Output { status, stdout, stderr } = command.output().with_context(|| shown.clone())?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{shown}: {status}\n{stdout}{stderr}");
    Ok(stdout)
}

/// Looks until `look` gives a value, or fails with what it said last.
///
/// # Panics
/// After `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(error) if began.elapsed() > limit => {
                panic!("{what}: not within {limit:?}: {error:#}")
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// One HTTP request, a connection of its own.
///
/// # Errors
/// When nothing answers within 5 seconds.
pub fn http(method: &str, address: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
    let limit = Duration::from_secs(5);
    let socket = address.parse().with_context(|| address.to_owned())?;
    let mut stream = TcpStream::connect_timeout(&socket, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("no whole answer: {text}") };
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|code| code.parse().ok()).context("a status line")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v.contains("chunked"));
    let body = if chunked { unchunked(body)? } else { body.to_owned() };
    Ok(Answer { status, headers, body })
}

fn unchunked(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").context("a chunk's length")?;
        let length = usize::from_str_radix(length.trim(), 16)?;
        if length == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..length).context("a whole chunk")?);
        rest = after.get(length + 2..).context("a chunk's end")?;
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}
