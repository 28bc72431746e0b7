//! Which hosts can reach which: partitions, cuts, healing.

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::paths::Paths;
use super::state::{Cut, HostName, Lab, LabName};
use super::{Usage, lock, net};

/// The name under which the machine that the lab runs on can be cut off.
const OUTSIDE: &str = "outside";

/// Which ways a cut cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    One,
    Both,
}

impl From<bool> for Ways {
    fn from(one_way: bool) -> Self {
        if one_way { Self::One } else { Self::Both }
    }
}

/// `lab partition`.
pub(super) fn partition(
    paths: &Paths,
    name: &LabName,
    hosts: &[HostName],
) -> anyhow::Result<ExitCode> {
    change(paths, name, |lab| {
        lab.find(hosts)?;
        let cuts = around(lab, hosts);
        lab.cuts.extend(cuts);
        Ok(())
    })
}

/// `lab cut`.
pub(super) fn cut(
    paths: &Paths,
    name: &LabName,
    from: &HostName,
    to: &HostName,
    ways: Ways,
) -> anyhow::Result<ExitCode> {
    change(paths, name, |lab| {
        for end in [from, to] {
            port(lab, end)?;
        }
        if from == to {
            return Err(Usage(format!("`{from}` cannot be cut off from itself")).into());
        }
        lab.cuts.extend(between(from, to, ways));
        Ok(())
    })
}

/// `lab heal`.
pub(super) fn heal(paths: &Paths, name: &LabName, hosts: &[HostName]) -> anyhow::Result<ExitCode> {
    change(paths, name, |lab| {
        for host in hosts {
            port(lab, host)?;
        }
        let touched = |cut: &Cut| hosts.contains(&cut.from) || hosts.contains(&cut.to);
        lab.cuts.retain(|cut| !hosts.is_empty() && !touched(cut));
        Ok(())
    })
}

/// Makes the switch's rules what the lab says.
pub(super) fn apply(paths: &Paths, lab: &Lab) -> anyhow::Result<()> {
    let ports = lab
        .cuts
        .iter()
        .map(|cut| Ok((port(lab, &cut.from)?, port(lab, &cut.to)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    net::set_cuts(&paths.switch(&lab.name), &ports)
}

fn change(
    paths: &Paths,
    name: &LabName,
    edit: impl FnOnce(&mut Lab) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let _lock = lock::lab(paths, name)?;
    let mut lab = Lab::load_known(paths, name)?;
    edit(&mut lab)?;
    lab.save(paths)?;
    apply(paths, &lab)?;
    Ok(ExitCode::SUCCESS)
}

fn between(from: &HostName, to: &HostName, ways: Ways) -> Vec<Cut> {
    let there = Cut { from: from.clone(), to: to.clone() };
    let back = Cut { from: to.clone(), to: from.clone() };
    match ways {
        Ways::One => vec![there],
        Ways::Both => vec![there, back],
    }
}

/// The cuts between a group of hosts and all others; the machine outside keeps seeing both sides.
fn around(lab: &Lab, group: &[HostName]) -> BTreeSet<Cut> {
    let others: Vec<_> = lab.hosts.iter().filter(|host| !group.contains(&host.name)).collect();
    group
        .iter()
        .flat_map(|host| others.iter().flat_map(|other| between(host, &other.name, Ways::Both)))
        .collect()
}

fn port(lab: &Lab, name: &HostName) -> anyhow::Result<String> {
    if name.as_str() == OUTSIDE {
        return Ok(net::UPLINK.into());
    }
    Ok(lab.host(name)?.port())
}

#[cfg(test)]
mod tests {
    use super::super::state::Role;
    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().expect("a name")
    }

    fn lab() -> Lab {
        let mut lab = Lab::empty(LabName::default(), "10.210.0.0/24".parse().expect("a range"));
        lab.grow(Role::Manager, 2).expect("grows");
        lab.grow(Role::Worker, 2).expect("grows");
        lab
    }

    #[test]
    fn a_partitioned_group_still_sees_itself() {
        let cuts = around(&lab(), &[name("m1"), name("w1")]);
        let text: Vec<_> = cuts.iter().map(|cut| format!("{}>{}", cut.from, cut.to)).collect();
        assert_eq!(text, ["m1>m2", "m1>w2", "m2>m1", "m2>w1", "w1>m2", "w1>w2", "w2>m1", "w2>w1"]);
    }

    #[test]
    fn the_machine_outside_has_a_port_too() {
        assert_eq!(port(&lab(), &name("outside")).expect("a port"), "uplink");
        assert_eq!(port(&lab(), &name("w2")).expect("a port"), "p102");
        assert!(port(&lab(), &name("w3")).is_err());
    }

    #[test]
    fn a_one_way_cut_leaves_the_way_back() {
        assert_eq!(between(&name("m1"), &name("m2"), Ways::One).len(), 1);
        assert_eq!(between(&name("m1"), &name("m2"), Ways::Both).len(), 2);
    }
}
