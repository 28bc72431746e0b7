//! Keeps the programs of a host running, reaps what nobody else waits for, and takes requests.
//!
//! One thread, one loop: reap, start what is due, wait for the next event. A request is one line on
//! [`SOCKET`], `restart PROGRAM SIGNAL`; it is answered with `ok` when the new process runs.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::HOST_PATH;
use super::restart::{End, Next, Policy, next};

/// Where requests come in.
const SOCKET: &str = "/run/lab/init.sock";
/// How long a client may take to say what it wants.
const REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// So many quick failures without ever a socket mean that the engine cannot run here at all.
const HOPELESS: u32 = 5;

/// A program and what is known of it.
pub(super) struct Service {
    name: &'static str,
    program: String,
    arguments: Vec<String>,
    policy: Policy,
    state: State,
    failures: u32,
    /// Who asked for a restart and waits for it.
    asked: Vec<UnixStream>,
}

enum State {
    Down,
    Due { at: Instant },
    Up { pid: Pid, since: Instant },
}

impl Service {
    pub(super) fn new(
        name: &'static str,
        program: &str,
        arguments: Vec<String>,
        policy: Policy,
    ) -> Self {
        Self {
            name,
            program: program.into(),
            arguments,
            policy,
            state: State::Due { at: Instant::now() },
            failures: 0,
            asked: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.state = match self.spawn() {
            Ok(pid) => {
                for mut client in self.asked.drain(..) {
                    let _ = client.write_all(b"ok\n");
                }
                State::Up { pid, since: Instant::now() }
            }
            Err(error) => {
                eprintln!("cannot start {}: {error:#}", self.program);
                self.after(End::Code(127), Duration::ZERO)
            }
        };
    }

    fn spawn(&self) -> anyhow::Result<Pid> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(format!("/var/log/{}.log", self.name))?;
        if self.name == "engine" {
            // Left by an engine that was killed; another process may have its number now.
            let _ = fs::remove_file("/run/docker.pid");
        }
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", HOST_PATH)
            .env("HOME", "/root")
            // Logs are files.
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Pid::from_raw(child.id() as i32))
    }

    fn ended(&mut self, end: End, since: Instant) {
        if self.asked.is_empty() {
            eprintln!("{} ended: {end:?}", self.name);
            self.state = self.after(end, since.elapsed());
        } else {
            self.state = State::Due { at: Instant::now() };
        }
    }

    fn after(&mut self, end: End, lived: Duration) -> State {
        match next(self.policy, end, lived, self.failures) {
            Next::StayDown => State::Down,
            Next::Start { pause, failures } => {
                self.failures = failures;
                State::Due { at: Instant::now() + pause }
            }
        }
    }

    fn is_hopeless(&self) -> bool {
        self.name == "engine"
            && self.failures >= HOPELESS
            && !Path::new("/run/docker.sock").exists()
    }

    /// Stops what runs; the loop starts it again and answers.
    fn restart(&mut self, signal: Signal, client: UnixStream) {
        self.asked.push(client);
        match self.state {
            State::Up { pid, .. } => {
                let _ = kill(pid, signal);
            }
            State::Down | State::Due { .. } => self.state = State::Due { at: Instant::now() },
        }
    }
}

/// Runs the services; returns only with an error.
pub(super) fn supervise(mut services: Vec<Service>) -> anyhow::Result<ExitCode> {
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    child_ended.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&child_ended, flags)?;
    let requests = UnixListener::bind(SOCKET).with_context(|| format!("cannot bind {SOCKET}"))?;
    loop {
        // Programs must not inherit our blocked signal. One that comes while it is not blocked is
        // lost, so children are looked for afterwards.
        child_ended.thread_unblock()?;
        let now = Instant::now();
        for service in &mut services {
            if matches!(service.state, State::Due { at } if at <= now) {
                service.start();
            }
        }
        child_ended.thread_block()?;
        reap(&mut services);
        if let Some(service) = services.iter().find(|service| service.is_hopeless()) {
            bail!("{} does not start, see its log", service.name);
        }
        let mut events = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(requests.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut events, until_due(&services)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        let asked = events[1].any().unwrap_or(false);
        while signals.read_signal()?.is_some() {}
        if asked && let Ok((client, _)) = requests.accept() {
            take_request(&mut services, client);
        }
    }
}

fn reap(services: &mut [Service]) {
    loop {
        let (pid, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, End::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Signal(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(_) => return,
            Ok(_) => continue,
        };
        for service in services.iter_mut() {
            if let State::Up { pid: own, since } = service.state
                && own == pid
            {
                service.ended(end, since);
            }
        }
    }
}

fn until_due(services: &[Service]) -> PollTimeout {
    let earliest = services
        .iter()
        .filter_map(|service| match service.state {
            State::Due { at } => Some(at),
            State::Down | State::Up { .. } => None,
        })
        .min();
    match earliest {
        None => PollTimeout::NONE,
        // Rounded up, so that the loop does not spin through the last fraction.
        Some(at) => {
            let wait = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
        }
    }
}

fn take_request(services: &mut [Service], mut client: UnixStream) {
    match read_request(&client) {
        Ok((name, signal)) => match services.iter_mut().find(|service| service.name == name) {
            Some(service) => service.restart(signal, client),
            None => {
                let _ = writeln!(client, "this host has no {name}");
            }
        },
        Err(error) => {
            let _ = writeln!(client, "{error:#}");
        }
    }
}

fn read_request(client: &UnixStream) -> anyhow::Result<(String, Signal)> {
    client.set_read_timeout(Some(REQUEST_WITHIN))?;
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line)?;
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["restart", name, signal] => Ok((name.to_owned(), signal.parse()?)),
        _ => bail!("not understood: {}", line.trim()),
    }
}
