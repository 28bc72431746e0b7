//! A control group for each host, in every hierarchy the machine has (version 1, 2 or both).
//!
//! The group is the root of what the host sees of control groups, so that its engine can do there
//! what it likes and `down` finds every process and every group that is left.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::state::{HostName, LabName};

/// How long a group may stay busy after its last process was killed.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub mount: PathBuf,
    /// Mount data that names it: `memory`, `cpu,cpuacct`, `name=systemd`; empty for version 2.
    pub controllers: String,
    /// The group of the process that asks.
    pub own: PathBuf,
}

impl Hierarchy {
    pub(super) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// The hierarchies that are mounted on this machine.
pub(super) fn hierarchies() -> anyhow::Result<Vec<Hierarchy>> {
    let read = |file| fs::read_to_string(file).with_context(|| format!("cannot read {file}"));
    Ok(parse(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?))
}

/// Directories, one a hierarchy, in which the groups of a lab's hosts belong.
///
/// They lie below the caller's own group, so that its limits stay in force. Not so in a hierarchy
/// of version 2 with controllers: there, a group that holds processes cannot have limited children.
pub(super) fn bases(lab: &LabName) -> anyhow::Result<Vec<PathBuf>> {
    let base = |hierarchy: Hierarchy| {
        let controllers = fs::read_to_string(hierarchy.mount.join("cgroup.controllers"));
        let unified = controllers.is_ok_and(|list| !list.trim().is_empty());
        let above = if unified { hierarchy.mount } else { hierarchy.own };
        above.join("swarmctl-lab").join(lab.as_str())
    };
    Ok(hierarchies()?.into_iter().map(base).collect())
}

/// Makes a host's group below a base and moves the calling process into it.
pub(super) fn enter_new(base: &Path, host: &HostName) -> anyhow::Result<()> {
    let group = base.join(host.as_str());
    fs::create_dir_all(&group).with_context(|| format!("cannot make {}", group.display()))?;
    let levels: Vec<&Path> = group.ancestors().take(3).collect();
    for level in levels.into_iter().rev() {
        inherit_cpuset(level);
        if level != group {
            allow_controllers(level);
        }
    }
    join(&group)
}

/// Moves the calling process into a host's group.
pub(super) fn enter(base: &Path, host: &HostName) -> anyhow::Result<()> {
    let group = base.join(host.as_str());
    let leaf = group.join(LEAF);
    join(if leaf.is_dir() { &leaf } else { &group })
}

/// Where the processes of a version 2 host itself live: its root must hold none, or it could not
/// limit its containers.
pub(super) const LEAF: &str = "init";

/// Hands every controller on to the children of a version 2 group.
pub(super) fn allow_controllers(group: &Path) {
    if let Ok(controllers) = fs::read_to_string(group.join("cgroup.controllers")) {
        for controller in controllers.split_whitespace() {
            // Best effort: a controller that cannot be handed on limits nothing, that is all.
            let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

pub(super) fn join(group: &Path) -> anyhow::Result<()> {
    let file = group.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// A new version 1 cpuset allows nothing until it is told what its parent allows.
fn inherit_cpuset(group: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(group.join(file));
        if own.is_ok_and(|value| value.trim().is_empty())
            && let Some(parent) = group.parent()
            && let Ok(allowed) = fs::read_to_string(parent.join(file))
        {
            let _ = fs::write(group.join(file), allowed);
        }
    }
}

/// Stops or lets go on every process of a host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    Frozen,
    Free,
}

/// Freezes or thaws a host by whichever hierarchy can.
pub(super) fn set_motion<'a>(
    bases: impl Iterator<Item = &'a PathBuf>,
    host: &HostName,
    motion: Motion,
) -> anyhow::Result<()> {
    let switches = [("freezer.state", "FROZEN", "THAWED"), ("cgroup.freeze", "1", "0")];
    let bases: Vec<_> = bases.collect();
    for (file, frozen, free) in switches {
        for base in &bases {
            let file = base.join(host.as_str()).join(file);
            if file.exists() {
                let value = match motion {
                    Motion::Frozen => frozen,
                    Motion::Free => free,
                };
                return fs::write(&file, value)
                    .with_context(|| format!("cannot write {}", file.display()));
            }
        }
    }
    anyhow::bail!("this machine has no control group that can freeze `{host}`")
}

/// Kills whatever is in the groups and below them, then removes them. Absent is fine.
///
/// They are the same hosts' groups in several hierarchies: what is frozen by one of them keeps all
/// of them busy.
pub(super) fn remove(groups: &[PathBuf]) -> anyhow::Result<()> {
    let deadline = Instant::now() + EMPTY_WITHIN;
    loop {
        groups.iter().for_each(|group| kill_all(group));
        let busy = groups.iter().find_map(|group| Some((group, remove_tree(group).err()?)));
        let Some((group, error)) = busy else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(error).with_context(|| format!("cannot remove {}", group.display()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill_all(group: &Path) {
    let _ = fs::write(group.join("freezer.state"), "THAWED");
    let _ = fs::write(group.join("cgroup.freeze"), "0");
    if let Ok(members) = fs::read_to_string(group.join("cgroup.procs")) {
        // Zero stands for a process that cannot be seen from here.
        for pid in members.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    for child in children(group) {
        kill_all(&child);
    }
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    for child in children(group) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn parse(own: &str, mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mounted = mounts.lines().filter_map(Mount::parse).find(|mount| mount.is(controllers));
        if let Some(mount) = mounted {
            let below = Path::new(path).strip_prefix(mount.root).unwrap_or(Path::new(""));
            found.push(Hierarchy {
                mount: mount.at.into(),
                controllers: controllers.into(),
                own: Path::new(mount.at).join(below),
            });
        }
    }
    found
}

struct Mount<'a> {
    root: &'a str,
    at: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// One line of `/proc/self/mountinfo`.
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        let (root, at) = (left.next()?, left.next()?);
        Some(Self { root, at, kind: right.next()?, options: right.nth(1)? })
    }

    /// Whether this mount shows the hierarchy with these controllers.
    fn is(&self, controllers: &str) -> bool {
        if controllers.is_empty() {
            return self.kind == "cgroup2";
        }
        self.kind == "cgroup"
            && controllers
                .split(',')
                .all(|wanted| self.options.split(',').any(|option| option == wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_with_the_callers_own_group() {
        let own = "5:cpu,cpuacct:/a/b\n2:name=systemd:/user.slice\n3:net_cls:/\n0::/\n";
        let mounts = "\
30 1 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:5 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 /user.slice /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        let hierarchy = |mount: &str, controllers: &str, own: &str| Hierarchy {
            mount: mount.into(),
            controllers: controllers.into(),
            own: own.into(),
        };
        assert_eq!(
            parse(own, mounts),
            [
                hierarchy(
                    "/sys/fs/cgroup/cpu,cpuacct",
                    "cpu,cpuacct",
                    "/sys/fs/cgroup/cpu,cpuacct/a/b"
                ),
                hierarchy("/sys/fs/cgroup/systemd", "name=systemd", "/sys/fs/cgroup/systemd/"),
                hierarchy("/sys/fs/cgroup/unified", "", "/sys/fs/cgroup/unified/"),
            ]
        );
    }

    #[test]
    fn a_machine_with_version_2_only_has_one_hierarchy() {
        let mounts = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = parse("0::/user.slice/x.scope\n", mounts);
        assert_eq!(found.len(), 1);
        assert!(found[0].is_v2());
        assert_eq!(found[0].own, Path::new("/sys/fs/cgroup/user.slice/x.scope"));
    }
}
