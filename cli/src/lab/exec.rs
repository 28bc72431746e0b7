//! `lab exec`: runs a command inside a host, as if someone had logged in there.

use std::env;
use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::cgroup;
use super::init::HOST_PATH;
use super::paths::Paths;
use super::process::ProcessRef;
use super::state::{HostName, Lab, LabName, Power};

/// Variables that point a client to a cluster or an engine outside of the host.
const FOREIGN: [&str; 5] =
    ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "SWARMCTL_HOST"];

/// Runs `lab exec`; the exit code is the command's, or 128 and the signal that ended it.
pub(super) fn run(
    paths: &Paths,
    name: &LabName,
    host: &HostName,
    command: &[String],
) -> anyhow::Result<ExitCode> {
    let lab = Lab::load_known(paths, name)?;
    let found = lab.host(host)?;
    if matches!(found.power, Power::Paused(_)) {
        bail!("{host} is paused; `swarmctl lab resume {host}` lets it go on");
    }
    let init = found
        .init()
        .with_context(|| format!("{host} is off; `swarmctl lab start {host}` starts it"))?;
    let shell = [String::from("bash")];
    let command = match command {
        [] if std::io::stdin().is_terminal() => &shell[..],
        [] => bail!("there is no command, and no terminal for a shell"),
        given => given,
    };
    let directory = env::current_dir();
    enter(&lab, host, init)?;
    if directory.is_ok_and(|same| env::set_current_dir(same).is_err()) {
        env::set_current_dir("/")?;
    }
    let outcome = run_child(command)?;
    Ok(ExitCode::from(outcome))
}

/// Moves this process into the host; its next child is a process of the host's pid namespace too.
///
/// The kernel refuses this to a process with more than one thread.
fn enter(lab: &Lab, host: &HostName, init: &ProcessRef) -> anyhow::Result<()> {
    let namespaces = [
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("net", CloneFlags::CLONE_NEWNET),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let mut open = Vec::new();
    for (name, flag) in namespaces {
        let file = format!("/proc/{}/ns/{name}", init.pid);
        open.push((name, flag, File::open(&file).with_context(|| format!("cannot open {file}"))?));
    }
    anyhow::ensure!(init.is_alive(), "{host} was powered off");
    for base in &lab.cgroups {
        if base.join(host.as_str()).is_dir() {
            cgroup::enter(base, host)?;
        }
    }
    for (name, flag, file) in open {
        setns(file, flag)
            .with_context(|| format!("cannot enter the {name} namespace of {host}"))?;
    }
    Ok(())
}

fn run_child(command: &[String]) -> anyhow::Result<u8> {
    // A terminal sends its signals to the child as well; what others send is passed on.
    let passed_on = [Signal::SIGTERM, Signal::SIGHUP];
    let mut ours = SigSet::empty();
    for signal in passed_on.into_iter().chain([Signal::SIGINT, Signal::SIGQUIT, Signal::SIGCHLD]) {
        ours.add(signal);
    }
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env("PATH", path());
    for name in FOREIGN {
        child.env_remove(name);
    }
    let mut child = match child.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("swarmctl: cannot run `{}`: {error}", command[0]);
            return Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    // Not earlier, or the child would inherit it; one that ended before is found by asking.
    ours.thread_block()?;
    let signals = SignalFd::new(&ours)?;
    let pid = Pid::from_raw(child.id() as i32);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(exit_code(status));
        }
        if let Some(received) = signals.read_signal()?
            && let Ok(signal) = Signal::try_from(received.ssi_signo as i32)
            && passed_on.contains(&signal)
        {
            let _ = kill(pid, signal);
        }
    }
}

/// The caller's own, after the agent's directory.
fn path() -> String {
    match env::var("PATH") {
        Ok(own) => format!("{HOST_PATH}:{own}"),
        Err(_) => HOST_PATH.into(),
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_in_an_exit_code_as_shells_give_it() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }
}
