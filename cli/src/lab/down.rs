//! `lab down`: removes a lab and every trace of it, also of one whose `up` died half way.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use super::paths::Paths;
use super::state::{Lab, LabName};
use super::{cgroup, lock, net};

/// How long a killed host may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Runs `lab down`; a lab that is not there is down already.
pub(super) fn run(paths: &Paths, name: Option<LabName>, all: bool) -> anyhow::Result<ExitCode> {
    let names = if all { paths.labs() } else { vec![name.unwrap_or_default()] };
    for name in names {
        if paths.lab_state(&name).exists() || paths.lab_run(&name).exists() {
            remove(paths, &name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(paths: &Paths, name: &LabName) -> anyhow::Result<()> {
    let _lock = lock::lab(paths, name)?;
    // A damaged file must not stand in the way; what it said is found by looking.
    let lab = Lab::load(paths, name).ok().flatten();
    let mut groups: BTreeSet<PathBuf> = cgroup::bases(name)?.into_iter().collect();
    if let Some(lab) = &lab {
        groups.extend(lab.cgroups.iter().cloned());
        for host in &lab.hosts {
            if let Some(init) = host.init() {
                init.signal(Signal::SIGKILL);
            }
        }
    }
    // Kills also what no file tells of, and thaws what could not die.
    let groups: Vec<PathBuf> = groups.into_iter().collect();
    cgroup::remove(&groups)?;
    for group in &groups {
        if let Some(parent) = group.parent() {
            // Stays when another lab is in it.
            let _ = fs::remove_dir(parent);
        }
    }
    for host in lab.iter().flat_map(|lab| &lab.hosts) {
        if let Some(init) = host.init() {
            init.wait_ended(GONE_WITHIN)?;
        }
    }
    let link = lab.as_ref().map(|lab| lab.subnet.link_name());
    net::remove_switch(paths, name, link.as_deref())?;
    for root in [paths.lab_state(name), paths.lab_run(name)] {
        unmount_below(&root)?;
        remove_directory(&root)?;
    }
    // Stay when another lab is in them.
    let _ = fs::remove_dir(&paths.run);
    let _ = fs::remove_dir(&paths.state);
    Ok(())
}

/// Nothing is removed through a mount.
fn unmount_below(root: &Path) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let at = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    for mount in at.filter(|mount| mount.starts_with(root)) {
        umount2(mount, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    Ok(())
}

fn remove_directory(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot remove {}", path.display())),
    }
}
