//! Powers a host on: its directories, its namespaces, its init.
//!
//! A helper process ([`host_launch`]) makes the namespaces, because the caller has threads and
//! wants to keep its own namespaces; the init is the helper's child and its pid namespace's first
//! process.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};
use serde::{Deserialize, Serialize};

use super::paths::{HostPaths, Paths};
use super::process::ProcessRef;
use super::state::{Boot, Host, HostName, Lab, Programs};
use super::{cgroup, copy, net};

/// This program, even when its file was replaced or removed since it was started.
const SELF: &str = "/proc/self/exe";

/// Everything a host's launcher and init need to know.
#[derive(Serialize, Deserialize)]
pub(super) struct HostSpec {
    /// The process that wants the host; the launcher does not outlive it.
    pub caller: i32,
    pub host: HostName,
    pub address: Ipv4Addr,
    /// Becomes `/etc`.
    pub etc: PathBuf,
    /// Becomes `/var`.
    pub var: PathBuf,
    /// Becomes `/run`.
    pub run: PathBuf,
    pub cgroups: Vec<PathBuf>,
    /// What `ip` has to do in the host's network namespace.
    pub network: String,
    pub programs: Programs,
    /// Where this program lies, and others beside it.
    pub own_directory: PathBuf,
}

/// What the launcher answers.
#[derive(Serialize, Deserialize)]
struct Launched {
    pid: i32,
}

/// Powers a host on; answers as soon as its init runs.
pub(super) fn power_on(paths: &Paths, lab: &Lab, host: &Host) -> anyhow::Result<Boot> {
    let place = paths.host(&lab.name, &host.name);
    let switch = paths.switch(&lab.name);
    // Groups of containers that died with the host; also an init that a killed command had started
    // and could not write down.
    let groups = lab.cgroups.iter().map(|base| base.join(host.name.as_str()));
    cgroup::remove(&groups.collect::<Vec<_>>())?;
    ensure_disk(&place, lab, host).context("cannot make the host's disk")?;
    clear_run(&place).context("cannot clear the host's /run")?;
    net::unplug(&switch, host);
    let agent_build = agent_build(&lab.programs);
    let spec = HostSpec {
        caller: std::process::id() as i32,
        host: host.name.clone(),
        address: host.address,
        etc: place.etc(),
        var: place.var(),
        run: place.run.clone(),
        cgroups: lab.cgroups.iter().cloned().collect(),
        network: net::host_batch(&switch, host),
        programs: lab.programs.clone(),
        own_directory: env::current_exe()?.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let Launched { pid } = launch(&spec)?;
    let init = ProcessRef::of(pid)?;
    net::plug(&switch, host)?;
    Ok(Boot { init, programs: lab.programs.clone(), agent_build })
}

/// Changes when the agent, or the orchestrator beside it, is built anew.
pub(super) fn agent_build(programs: &Programs) -> String {
    let Some(agent) = &programs.agent else { return String::new() };
    let stamp = |file: &Path| {
        let found = fs::metadata(file).ok()?;
        Some(format!("{}.{:09}+{}", found.mtime(), found.mtime_nsec(), found.len()))
    };
    let files = [agent.clone(), agent.with_file_name("orchestrator")];
    files.iter().filter_map(|file| stamp(file)).collect::<Vec<_>>().join(" ")
}

fn launch(spec: &HostSpec) -> anyhow::Result<Launched> {
    let mut launcher = Command::new(SELF)
        .arg0("swarmctl")
        .args(["lab", "host-launch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the launcher")?;
    let sent = serde_json::to_vec(spec)?;
    // When it ends before it has read all, its own message says more than a broken pipe.
    let _ = launcher.stdin.take().expect("it was piped").write_all(&sent);
    let output = launcher.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{}",
            String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("swarmctl: ")
        );
    }
    serde_json::from_slice(&output.stdout).context("the launcher gave no answer")
}

/// `swarmctl lab host-launch`: a host on standard input, its init's number on standard output.
pub(super) fn host_launch() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let spec: HostSpec = serde_json::from_slice(&text).context("this is for internal use")?;
    // A host that nobody is left to write down must not come to be.
    set_pdeathsig(Signal::SIGKILL).context("cannot follow the caller")?;
    anyhow::ensure!(getppid().as_raw() == spec.caller, "the caller has ended");
    for base in &spec.cgroups {
        cgroup::enter_new(base, &spec.host)?;
    }
    // Out of the caller's session, so that a hang-up of its terminal does not reach the host.
    setsid().context("cannot make a session")?;
    let namespaces = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    unshare(namespaces).context("cannot make namespaces")?;
    net::ip(net::In::Here, &spec.network)?;
    // Last: from here on the next child is the new pid namespace's init.
    unshare(CloneFlags::CLONE_NEWPID).context("cannot make a pid namespace")?;
    let log = spec.var.join("log/init.log");
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut init = Command::new(SELF)
        .arg0("swarmctl")
        .args(["lab", "host-init", "--name"])
        .arg(spec.host.as_str())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the host's init")?;
    println!("{}", serde_json::to_string(&Launched { pid: init.id() as i32 })?);
    init.stdin.take().expect("it was piped").write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Gives the host a disk of its own, or writes anew what a boot must find right on the old one.
fn ensure_disk(place: &HostPaths, lab: &Lab, host: &Host) -> anyhow::Result<()> {
    let (etc, var) = (place.etc(), place.var());
    if !etc.exists() {
        fs::create_dir_all(&place.disk)?;
        copy_etc(&etc)?;
    }
    for directory in ["lib", "log", "cache", "spool"] {
        fs::create_dir_all(var.join(directory))?;
    }
    fs::create_dir_all(var.join("tmp"))?;
    fs::set_permissions(var.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    for (link, target) in [("run", "/run"), ("lock", "/run/lock")] {
        if var.join(link).symlink_metadata().is_err() {
            symlink(target, var.join(link))?;
        }
    }
    write_etc(&etc, "hostname", &format!("{}\n", host.name))?;
    write_etc(&etc, "hosts", &net::hosts_file(lab))?;
    Ok(())
}

/// A host starts with the machine's configuration, but without what is about the machine itself.
fn copy_etc(etc: &Path) -> anyhow::Result<()> {
    let half = etc.with_extension("new");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    copy::tree("/etc".as_ref(), &half)?;
    for foreign in ["docker/daemon.json", "swarmctl/agent.toml"] {
        let _ = fs::remove_file(half.join(foreign));
    }
    // The lab has no name server; a query fails at once instead of waiting for an absent one.
    write_etc(&half, "resolv.conf", "options timeout:1 attempts:1\n")?;
    fs::rename(&half, etc)?;
    Ok(())
}

/// Replaces a file, or the link to one, that is not the host's own.
fn write_etc(etc: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let file = etc.join(file);
    if file.is_symlink() {
        fs::remove_file(&file)?;
    }
    fs::write(file, text)?;
    Ok(())
}

/// Tells every host of the lab the names of all.
pub(super) fn refresh_hosts_files(paths: &Paths, lab: &Lab) -> anyhow::Result<()> {
    let text = net::hosts_file(lab);
    for host in &lab.hosts {
        let etc = paths.host(&lab.name, &host.name).etc();
        if etc.exists() {
            write_etc(&etc, "hosts", &text)?;
        }
    }
    Ok(())
}

fn clear_run(place: &HostPaths) -> anyhow::Result<()> {
    if place.run.exists() {
        fs::remove_dir_all(&place.run)?;
    }
    for directory in ["lab/bin", "lab/agent", "lock"] {
        fs::create_dir_all(place.run.join(directory))?;
    }
    Ok(())
}
