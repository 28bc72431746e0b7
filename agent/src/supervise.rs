//! Starts `orchestrator` on a manager, and again when it dies.
//!
//! It is a process of its own and outlives a crash of the agent: the next agent finds it by its pid file
//! and takes it over instead of starting a second one. A planned stop of the agent stops it too (it hands
//! its leadership over on SIGTERM), because a host without an agent is no place for a leader.
//!
//! Both share the data directory, see `model::wire::start`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{LOG_FORMAT, LogFormat, OTLP_ENDPOINT};
use crate::disk::{self, Care};
use crate::engine::EngineError;
use crate::engine::http::Endpoint;

/// After an end: it is started again after this, which doubles up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);
/// One that ran for so long begins again with the shortest pause.
const GOOD_RUN: Duration = Duration::from_secs(30);
/// A planned stop: hand the leadership over, close the log.
const STOP: Duration = Duration::from_secs(10);
/// How often one that is not our child is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long a new one may take until its API answers.
const READY: Duration = Duration::from_secs(30);
/// Lines of its last words that go into an error.
const LAST_WORDS: usize = 3;

/// How to run it.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    pub program: PathBuf,
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    /// `host:port`.
    pub advertise: String,
    pub api_socket: PathBuf,
    pub log_format: LogFormat,
    /// Where it tells traces.
    pub traces: Option<telemetry::Endpoint>,
}

/// Why there is no manager on this host.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no program `orchestrator` beside the agent or on the PATH")]
    NoProgram,
    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },
    #[error("the manager ended at once: {0}")]
    Ended(String),
    #[error("the manager did not answer within {} s", READY.as_secs())]
    Silent,
}

/// A process by more than its number, which the system gives out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    /// Clock ticks from the boot to its start.
    started: u64,
}

impl Process {
    fn of(pid: i32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; fields count from behind it.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Process { pid, started })
    }

    fn lives(self) -> bool {
        Process::of(self.pid) == Some(self)
    }

    fn signal(self, signal: Signal) {
        if self.lives() {
            // It may end between the look and the signal.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    async fn ended(self) {
        while self.lives() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The program: beside our own executable, else on the PATH.
///
/// # Errors
/// [`StartError::NoProgram`].
pub fn find_program() -> Result<PathBuf, StartError> {
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name("orchestrator"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("orchestrator"));
    beside.into_iter().chain(on_path).find(|p| p.is_file()).ok_or(StartError::NoProgram)
}

impl Orchestrator {
    fn pid_file(&self) -> PathBuf {
        self.data_dir.join("orchestrator.pid")
    }

    /// The manager's own folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data_dir.join("manager")
    }

    /// Whether its API answers; a manager without a quorum does.
    pub async fn answers(&self) -> bool {
        let endpoint = Endpoint::new(&self.api_socket);
        let answer = endpoint.call(Method::GET, "/_swarm/info", None, Duration::from_secs(1)).await;
        matches!(answer, Ok(_) | Err(EngineError::Refused { .. }))
    }

    /// One that an earlier agent has started and that still runs.
    fn left_running(&self) -> Option<Process> {
        let bytes = disk::read(&self.pid_file()).ok()??;
        let process: Process = serde_json::from_slice(&bytes).ok()?;
        process.lives().then_some(process)
    }

    /// Its process, while one runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.left_running().and_then(|process| u32::try_from(process.pid).ok())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--listen-addr")
            .arg(self.listen.to_string())
            .arg("--advertise-addr")
            .arg(&self.advertise)
            .arg("--api-socket")
            .arg(&self.api_socket)
            .env(LOG_FORMAT, self.log_format.name())
            .env(OTLP_ENDPOINT, self.traces.as_ref().map(ToString::to_string).unwrap_or_default())
            .stdin(Stdio::null())
            // A signal from the terminal is for the agent, which stops it in order.
            .process_group(0);
        command
    }

    fn spawn(&self, mut command: Command) -> Result<(Child, Option<Process>), StartError> {
        let child = command.spawn().map_err(|source| StartError::Run {
            program: self.program.display().to_string(),
            source,
        })?;
        let process = child.id().and_then(|id| Process::of(i32::try_from(id).ok()?));
        if let Some(process) = process {
            let bytes = serde_json::to_vec(&process).unwrap_or_default();
            if let Err(error) = disk::write(&self.pid_file(), &bytes, Care::Quick) {
                tracing::warn!(%error, "cannot write the manager's pid file");
            }
        }
        tracing::info!(pid = process.map(|p| p.pid), "manager started");
        Ok((child, process))
    }

    /// Starts a new cluster with this host as its manager; returns when its API answers.
    ///
    /// # Errors
    /// As [`StartError`] says; then it does not run, and what it left behind has been removed.
    pub async fn bootstrap(&self, start: &Path) -> Result<Running, StartError> {
        let mut command = self.command();
        command.arg("bootstrap").arg("--start").arg(start);
        let running = self.first(command).await;
        if running.is_err() {
            self.wipe();
        }
        running
    }

    /// Starts the manager that is here as the only one of its cluster; returns when its API answers.
    ///
    /// # Errors
    /// As [`StartError`] says; then it does not run, and its state is still there.
    pub async fn go_on_alone(&self) -> Result<Running, StartError> {
        let mut command = self.command();
        command.arg("--force-new-cluster");
        self.first(command).await
    }

    /// Starts one and waits until its API answers. An error quotes its last words.
    async fn first(&self, mut command: Command) -> Result<Running, StartError> {
        let (mut child, process) = self.spawn({
            command.stderr(Stdio::piped());
            command
        })?;
        let words = watch::Sender::new(Vec::<String>::new());
        let said = words.subscribe();
        if let Some(stderr) = child.stderr.take() {
            // Until the first restart its log goes through here, so that an error can quote it.
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    eprintln!("{line}");
                    words.send_modify(|words| {
                        words.push(line);
                        let extra = words.len().saturating_sub(LAST_WORDS);
                        words.drain(..extra);
                    });
                }
            });
        }
        let ready = async {
            while !self.answers().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let outcome = tokio::select! {
            () = ready => Ok(()),
            status = child.wait() => {
                // The last lines come through the pipe after the end.
                let mut said = said.clone();
                let _ = tokio::time::timeout(LOOK, async { while said.changed().await.is_ok() {} }).await;
                let text = said.borrow().join("\n");
                let status = status.map_or_else(|e| e.to_string(), |s| s.to_string());
                Err(StartError::Ended(if text.is_empty() { status } else { text }))
            }
            () = tokio::time::sleep(READY) => Err(StartError::Silent),
        };
        match outcome {
            Ok(()) => Ok(Running { child: Some(child), process }),
            Err(error) => {
                // Ended or about to be; either way nothing of it shall stay.
                let _ = child.kill().await;
                Err(error)
            }
        }
    }

    /// Removes the manager's state from this host.
    pub fn wipe(&self) {
        for path in [self.folder(), self.pid_file(), self.api_socket.clone()] {
            let gone =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { disk::remove(&path) };
            if let Err(error) = gone {
                tracing::warn!(path = %path.display(), %error, "cannot remove");
            }
        }
    }

    /// Ends one that an earlier agent has left running, and removes the manager's state from this
    /// host. Nothing to do where there is none.
    pub async fn remove(&self) {
        if let Some(process) = self.left_running() {
            tracing::info!(pid = process.pid, "stopping a manager that should not be here");
            Running { child: None, process: Some(process) }.stop().await;
        }
        self.wipe();
    }

    /// Keeps one running until `stop`, then stops it in order.
    pub async fn keep(self, first: Option<Running>, stop: CancellationToken) {
        let mut pause = PAUSE;
        let mut next = first.or_else(|| {
            let process = self.left_running()?;
            tracing::info!(pid = process.pid, "taking over the manager that runs");
            Some(Running { child: None, process: Some(process) })
        });
        loop {
            let began = tokio::time::Instant::now();
            let running = match next.take() {
                Some(running) => Ok(running),
                None => self
                    .spawn(self.command())
                    .map(|(child, process)| Running { child: Some(child), process }),
            };
            match running {
                Ok(mut running) => {
                    tokio::select! {
                        () = stop.cancelled() => {
                            running.stop().await;
                            // What it leaves is overwritten by the next.
                            let _ = disk::remove(&self.pid_file());
                            return;
                        }
                        why = running.ended() => tracing::error!(why, "the manager ended; starting it again"),
                    }
                }
                Err(error) => tracing::error!(%error, "cannot start the manager"),
            }
            pause = if began.elapsed() > GOOD_RUN { PAUSE } else { (pause * 2).min(LONGEST) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// An orchestrator that runs: a child of ours, or one that was taken over.
pub struct Running {
    child: Option<Child>,
    process: Option<Process>,
}

impl Running {
    /// Waits for its end; says how it ended.
    async fn ended(&mut self) -> String {
        match (&mut self.child, self.process) {
            (Some(child), _) => {
                child.wait().await.map_or_else(|e| e.to_string(), |s| s.to_string())
            }
            (None, Some(process)) => {
                process.ended().await;
                String::from("gone")
            }
            (None, None) => String::from("never ran"),
        }
    }

    async fn stop(&mut self) {
        if let Some(process) = self.process {
            process.signal(Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP, self.ended()).await.is_err() {
            tracing::warn!("the manager did not stop in time, killing it");
            if let Some(process) = self.process {
                process.signal(Signal::SIGKILL);
            }
            self.ended().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A manager that writes down its arguments and then does what the script says.
    fn orchestrator(home: &Path, script: &str) -> Orchestrator {
        let program = home.join("orchestrator");
        let text = format!("#!/bin/sh\necho \"$@\" >> {}/runs\n{script}\n", home.display());
        std::fs::write(&program, text).expect("written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
        Orchestrator {
            program,
            data_dir: home.join("data"),
            listen: "127.0.0.1:2377".parse().expect("an address"),
            advertise: "127.0.0.1:2377".into(),
            api_socket: home.join("manager.sock"),
            log_format: LogFormat::Text,
            traces: None,
        }
    }

    async fn runs(home: &Path, wanted: usize) -> String {
        loop {
            let text = std::fs::read_to_string(home.join("runs")).unwrap_or_default();
            if text.lines().count() >= wanted {
                return text;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_dies_is_started_again_and_a_stop_ends_it() {
        let home = tempfile::tempdir().expect("a directory");
        let script =
            format!("[ $(wc -l < {0}/runs) -ge 2 ] && exec sleep 60", home.path().display());
        let orchestrator = orchestrator(home.path(), &script);
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(orchestrator.clone().keep(None, stop.clone()));
        let text = runs(home.path(), 2).await;
        assert!(text.contains("--advertise-addr 127.0.0.1:2377"), "{text}");
        stop.cancel();
        keeping.await.expect("ends");
        assert_eq!(orchestrator.left_running(), None);
    }

    #[tokio::test]
    async fn one_that_outlived_its_agent_is_taken_over() {
        let home = tempfile::tempdir().expect("a directory");
        let orchestrator = orchestrator(home.path(), "exec sleep 60");
        let (child, process) = orchestrator.spawn(orchestrator.command()).expect("started");
        runs(home.path(), 1).await;
        let process = process.expect("it lives");
        assert_eq!(orchestrator.left_running(), Some(process));
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(orchestrator.clone().keep(None, stop.clone()));
        // Reaps it when it ends, as the init of the host would.
        let reaping = tokio::spawn(async move {
            let mut child = child;
            child.wait().await
        });
        stop.cancel();
        keeping.await.expect("ends");
        reaping.await.expect("reaped").expect("a status");
        assert!(!process.lives());
        assert_eq!(runs(home.path(), 1).await.lines().count(), 1, "no second one was started");
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_manager_is_removed() {
        let home = tempfile::tempdir().expect("a directory");
        let orchestrator = orchestrator(home.path(), "mkdir -p \"$2/manager\"; exec sleep 60");
        let (mut child, process) = orchestrator.spawn(orchestrator.command()).expect("started");
        runs(home.path(), 1).await;
        // Reaps it when it ends, as the init of the host would.
        let reaping = tokio::spawn(async move { child.wait().await });
        orchestrator.remove().await;
        reaping.await.expect("reaped").expect("a status");
        assert!(!process.expect("it lived").lives());
        assert!(!orchestrator.folder().exists());
        assert!(!orchestrator.pid_file().exists());
        orchestrator.remove().await;
    }

    #[tokio::test]
    async fn a_new_cluster_that_fails_says_why_and_leaves_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let script = "mkdir -p \"$2/manager\"; echo 'address in use' >&2; exit 1";
        let orchestrator = orchestrator(home.path(), script);
        let error = orchestrator.bootstrap(Path::new("start.json")).await;
        let text = error.err().expect("it fails").to_string();
        assert_eq!(text, "the manager ended at once: address in use");
        assert!(!orchestrator.folder().exists());
    }
}
