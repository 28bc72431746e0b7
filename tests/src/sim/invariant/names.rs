//! Names and published ports lead to exactly the tasks that run.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use agent_core::net::local::{Asker, LocalContainer};
use agent_core::net::names::{Found, Names, Vips};
use agent_core::net::routes::Routes;
use model::lifecycle::Desired;
use model::object::Service;
use model::{TaskId, TaskState};

use super::super::host::Host;
use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "names-are-true",
    "in peace, DNS and published ports of every node name exactly the tasks that run",
);

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    for host in &world.hosts {
        let Some(orders) = &host.orders else { return Err(format!("{} has no orders", host.name)) };
        let local = containers(host);
        let (names, routes) = (Names::new(orders, &local), Routes::new(orders, &local));
        for service in state.services() {
            let running: Vec<_> = state
                .tasks_of(service.id)
                .filter(|t| t.status.state == TaskState::Running && t.desired <= Desired::Running)
                .collect();
            for network in service.endpoint.vips.keys() {
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
            }
            let running: BTreeSet<TaskId> = running.iter().map(|t| t.id).collect();
            ports(host, &routes, service, &running)?;
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
    routes: &Routes,
    service: &Service,
    running: &BTreeSet<TaskId>,
) -> Result<(), String> {
    for port in service.endpoint.ports.iter().filter(|p| !p.publish_mode.is_host()) {
        let at = routes.ports.iter().find(|(published, _)| published.port == port.published_port);
        let targets: BTreeSet<TaskId> =
            at.into_iter().flat_map(|(_, port)| port.targets.iter().map(|t| t.task)).collect();
        if targets != *running {
            return Err(format!(
                "{}: port {} leads to {targets:?}, not {running:?}",
                host.name, port.published_port
            ));
        }
    }
    Ok(())
}
