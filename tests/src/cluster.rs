//! A lab for one test: hosts on this machine, each with its own engine and agent.
//!
//! Drives the programs that were built beside the test, and the unmodified `docker` client. A lab is
//! taken down when it goes out of scope, whatever happened.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// Between two looks while waiting for something. Not a synchronisation: what is waited for is
/// always looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Hosts on this machine.
pub struct Lab {
    name: String,
    pub hosts: Vec<Host>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    pub name: String,
    pub role: String,
    pub address: String,
    pub engine_socket: PathBuf,
    pub cluster_socket: PathBuf,
}

/// What an HTTP server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A program built from this workspace.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/…/deps/test");
    profile.join(name)
}

impl Lab {
    /// A lab whose hosts form a cluster.
    ///
    /// # Panics
    /// When it does not come up; the message has what was printed.
    #[must_use]
    pub fn up(name: &str, managers: u8, workers: u8) -> Lab {
        Lab::with(name, &["--managers", &managers.to_string(), "--workers", &workers.to_string()])
    }

    /// A lab with the given flags of `lab up`.
    ///
    /// # Panics
    /// As [`Lab::up`].
    #[must_use]
    pub fn with(name: &str, flags: &[&str]) -> Lab {
        let mut lab = Lab { name: format!("test-{name}"), hosts: Vec::new() };
        // What an interrupted run may have left.
        lab.lab(&["down"]).expect("an old lab can be removed");
        let up = [&["up"][..], flags].concat();
        lab.lab(&up).expect("the lab comes up");
        let hosts = lab.lab(&["ls", "--format", "json"]).expect("the lab lists its hosts");
        lab.hosts = serde_json::from_str(&hosts).expect("a list of hosts");
        lab
    }

    /// `swarmctl lab …` on this lab.
    ///
    /// # Errors
    /// With what it printed, when its exit code is not 0.
    pub fn lab(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program("swarmctl"));
        command.args(["lab", "--name", &self.name]).args(arguments);
        text_of(command)
    }

    /// The host of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|h| h.name == name).expect("a host of the lab")
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
        let socket = format!("unix://{}", self.host(host).cluster_socket.display());
        let mut command = Command::new("docker");
        command.args(["-H", &socket]).args(arguments).env_remove("DOCKER_HOST");
        command
    }

    /// `docker …` against a host's engine itself.
    ///
    /// # Errors
    /// With what it printed, when its exit code is not 0.
    pub fn engine(&self, host: &str, arguments: &[&str]) -> Result<String> {
        let socket = format!("unix://{}", self.host(host).engine_socket.display());
        let mut command = Command::new("docker");
        command.args(["-H", &socket]).args(arguments).env_remove("DOCKER_HOST");
        text_of(command)
    }

    /// `swarmctl …` against a host's cluster socket.
    ///
    /// # Errors
    /// With what it printed, when its exit code is not 0.
    pub fn swarmctl(&self, host: &str, arguments: &[&str]) -> Result<String> {
        let socket = format!("unix://{}", self.host(host).cluster_socket.display());
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

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        if let Err(error) = self.lab(&["down"]) {
            eprintln!("the lab {} is not down: {error:#}", self.name);
        }
    }
}

impl Lab {
    /// What hosts logged, for a test that failed.
    fn show_logs(&self) {
        for host in &self.hosts {
            for source in ["agent", "engine"] {
                if let Ok(log) = self.lab(&["logs", &host.name, source]) {
                    let tail: Vec<&str> = log.lines().rev().take(60).collect();
                    eprintln!("---- {} {source} (last lines)", host.name);
                    for line in tail.into_iter().rev() {
                        eprintln!("{line}");
                    }
                }
            }
        }
    }
}

/// Runs a command for its output.
///
/// # Errors
/// With all that it printed, when its exit code is not 0.
pub fn text_of(mut command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
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
