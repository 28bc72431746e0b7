//! Judges whether this machine can hold a lab, and says what to do when it cannot.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::bail;
use nix::unistd::Uid;

use super::cgroup;
use super::init::PROGRAM_PATH;

/// Programs that a lab runs, and the Debian package that brings each.
const PROGRAMS: [(&str, &str); 4] =
    [("dockerd", "docker.io"), ("ip", "iproute2"), ("nft", "nftables"), ("iptables", "iptables")];

/// Only root may make namespaces.
pub(super) fn is_root() -> anyhow::Result<()> {
    if !Uid::effective().is_root() {
        bail!("swarmctl lab makes namespaces and must run as root; try `sudo swarmctl lab …`");
    }
    Ok(())
}

/// Every program that a lab needs is installed.
pub(super) fn has_programs() -> anyhow::Result<()> {
    let missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (programs, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    bail!("{} not found; try `apt-get install {}`", programs.join(", "), packages.join(" "));
}

/// Engines put every container into a control group.
pub(super) fn has_cgroups() -> anyhow::Result<()> {
    if cgroup::hierarchies()?.is_empty() {
        bail!(
            "no control groups are mounted; try `mount -t cgroup2 none /sys/fs/cgroup`, or \
             `apt-get install cgroupfs-mount`"
        );
    }
    Ok(())
}

fn is_installed(program: &str) -> bool {
    PROGRAM_PATH.split(':').any(|directory| Path::new(directory).join(program).is_file())
}

/// The agent to run: the one that was named, or the one beside this program.
pub(crate) fn find_agent(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => match path.canonicalize() {
            Ok(found) if found.is_file() => Ok(found),
            _ => bail!("there is no agent program at {}", path.display()),
        },
        None => {
            let beside = env::current_exe()?.with_file_name("agent");
            if !beside.is_file() {
                bail!(
                    "there is no agent program at {}; name one with --agent (a lab can also be of \
                     engines only: --no-cluster)",
                    beside.display()
                );
            }
            Ok(beside)
        }
    }
}
