//! The first process of a host: mounts what a host has of its own, then keeps engine and agent
//! running until it is killed, and with it everything else in its pid namespace.

mod mounts;
mod restart;
mod services;

use std::fs;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use nix::sys::prctl::set_name;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::unistd::sethostname;

use super::launch::HostSpec;
use restart::Policy;
use services::Service;

/// Where the machine's programs are looked for.
pub(super) const PROGRAM_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the agent's directory is mounted: it starts programs that lie beside it.
const AGENT_DIRECTORY: &str = "/run/lab/agent";
/// Where programs are looked for inside a host. The directory of `swarmctl` is shown there too,
/// because a host's `/tmp`, `/var` and `/run` hide the machine's.
pub(super) const HOST_PATH: &str =
    "/run/lab/agent:/run/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files of a host's programs, as the engine's own systemd unit allows at least.
const OPEN_FILES: u64 = 1_048_576;

/// `swarmctl lab host-init`: a host on standard input; does not return while the host is on.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let spec: HostSpec = serde_json::from_slice(&text).context("this is for internal use")?;
    anyhow::ensure!(std::process::id() == 1, "this is for internal use");
    // It was started as `/proc/self/exe` and would be listed as `exe`.
    let _ = set_name(c"lab-init");
    mounts::ensure_all(&spec)?;
    sethostname(spec.host.as_str()).context("cannot set the host name")?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on forwarding")?;
    let _ = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES);
    let _ = setrlimit(Resource::RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY);
    choose_iptables();
    let driver = mounts::storage_driver("/var/lib/docker".as_ref())?;
    services::supervise(services(&spec, driver))
}

fn services(spec: &HostSpec, driver: &str) -> Vec<Service> {
    let engine = Service::new("engine", "dockerd", engine_arguments(spec, driver), Policy::Always);
    let agent = spec.programs.agent.as_ref().map(|agent| {
        let file = agent.file_name().unwrap_or_default().to_string_lossy();
        let program = format!("{AGENT_DIRECTORY}/{file}");
        let mut arguments = vec!["--advertise-addr".into(), spec.address.to_string()];
        arguments.extend(spec.programs.agent_flags.iter().cloned());
        Service::new("agent", &program, arguments, Policy::UnlessItEndsWell)
    });
    std::iter::once(engine).chain(agent).collect()
}

fn engine_arguments(spec: &HostSpec, driver: &str) -> Vec<String> {
    let fixed = [
        "--host=unix:///run/docker.sock",
        "--data-root=/var/lib/docker",
        "--exec-root=/run/docker",
        "--pidfile=/run/docker.pid",
        "--log-level=warn",
    ];
    let mut arguments: Vec<String> = fixed.map(String::from).into();
    let flags = &spec.programs.engine_flags;
    if !flags.iter().any(|flag| flag.starts_with("--storage-driver")) {
        arguments.push(format!("--storage-driver={driver}"));
    }
    arguments.extend(flags.iter().cloned());
    arguments
}

/// Falls back to the older backend of `iptables` where the kernel lacks what the newer one needs.
///
/// The choice is a link in the host's own `/etc`, so it does not touch the machine's.
fn choose_iptables() {
    let works = |program: &str| {
        ["-N", "-X"].iter().all(|action| {
            Command::new(program)
                .args(["-t", "nat", action, "lab-probe"])
                .env("PATH", PROGRAM_PATH)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
    };
    if works("iptables") || !works("iptables-legacy") {
        return;
    }
    for program in ["iptables", "ip6tables"] {
        let link = format!("/etc/alternatives/{program}");
        let legacy = format!("/usr/sbin/{program}-legacy");
        let _ = fs::remove_file(&link);
        if let Err(error) = std::os::unix::fs::symlink(&legacy, &link) {
            eprintln!("cannot choose {legacy}: {error}");
        }
    }
}
