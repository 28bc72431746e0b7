//! Routes do not lie for long.

use std::collections::BTreeMap;

use agent_core::net::routes::{Place, Routes};
use model::{Millis, TaskId, Timestamp};

use super::super::host::Host;
use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "routes-are-true",
    "a connected node does not route to a task without a process for longer than the bound",
);

/// How long routes may name a task that no longer runs: a lost node is found, its tasks are given
/// up and every node is told.
const BOUND: Millis = Millis(12_000);

/// Between two looks at one host.
const LOOK: Millis = Millis(1_000);

/// Since when a host's routes name a task without a process, and when each host was looked at.
#[derive(Default)]
pub(super) struct Stale {
    since: BTreeMap<usize, BTreeMap<TaskId, Timestamp>>,
    looked: BTreeMap<usize, Timestamp>,
}

/// Published ports lead to nodes that the host was told are alive.
fn dead_ends(host: &Host) -> Result<(), String> {
    let Some(orders) = &host.orders else { return Ok(()) };
    if orders.peers.values().all(|peer| peer.alive) {
        return Ok(());
    }
    let routes = Routes::new(orders, &[]);
    for target in routes.ports.values().flat_map(|port| &port.targets) {
        let Place::Node { node, .. } = target.place else { continue };
        if orders.peers.get(&node).is_none_or(|peer| !peer.alive) {
            return Err(format!("{} routes to task {} on a dead node", host.name, target.task));
        }
    }
    Ok(())
}

pub(super) fn check(world: &mut World, host: usize) -> Result<(), String> {
    let now = world.now;
    let watch = &mut world.watch.routes;
    let looked = watch.looked.entry(host).or_insert(Timestamp(0));
    if now.since(*looked) < LOOK {
        return Ok(());
    }
    *looked = now;
    dead_ends(&world.hosts[host])?;
    // In trouble the way to the leader may be cut for long; then there is nobody to say so.
    if world.breaking {
        return Ok(());
    }
    let before = watch.since.remove(&host).unwrap_or_default();
    let mut stale = BTreeMap::new();
    let orders = world.hosts[host].orders.as_ref();
    for service in orders.iter().flat_map(|orders| orders.services.values()) {
        for (task, backend) in &service.backends {
            let at = world.by_node.get(&backend.node);
            // A partitioned node's containers cannot be known to have ended.
            if !at.is_some_and(|at| world.hosts[*at].engine.runs(*task)) {
                stale.insert(*task, before.get(task).copied().unwrap_or(now));
            }
        }
    }
    if let Some((task, since)) = stale.iter().find(|(_, since)| now.since(**since) > BOUND) {
        let (name, so_long) = (&world.hosts[host].name, now.since(*since));
        return Err(format!("{name} has routed to task {task} for {so_long}, it does not run"));
    }
    watch.since.insert(host, stale);
    Ok(())
}
