//! What a host sees of the file system: its own `/etc`, `/var`, `/run`, `/tmp`, `/proc`, `/sys`
//! and control groups; everything else (programs, homes) is the machine's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::super::cgroup::{self, Hierarchy};
use super::super::launch::HostSpec;

const NONE: Option<&str> = None;

/// Mounts everything; runs once, in the host's new mount namespace.
pub(super) fn ensure_all(spec: &HostSpec) -> anyhow::Result<()> {
    let hierarchies = cgroup::hierarchies()?;
    // Nothing we mount is seen outside, but what is unmounted outside goes away here too.
    mount(NONE, "/", NONE, MsFlags::MS_SLAVE | MsFlags::MS_REC, NONE)
        .context("cannot make the mounts private")?;
    let_go(&needed(spec))?;
    show_programs(&spec.own_directory, &spec.run.join("lab/bin"))?;
    if let Some(directory) = agent_directory(spec) {
        show_programs(directory, &spec.run.join("lab/agent"))?;
    }
    // Each of these may hide the directory that a later one comes from, in this order it does not.
    bind(&spec.etc, "/etc".as_ref())?;
    bind(&spec.run, "/run".as_ref())?;
    bind(&spec.var, "/var".as_ref())?;
    fresh("tmpfs", "/tmp", "mode=1777")?;
    fresh("proc", "/proc", "")?;
    fresh("sysfs", "/sys", "")?;
    mount_cgroups(&hierarchies)?;
    fresh("devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    fresh("tmpfs", "/dev/shm", "mode=1777")?;
    if Path::new("/dev/mqueue").is_dir() {
        fresh("mqueue", "/dev/mqueue", "")?;
    }
    Ok(())
}

/// `overlay2` where the file system below can carry it, else the driver that always works.
pub(super) fn storage_driver(data_root: &Path) -> anyhow::Result<&'static str> {
    fs::create_dir_all(data_root)?;
    let probe = data_root.join(".lab-probe");
    let part = |name: &str| -> anyhow::Result<PathBuf> {
        let path = probe.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    };
    let (lower, upper, work, merged) =
        (part("lower")?, part("upper")?, part("work")?, part("merged")?);
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let overlay = Some("overlay");
    let works = mount(overlay, &merged, overlay, MsFlags::empty(), Some(options.as_str())).is_ok();
    if works {
        umount2(&merged, MntFlags::MNT_DETACH)?;
    }
    fs::remove_dir_all(&probe)?;
    Ok(if works { "overlay2" } else { "vfs" })
}

/// The directories of the machine that a host is made of.
fn needed(spec: &HostSpec) -> Vec<&Path> {
    let own = [spec.etc.as_path(), &spec.var, &spec.run, &spec.own_directory];
    own.into_iter().chain(agent_directory(spec)).collect()
}

fn agent_directory(spec: &HostSpec) -> Option<&Path> {
    spec.programs.agent.as_deref().and_then(Path::parent)
}

/// Shows a directory of the machine, in which a host must not write.
fn show_programs(directory: &Path, at: &Path) -> anyhow::Result<()> {
    bind(directory, at)?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(NONE, at, NONE, read_only, NONE)
        .with_context(|| format!("cannot protect {}", at.display()))
}

/// Our copies of the machine's mounts would keep what is mounted there busy for as long as this
/// host runs: other labs' switches, containers of the machine's own engine, somebody's disk.
fn let_go(needed: &[&Path]) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    for at in useless(&mounts, needed) {
        umount2(at, MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {at}"))?;
    }
    Ok(())
}

/// Mounted namespaces, and what a host's own directories will hide; the last mounted first.
fn useless<'a>(mountinfo: &'a str, needed: &[&Path]) -> Vec<&'a str> {
    let hidden = |at: &Path| {
        ["/run", "/tmp", "/var"].iter().any(|own| at.starts_with(own) && at != Path::new(own))
            && !needed.iter().any(|path| path.starts_with(at))
    };
    mountinfo
        .lines()
        .rev()
        .filter_map(|line| Some((line, line.split(' ').nth(4)?)))
        .filter(|(line, at)| line.contains(" - nsfs ") || hidden(Path::new(at)))
        .map(|(_, at)| at)
        .collect()
}

fn bind(from: &Path, to: &Path) -> anyhow::Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .with_context(|| format!("cannot mount {} over {}", from.display(), to.display()))
}

fn fresh(kind: &str, at: &str, options: &str) -> anyhow::Result<()> {
    let options = Some(options).filter(|options| !options.is_empty());
    mount(Some(kind), at, Some(kind), MsFlags::empty(), options)
        .with_context(|| format!("cannot mount {kind} over {at}"))
}

/// Shows the host's own groups as the roots of their hierarchies, at the usual places.
fn mount_cgroups(hierarchies: &[Hierarchy]) -> anyhow::Result<()> {
    let root = "/sys/fs/cgroup";
    if hierarchies.iter().any(|hierarchy| hierarchy.mount == Path::new(root)) {
        fresh("cgroup2", root, "")?;
        return make_leaf();
    }
    fresh("tmpfs", root, "mode=755")?;
    for hierarchy in hierarchies {
        fs::create_dir_all(&hierarchy.mount)?;
        let at = hierarchy.mount.to_string_lossy();
        if hierarchy.is_v2() {
            fresh("cgroup2", &at, "")?;
            continue;
        }
        let named = hierarchy.controllers.starts_with("name=");
        let options = if named {
            format!("none,{}", hierarchy.controllers)
        } else {
            hierarchy.controllers.clone()
        };
        fresh("cgroup", &at, &options)?;
        link_controllers(hierarchy)?;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o555))?;
    Ok(())
}

/// `cpu,cpuacct` is also found as `cpu` and as `cpuacct`.
fn link_controllers(hierarchy: &Hierarchy) -> anyhow::Result<()> {
    let (Some(parent), Some(directory)) = (hierarchy.mount.parent(), hierarchy.mount.file_name())
    else {
        return Ok(());
    };
    for controller in hierarchy.controllers.split(',').filter(|name| !name.contains('=')) {
        let link = parent.join(controller);
        if !link.exists() {
            symlink(directory, link)?;
        }
    }
    Ok(())
}

/// A version 2 group that hands controllers on must hold no process itself.
fn make_leaf() -> anyhow::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let leaf = root.join(cgroup::LEAF);
    fs::create_dir_all(&leaf)?;
    cgroup::join(&leaf)?;
    cgroup::allow_controllers(root);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_no_mount_busy_that_it_does_not_need() {
        let mounts = "\
21 1 0:4 net:[4026532] /run/swarmctl-lab/a/switch rw shared:9 - nsfs nsfs rw
22 1 254:0 / /home rw - ext4 /dev/vda rw
23 1 254:1 / /var rw - ext4 /dev/vdb rw
24 1 254:2 / /var/lib rw - ext4 /dev/vdc rw
25 1 0:30 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
26 1 0:31 / /tmp rw - tmpfs tmpfs rw
27 1 0:4 net:[4026533] /mnt/ns rw - nsfs nsfs rw
";
        let needed = Path::new("/var/lib/swarmctl-lab/a/m1/etc");
        assert_eq!(
            useless(mounts, &[needed]),
            ["/mnt/ns", "/var/lib/docker/overlay2/x/merged", "/run/swarmctl-lab/a/switch"]
        );
    }
}
