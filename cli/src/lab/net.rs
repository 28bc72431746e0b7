//! The switch of a lab: a bridge in a network namespace of its own, a port for each host, and one
//! link to the machine, by which every host's published ports can be reached from outside.
//!
//! The bridge is not in the machine's own namespace because firewall rules there (Docker's own
//! among them) may apply to bridged frames too.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::address::{Route, parse_routes};
use super::paths::Paths;
use super::state::{Host, Lab, LabName};

/// The switch's port to the machine.
pub(super) const UPLINK: &str = "uplink";
/// The bridge.
const BRIDGE: &str = "switch";

/// A network namespace.
#[derive(Clone, Copy)]
pub(super) enum In<'a> {
    /// The caller's.
    Here,
    /// The one mounted over this file.
    At(&'a Path),
}

/// Makes the switch what it should be, whatever there is of it, and links it to the machine.
///
/// Each step may be done already, also by an `ip` that outlived a killed command by a moment.
pub(super) fn ensure_switch(paths: &Paths, lab: &Lab) -> anyhow::Result<()> {
    let switch = paths.switch(&lab.name);
    if !is_mounted(&switch)? {
        new_namespace(&switch).context("cannot make the switch's namespace")?;
    }
    let bridge = format!("link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0\n");
    ensure_link(In::At(&switch), &bridge)?;
    ip(In::At(&switch), &format!("link set lo up\nlink set {BRIDGE} up\n"))?;
    let link = lab.subnet.link_name();
    let veth = format!("link add {link} type veth peer name {UPLINK} netns {}\n", switch.display());
    ensure_link(In::Here, &veth)?;
    let outside = format!(
        "link set {link} alias {}\n\
         addr replace {}/24 brd + dev {link}\n\
         link set {link} up\n",
        alias(&lab.name),
        lab.subnet.outside(),
    );
    ip(In::Here, &outside)?;
    ip(In::At(&switch), &format!("link set {UPLINK} master {BRIDGE} up\n"))
}

/// Adds a link; one of that name is as good.
fn ensure_link(place: In<'_>, add: &str) -> anyhow::Result<()> {
    match ip(place, add) {
        Err(error) if error.to_string().contains("File exists") => Ok(()),
        other => other,
    }
}

/// What `ip` has to do in a host's namespace: one link, whose other end is a port of the switch.
pub(super) fn host_batch(switch: &Path, host: &Host) -> String {
    format!(
        "link set lo up\n\
         link add eth0 address {} type veth peer name {} netns {}\n\
         addr add {}/24 brd + dev eth0\n\
         link set eth0 up\n",
        host.mac(),
        host.port(),
        switch.display(),
        host.address,
    )
}

/// Plugs a host's port into the bridge.
pub(super) fn plug(switch: &Path, host: &Host) -> anyhow::Result<()> {
    ip(In::At(switch), &format!("link set {} master {BRIDGE} up\n", host.port()))
}

/// Removes the port of a host that is off; the kernel does so by itself, but takes its time.
pub(super) fn unplug(switch: &Path, host: &Host) {
    let _ = ip(In::At(switch), &format!("link del {}\n", host.port()));
}

/// Removes the switch and its link to the machine; absent is fine.
///
/// The link is found by its mark, or by its name when its maker was killed before it was marked.
pub(super) fn remove_switch(
    paths: &Paths,
    lab: &LabName,
    link_name: Option<&str>,
) -> anyhow::Result<()> {
    for link in fs::read_dir("/sys/class/net")?.filter_map(Result::ok) {
        let link = link.file_name().to_string_lossy().into_owned();
        let Some(mark) = alias_of(&link) else { continue };
        if mark == alias(lab) || (mark.is_empty() && link_name == Some(&link)) {
            let removed = ip(In::Here, &format!("link del {link}\n"));
            // It also goes by itself when the namespace of its other end does.
            if Path::new("/sys/class/net").join(&link).exists() {
                removed?;
            }
        }
    }
    let switch = paths.switch(lab);
    while is_mounted(&switch)? {
        umount2(&switch, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", switch.display()))?;
    }
    Ok(())
}

/// Replaces the rules of the switch as a whole: nothing passes from the first port to the second.
///
/// Frames are dropped in the bridge, before any connection tracking, so established connections
/// are cut as well.
pub(super) fn set_cuts(switch: &Path, cuts: &[(String, String)]) -> anyhow::Result<()> {
    run(In::At(switch), Command::new("nft").args(["-f", "-"]), &rules(cuts))
}

/// The routes of the machine.
pub(super) fn routes() -> anyhow::Result<Vec<Route>> {
    let text = fs::read_to_string("/proc/net/route").context("cannot read /proc/net/route")?;
    Ok(parse_routes(&text))
}

fn rules(cuts: &[(String, String)]) -> String {
    let drops: String = cuts
        .iter()
        .map(|(from, to)| format!("    iifname \"{from}\" oifname \"{to}\" drop\n"))
        .collect();
    // Naming the table first makes the deletion valid when it is not there yet.
    format!(
        "table bridge lab\n\
         delete table bridge lab\n\
         table bridge lab {{\n  \
           chain forward {{\n    \
             type filter hook forward priority 0; policy accept;\n\
         {drops}  }}\n\
         }}\n"
    )
}

/// Marks a link as this lab's, so that it is found without knowing the address range.
fn alias(lab: &LabName) -> String {
    format!("swarmctl-lab-{lab}")
}

fn alias_of(link: &str) -> Option<String> {
    let file = Path::new("/sys/class/net").join(link).join("ifalias");
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

/// Runs `ip` commands, one a line; the first that fails ends it.
pub(super) fn ip(place: In<'_>, batch: &str) -> anyhow::Result<()> {
    run(place, Command::new("ip").args(["-batch", "-"]), batch)
}

fn run(place: In<'_>, command: &mut Command, input: &str) -> anyhow::Result<()> {
    match place {
        In::Here => feed(command, input),
        // A thread of its own: the namespace belongs to the thread, and its child inherits it.
        In::At(path) => std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                let namespace =
                    File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                setns(namespace, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("cannot enter {}", path.display()))?;
                feed(command, input)
            });
            entered.join().expect("nothing in this thread panics")
        }),
    }
}

fn feed(command: &mut Command, input: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    // When it ends before it has read all, its own message says more than a broken pipe.
    let _ = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}", said.trim().replace('\n', "; "));
    }
    Ok(())
}

fn new_namespace(at: &Path) -> anyhow::Result<()> {
    File::create(at)?;
    std::thread::scope(|scope| {
        let made = scope.spawn(|| -> anyhow::Result<()> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = "/proc/thread-self/ns/net";
            mount(Some(own), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            Ok(())
        });
        made.join().expect("nothing in this thread panics")
    })
}

/// Whether a namespace is mounted over the file.
fn is_mounted(file: &Path) -> anyhow::Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    Ok(mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == file)))
}

/// What every host of the lab knows by name without asking anybody.
pub(super) fn hosts_file(lab: &Lab) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let mut line = |address: Ipv4Addr, name: &str| text.push_str(&format!("{address} {name}\n"));
    line(lab.subnet.outside(), "outside");
    for host in &lab.hosts {
        line(host.address, host.name.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::state::Role;
    use super::*;

    #[test]
    fn rules_are_replaced_as_a_whole() {
        let text = rules(&[("p1".into(), "p2".into())]);
        assert_eq!(
            text,
            "table bridge lab\ndelete table bridge lab\ntable bridge lab {\n  chain forward {\n    \
             type filter hook forward priority 0; policy accept;\n    \
             iifname \"p1\" oifname \"p2\" drop\n  }\n}\n"
        );
    }

    #[test]
    fn every_host_knows_every_other_by_name() {
        let subnet = "10.210.4.0/24".parse().expect("a range");
        let mut lab = Lab::empty(LabName::default(), subnet);
        lab.grow(Role::Manager, 1).expect("grows");
        lab.grow(Role::Worker, 1).expect("grows");
        let text = hosts_file(&lab);
        assert!(text.contains("10.210.4.1 outside\n10.210.4.11 m1\n10.210.4.101 w1\n"), "{text}");
    }
}
