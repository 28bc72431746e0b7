//! Hosts on, off, frozen, and their programs restarted.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;

use super::args::{Program, RestartArgs};
use super::cgroup::{self, Motion};
use super::engine::Engine;
use super::paths::{HostPaths, Paths};
use super::state::{Host, HostName, Lab, LabName, Power};
use super::{launch, lock};

/// How long a killed host may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// How long an engine may take to answer after its host was powered on.
const ENGINE_WITHIN: Duration = Duration::from_secs(120);
/// How long a program may take to be stopped and started.
const RESTARTED_WITHIN: Duration = Duration::from_secs(60);
/// How often a socket is tried.
const POLL: Duration = Duration::from_millis(20);

/// `lab kill`.
pub(super) fn kill(paths: &Paths, name: &LabName, hosts: &[HostName]) -> anyhow::Result<ExitCode> {
    let _lock = lock::lab(paths, name)?;
    let mut lab = Lab::load_known(paths, name)?;
    let found = lab.find(hosts)?;
    power_off(paths, &mut lab, &found)?;
    Ok(ExitCode::SUCCESS)
}

fn power_off(paths: &Paths, lab: &mut Lab, hosts: &[Host]) -> anyhow::Result<()> {
    for host in hosts {
        if let Some(init) = host.init() {
            init.signal(Signal::SIGKILL);
            if matches!(host.power, Power::Paused(_)) {
                // What is frozen dies only when it is thawed.
                cgroup::set_motion(lab.cgroups.iter(), &host.name, Motion::Free)?;
            }
        }
    }
    for host in hosts {
        if let Some(init) = host.init() {
            init.wait_ended(GONE_WITHIN)?;
        }
        lab.host_mut(&host.name)?.power = Power::Off;
    }
    lab.save(paths)
}

/// `lab start`.
pub(super) fn start(paths: &Paths, name: &LabName, hosts: &[HostName]) -> anyhow::Result<ExitCode> {
    let lock = lock::lab(paths, name)?;
    let mut lab = Lab::load_known(paths, name)?;
    lab.find(hosts)?;
    ensure_on(paths, &mut lab, hosts)?;
    drop(lock);
    wait_ready(paths, &lab, hosts)?;
    Ok(ExitCode::SUCCESS)
}

/// `lab pause`.
pub(super) fn pause(paths: &Paths, name: &LabName, hosts: &[HostName]) -> anyhow::Result<ExitCode> {
    set_motion(paths, name, hosts, Motion::Frozen)
}

/// `lab resume`.
pub(super) fn resume(
    paths: &Paths,
    name: &LabName,
    hosts: &[HostName],
) -> anyhow::Result<ExitCode> {
    set_motion(paths, name, hosts, Motion::Free)
}

fn set_motion(
    paths: &Paths,
    name: &LabName,
    hosts: &[HostName],
    motion: Motion,
) -> anyhow::Result<ExitCode> {
    let _lock = lock::lab(paths, name)?;
    let mut lab = Lab::load_known(paths, name)?;
    for host in lab.find(hosts)? {
        let boot = host.boot().filter(|boot| boot.init.is_alive()).cloned();
        let boot = boot.with_context(|| {
            format!("{0} is off; `swarmctl lab start {0}` starts it", host.name)
        })?;
        cgroup::set_motion(lab.cgroups.iter(), &host.name, motion)?;
        lab.host_mut(&host.name)?.power = match motion {
            Motion::Frozen => Power::Paused(boot),
            Motion::Free => Power::On(boot),
        };
    }
    lab.save(paths)?;
    Ok(ExitCode::SUCCESS)
}

/// `lab restart`.
pub(super) fn restart(
    paths: &Paths,
    name: &LabName,
    args: &RestartArgs,
) -> anyhow::Result<ExitCode> {
    let lab = Lab::load_known(paths, name)?;
    let hosts = lab.find(&args.hosts)?;
    let program = match args.what {
        Program::Agent => "agent",
        Program::Engine => "engine",
    };
    let signal = if args.kill { Signal::SIGKILL } else { Signal::SIGTERM };
    each(&hosts, |host| ask_restart(&paths.host(name, &host.name), host, program, signal))?;
    if args.what == Program::Engine {
        wait_ready(paths, &lab, &args.hosts)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers when the new process runs.
fn ask_restart(
    place: &HostPaths,
    host: &Host,
    program: &str,
    signal: Signal,
) -> anyhow::Result<()> {
    anyhow::ensure!(host.init().is_some(), "it is off");
    anyhow::ensure!(!matches!(host.power, Power::Paused(_)), "it is paused");
    let mut init = UnixStream::connect(place.init_socket()).context("cannot reach its init")?;
    init.set_read_timeout(Some(RESTARTED_WITHIN))?;
    writeln!(init, "restart {program} {signal}")?;
    let mut answer = String::new();
    init.read_to_string(&mut answer).context("its init does not answer")?;
    anyhow::ensure!(answer == "ok\n", "{}", answer.trim());
    Ok(())
}

/// Hosts that run with other flags than the lab's are powered off, agents of an older build are
/// restarted.
pub(super) fn ensure_up_to_date(paths: &Paths, lab: &mut Lab) -> anyhow::Result<()> {
    let build = launch::agent_build(&lab.programs);
    let mut outdated = Vec::new();
    let mut old_agents = Vec::new();
    for host in lab.hosts.iter().filter(|host| host.init().is_some()) {
        let boot = host.boot().expect("it has an init");
        if boot.programs != lab.programs {
            eprintln!("{}: restarts, its flags have changed", host.name);
            outdated.push(host.clone());
        } else if boot.agent_build != build && matches!(host.power, Power::On(_)) {
            eprintln!("{}: restarts its agent, the program has changed", host.name);
            old_agents.push(host.clone());
        }
    }
    power_off(paths, lab, &outdated)?;
    each(&old_agents, |host| {
        ask_restart(&paths.host(&lab.name, &host.name), host, "agent", Signal::SIGTERM)
    })?;
    for host in &old_agents {
        if let Power::On(boot) = &mut lab.host_mut(&host.name)?.power {
            boot.agent_build.clone_from(&build);
        }
    }
    lab.save(paths)
}

/// Powers on those of the hosts that are off, all at once, and writes down what runs.
pub(super) fn ensure_on(paths: &Paths, lab: &mut Lab, names: &[HostName]) -> anyhow::Result<()> {
    lab.cgroups.extend(cgroup::bases(&lab.name)?);
    for host in &mut lab.hosts {
        if host.init().is_none() {
            host.power = Power::Off;
        }
    }
    lab.save(paths)?;
    let wanted = lab.find(names)?;
    let off: Vec<Host> = wanted.into_iter().filter(|host| host.power == Power::Off).collect();
    let before = lab.clone();
    let shared = Mutex::new(lab);
    each(&off, |host| {
        let boot = launch::power_on(paths, &before, host)?;
        let mut lab = shared.lock().expect("no holder panics");
        lab.host_mut(&host.name)?.power = Power::On(boot);
        lab.save(paths)
    })
}

/// Waits until the engines of the hosts answer.
pub(super) fn wait_ready(paths: &Paths, lab: &Lab, names: &[HostName]) -> anyhow::Result<()> {
    let awake: Vec<Host> = lab
        .find(names)?
        .into_iter()
        .filter(|host| !matches!(host.power, Power::Paused(_)))
        .collect();
    each(&awake, |host| {
        let place = paths.host(&lab.name, &host.name);
        let engine = Engine::at(place.engine_socket());
        let deadline = Instant::now() + ENGINE_WITHIN;
        while !engine.answers() {
            if host.init().is_none() {
                bail!("it died at once: {}", last_words(&place, "engine"));
            }
            if Instant::now() > deadline {
                let said = last_words(&place, "engine");
                bail!("its engine does not answer after {} s: {said}", ENGINE_WITHIN.as_secs());
            }
            thread::sleep(POLL);
        }
        Ok(())
    })
}

/// How many lines of a log are quoted in an error.
const LAST_WORDS: usize = 3;

/// The last lines that a program of a host wrote.
pub(super) fn last_words(place: &HostPaths, program: &str) -> String {
    let text = fs::read(place.log(program)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match &lines[lines.len().saturating_sub(LAST_WORDS)..] {
        [] => format!("its {program} left no message"),
        last => format!("its {program} said: {}", last.join(" | ")),
    }
}

/// Does something for every host at the same time; the error names every host where it failed.
pub(super) fn each(
    hosts: &[Host],
    action: impl Fn(&Host) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let action = &action;
    let failures: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> =
            hosts.iter().map(|host| (host, scope.spawn(move || action(host)))).collect();
        running
            .into_iter()
            .filter_map(|(host, handle)| {
                let outcome = handle.join().expect("no action panics");
                outcome.err().map(|error| format!("{}: {error:#}", host.name))
            })
            .collect()
    });
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n          ")) }
}
