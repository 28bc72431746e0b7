//! Joins the hosts of a lab to one cluster, by the same commands that a user would type.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

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
        bail!("`swarmctl {}` failed: {}", arguments[0], said.trim());
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
    let is_in = |host: &Host| Engine::at(socket(host)).is_in_cluster();
    let mut missing = Vec::new();
    let mut member = None;
    for host in &on {
        if !is_in(host).with_context(|| format!("cannot ask {}", host.name))? {
            missing.push(host);
        } else if host.role == Role::Manager && member.is_none() {
            member = Some(host);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let manager = match member {
        Some(manager) => manager,
        None => {
            let first = on.iter().find(|host| host.role == Role::Manager);
            let first = first.context("no manager is on")?;
            eprintln!("{}: makes a cluster", first.name);
            entry.init(&socket(first), first)?;
            missing.retain(|host| host.name != first.name);
            first
        }
    };
    for role in [Role::Manager, Role::Worker] {
        let joining: Vec<_> = missing.iter().filter(|host| host.role == role).collect();
        if joining.is_empty() {
            continue;
        }
        let token = entry.token(&socket(manager), role)?;
        for host in joining {
            eprintln!("{}: joins as {role}", host.name);
            retry(|| entry.join(&socket(host), host, &token, manager))
                .with_context(|| format!("{} cannot join", host.name))?;
        }
    }
    Ok(())
}

fn wait_for_agents(paths: &Paths, lab: &Lab, hosts: &[Host]) -> anyhow::Result<()> {
    power::each(hosts, |host| {
        let place = paths.host(&lab.name, &host.name);
        let agent = Engine::at(place.cluster_socket());
        let deadline = Instant::now() + AGENT_WITHIN;
        while !agent.answers() {
            if host.init().is_none() || Instant::now() > deadline {
                let said = power::last_words(&place, &["init", "agent"]);
                bail!("its agent does not answer: {said}");
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
            Err(_) if Instant::now() < deadline => thread::sleep(POLL),
            outcome => return outcome,
        }
    }
}
