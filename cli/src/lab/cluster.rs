//! Joins the hosts of a lab to one cluster, by the same commands that a user would type.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use super::Usage;
use super::engine::Engine;
use super::paths::Paths;
use super::power;
use super::state::{Host, Lab, Role};

/// The port where managers take joins.
const JOIN_PORT: u16 = 2377;
/// How long an agent may take to answer at its socket.
const AGENT_WITHIN: Duration = Duration::from_secs(60);
/// How long a join is tried again: the manager may still be choosing a leader.
const JOIN_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// How a host enters a cluster.
pub(super) trait Entry {
    /// Makes a cluster of this one host.
    fn init(&mut self, socket: &Path, host: &Host) -> anyhow::Result<()>;
    /// The token with which hosts of this role join.
    fn token(&mut self, socket: &Path, role: Role) -> anyhow::Result<String>;
    /// Joins a host to the cluster of a manager.
    fn join(
        &mut self,
        socket: &Path,
        host: &Host,
        token: &str,
        manager: &Host,
    ) -> anyhow::Result<()>;
}

/// `swarmctl init`, `token` and `join`.
pub(super) struct OwnCommands;

impl Entry for OwnCommands {
    fn init(&mut self, socket: &Path, host: &Host) -> anyhow::Result<()> {
        own(socket, &["init", "--advertise-addr", &host.address.to_string()])?;
        Ok(())
    }

    fn token(&mut self, socket: &Path, role: Role) -> anyhow::Result<String> {
        Ok(own(socket, &["token", &role.to_string(), "--quiet"])?.trim().to_owned())
    }

    fn join(
        &mut self,
        socket: &Path,
        host: &Host,
        token: &str,
        manager: &Host,
    ) -> anyhow::Result<()> {
        let own_address = host.address.to_string();
        let manager = format!("{}:{JOIN_PORT}", manager.address);
        own(socket, &["join", "--token", token, "--advertise-addr", &own_address, &manager])?;
        Ok(())
    }
}

/// Runs this program itself against an agent; answers with what it printed.
fn own(socket: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("/proc/self/exe")
        .arg("--host")
        .arg(format!("unix://{}", socket.display()))
        .args(arguments)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = format!("`swarmctl {}` failed: {}", arguments[0], said.trim());
        // Refused as it stands: the same again would be refused too.
        return Err(if output.status.code() == Some(2) {
            Usage(said).into()
        } else {
            anyhow!(said)
        });
    }
    String::from_utf8(output.stdout).context("not text")
}

/// Brings every host that is on into one cluster; those that are in it already stay as they are.
pub(super) fn ensure_formed(
    paths: &Paths,
    lab: &Lab,
    entry: &mut impl Entry,
) -> anyhow::Result<()> {
    let on: Vec<Host> = lab.hosts.iter().filter(|host| host.init().is_some()).cloned().collect();
    wait_for_agents(paths, lab, &on)?;
    let socket = |host: &Host| paths.host(&lab.name, &host.name).cluster_socket();
    let mut seen = Vec::new();
    for host in &on {
        let engine = Engine::at(socket(host));
        let is_in = engine.is_in_cluster().with_context(|| format!("cannot ask {}", host.name))?;
        seen.push((host, if is_in { Membership::In } else { Membership::Out }));
    }
    let Some(plan) = plan(&seen)? else { return Ok(()) };
    if plan.contact == Contact::ToBeMade {
        eprintln!("{}: makes a cluster", plan.manager.name);
        entry.init(&socket(plan.manager), plan.manager)?;
    }
    let mut tokens = BTreeMap::new();
    for host in plan.joining {
        let token = match tokens.entry(host.role) {
            Occupied(known) => known.into_mut(),
            Vacant(unknown) => unknown.insert(entry.token(&socket(plan.manager), host.role)?),
        };
        eprintln!("{}: joins as {}", host.name, host.role);
        retry(|| entry.join(&socket(host), host, token, plan.manager))
            .with_context(|| format!("{} cannot join", host.name))?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Membership {
    In,
    Out,
}

/// Whether the manager that the others join is in a cluster already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    Member,
    ToBeMade,
}

/// What brings every host into one cluster.
#[derive(Debug, PartialEq)]
struct Plan<'a> {
    manager: &'a Host,
    contact: Contact,
    /// Managers first.
    joining: Vec<&'a Host>,
}

/// Nothing when every host is a member.
fn plan<'a>(seen: &[(&'a Host, Membership)]) -> anyhow::Result<Option<Plan<'a>>> {
    let mut joining: Vec<&Host> =
        seen.iter().filter(|(_, now)| *now == Membership::Out).map(|(host, _)| *host).collect();
    if joining.is_empty() {
        return Ok(None);
    }
    let managers = || seen.iter().filter(|(host, _)| host.role == Role::Manager);
    let (manager, contact) = match managers().find(|(_, now)| *now == Membership::In) {
        Some((member, _)) => (*member, Contact::Member),
        None if seen.iter().any(|(_, now)| *now == Membership::In) => {
            bail!("there are members of a cluster, but none of its managers is on")
        }
        None => (managers().next().context("no manager is on")?.0, Contact::ToBeMade),
    };
    joining.retain(|host| host.name != manager.name);
    joining.sort_by_key(|host| host.role);
    Ok(Some(Plan { manager, contact, joining }))
}

fn wait_for_agents(paths: &Paths, lab: &Lab, hosts: &[Host]) -> anyhow::Result<()> {
    power::each(hosts, |host| {
        let place = paths.host(&lab.name, &host.name);
        let agent = Engine::at(place.cluster_socket());
        let deadline = Instant::now() + AGENT_WITHIN;
        while !agent.answers() {
            if host.init().is_none() || Instant::now() > deadline {
                bail!("its agent does not answer; {}", power::last_words(&place, "agent"));
            }
            thread::sleep(POLL);
        }
        Ok(())
    })
}

fn retry(mut action: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let deadline = Instant::now() + JOIN_WITHIN;
    loop {
        match action() {
            Err(error) if error.downcast_ref::<Usage>().is_none() && Instant::now() < deadline => {
                thread::sleep(POLL);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::LabName;
    use super::Membership::{In, Out};
    use super::*;

    fn lab() -> Lab {
        let mut lab = Lab::empty(LabName::default(), "10.210.0.0/24".parse().expect("a range"));
        lab.grow(Role::Worker, 1).expect("grows");
        lab.grow(Role::Manager, 2).expect("grows");
        lab
    }

    /// `m2+m1 w1` for "m1 and w1 join m2, which is a member"; `!` for one that is yet to be.
    fn planned(now: [Membership; 3]) -> String {
        let lab = lab();
        let seen: Vec<_> = lab.hosts.iter().zip(now).collect();
        match plan(&seen) {
            Err(error) => error.to_string(),
            Ok(None) => "nothing".into(),
            Ok(Some(plan)) => {
                let names: Vec<_> = plan.joining.iter().map(|host| host.name.as_str()).collect();
                let sign = if plan.contact == Contact::Member { "+" } else { "!" };
                format!("{}{sign}{}", plan.manager.name, names.join(" "))
            }
        }
    }

    #[test]
    fn hosts_join_whoever_is_a_member_and_the_first_manager_otherwise() {
        assert_eq!(planned([Out, Out, Out]), "m1!m2 w1");
        assert_eq!(planned([Out, In, Out]), "m2+m1 w1");
        assert_eq!(planned([In, In, Out]), "m1+w1");
        assert_eq!(planned([In, In, In]), "nothing");
    }

    #[test]
    fn a_second_cluster_is_never_made_beside_the_first() {
        assert!(planned([Out, Out, In]).contains("none of its managers is on"));
    }
}
