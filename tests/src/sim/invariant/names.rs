//! Names and published ports lead to exactly the tasks that run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use agent_core::net::local::{Asker, LocalContainer};
use agent_core::net::names::{Found, Names, Vips};
use agent_core::net::routes::{Place, Routes};
use agent_core::net::vip;
use model::lifecycle::Desired;
use model::object::Service;
use model::wire::orders::Orders;
use model::{NetworkId, NodeId, TaskId, TaskState};

use super::super::host::Host;
use super::super::world::World;
use super::orders as told;

pub(super) const SAYS: (&str, &str) = (
    "names-are-true",
    "in peace, DNS, virtual addresses and published ports of every node lead to exactly the tasks that \
     run, and it knows where every address is",
);

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let mut all: BTreeMap<NodeId, Routes> = BTreeMap::new();
    for host in &world.hosts {
        let Some(orders) = &host.orders else { return Err(format!("{} has no orders", host.name)) };
        all.insert(host.node, Routes::new(orders, &containers(host)));
    }
    for host in &world.hosts {
        let Some(orders) = &host.orders else { continue };
        let names = Names::new(orders, &containers(host));
        told::check(state, host.node, orders)?;
        for service in state.services() {
            let running: Vec<_> = state
                .tasks_of(service.id)
                .filter(|t| t.status.state == TaskState::Running && t.desired <= Desired::Running)
                .collect();
            let template = service.templates.get(&service.template);
            let attached = template.iter().flat_map(|t| &t.task.networks);
            let on: Vec<(NetworkId, &Vec<String>)> =
                attached.filter_map(|n| Some((n.target.parse().ok()?, &n.aliases))).collect();
            for id in orders.networks.keys().filter(|id| on.iter().all(|(own, _)| own != *id)) {
                apart(host, orders, &names, service, *id)?;
            }
            for (network, aliases) in &on {
                if !orders.networks.contains_key(network) {
                    continue;
                }
                let attached = running.iter().flat_map(|t| &t.attachments);
                let expected: BTreeSet<Ipv4Addr> =
                    attached.filter(|a| a.network == *network).map(|a| a.address).collect();
                let asker = Asker { networks: vec![*network], nameservers: Vec::new() };
                let asked = format!("tasks.{}", service.spec.name);
                let found = match names.find(&asker, Vips::Work, &asked) {
                    Found::Addresses(addresses) => addresses.into_iter().collect(),
                    Found::Pointer(_) | Found::Nobody | Found::Elsewhere => BTreeSet::new(),
                };
                if found != expected {
                    return Err(format!("{}: {asked} is {found:?}, not {expected:?}", host.name));
                }
                virtual_address(host, orders, &names, service, *network, &expected)?;
                for alias in aliases.iter() {
                    let own = names.find(&asker, Vips::Work, &service.spec.name);
                    if names.find(&asker, Vips::Work, alias) != own {
                        return Err(format!("{}: {alias} is not {own:?}", host.name));
                    }
                }
            }
            let running: BTreeSet<TaskId> = running.iter().map(|t| t.id).collect();
            ports(host, &all, service, &running)?;
        }
    }
    Ok(())
}

/// A service's name is its virtual address, which leads to its tasks.
fn virtual_address(
    host: &Host,
    orders: &Orders,
    names: &Names,
    service: &Service,
    network: NetworkId,
    expected: &BTreeSet<Ipv4Addr>,
) -> Result<(), String> {
    let asker = Asker { networks: vec![network], nameservers: Vec::new() };
    let (name, vip) = (&service.spec.name, service.endpoint.vips.get(&network).copied());
    let found = names.find(&asker, Vips::Work, name);
    if vip.is_none() {
        // It is asked for by name, and is all of its tasks.
        let Found::Addresses(found) = found else {
            return Err(format!("{}: {name} is {found:?}, not {expected:?}", host.name));
        };
        let found: BTreeSet<Ipv4Addr> = found.into_iter().collect();
        return if found == *expected {
            Ok(())
        } else {
            Err(format!("{}: {name} is {found:?}, not {expected:?}", host.name))
        };
    }
    if found != Found::Addresses(vip.into_iter().collect()) {
        return Err(format!("{}: {name} is {found:?}, not {vip:?}", host.name));
    }
    let behind = vip.and_then(|vip| vip::table(orders, &asker).services.remove(&vip));
    if behind.as_ref() != Some(expected) {
        return Err(format!("{}: {name} leads to {behind:?}, not {expected:?}", host.name));
    }
    Ok(())
}

/// Nobody on another network finds it, however its name is written.
fn apart(
    host: &Host,
    orders: &Orders,
    names: &Names,
    service: &Service,
    other: NetworkId,
) -> Result<(), String> {
    let asker = Asker { networks: vec![other], nameservers: Vec::new() };
    let name = &service.spec.name;
    let long = orders.networks.values().map(|network| format!("{name}.{}", network.name));
    for asked in long.chain([name.clone()]) {
        if let Found::Addresses(found) = names.find(&asker, Vips::Work, &asked) {
            return Err(format!("{}: {asked} is {found:?} on a network it is not on", host.name));
        }
    }
    Ok(())
}

fn containers(host: &Host) -> Vec<LocalContainer> {
    let running = host.worker.running().map(|(task, container, _)| LocalContainer {
        id: container.id.clone(),
        task: Some(task),
        ..LocalContainer::default()
    });
    running.collect()
}

fn ports(
    host: &Host,
    all: &BTreeMap<NodeId, Routes>,
    service: &Service,
    running: &BTreeSet<TaskId>,
) -> Result<(), String> {
    let Some(routes) = all.get(&host.node) else { return Ok(()) };
    for port in service.endpoint.ports.iter().filter(|p| !p.publish_mode.is_host()) {
        let at = routes.ports.iter().find(|(published, _)| published.port == port.published_port);
        let targets: BTreeSet<TaskId> =
            at.into_iter().flat_map(|(_, port)| port.targets.iter().map(|t| t.task)).collect();
        let inside = at.into_iter().flat_map(|(_, port)| port.targets.iter().map(|t| t.port));
        if let Some(other) = inside.into_iter().find(|inside| *inside != port.target_port) {
            return Err(format!("{}: a port leads to {other}, not {port:?}", host.name));
        }
        for target in at.into_iter().flat_map(|(_, port)| &port.targets) {
            let Place::Node { node, .. } = target.place else { continue };
            let there = all.get(&node).and_then(|there| there.local.get(&target.task));
            if !there.is_some_and(|local| local.ports.iter().any(|(_, port)| *port == target.port))
            {
                let (name, task) = (&host.name, target.task);
                return Err(format!("{name}: node {node} takes no connections to task {task}"));
            }
        }
        if targets != *running {
            return Err(format!(
                "{}: port {} leads to {targets:?}, not {running:?}",
                host.name, port.published_port
            ));
        }
    }
    Ok(())
}
