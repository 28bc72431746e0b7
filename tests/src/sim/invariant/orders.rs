//! What a node is told is what the state says, judged without the words that make orders.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use model::lifecycle::Desired;
use model::object::{NodeState, Task};
use model::spec::Role;
use model::wire::orders::Orders;
use model::{NodeId, TaskId, TaskState};
use orchestrator_core::State;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "orders-are-true",
    "a node is told its tasks and their secrets, the managers, the addresses of its networks and where they \
     are, and of services those tasks that serve",
);

/// Looks at what the leader thinks that one node, in turn, has been told.
pub(super) fn check_one(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    if leader.sessions.is_empty() || !leader.unseen.is_empty() {
        return Ok(());
    }
    let turn = world.watch.turn % leader.sessions.len();
    let Some(node) = leader.sessions.keys().nth(turn) else { return Ok(()) };
    leader.projector.orders(*node).map_or(Ok(()), |told| check(state, *node, told))
}

pub(super) fn check(state: &State, own: NodeId, orders: &Orders) -> Result<(), String> {
    let Some(node) = state.node(own) else { return Ok(()) };
    let name = &node.description.hostname;
    let here: BTreeSet<TaskId> =
        state.tasks().filter(|t| t.node == Some(own)).map(|t| t.id).collect();
    if !orders.tasks.keys().eq(here.iter()) {
        return Err(format!("{name} was told of {:?}, it has {here:?}", orders.tasks.keys()));
    }
    for order in orders.tasks.values() {
        let task = state.task(order.id).filter(|t| !t.status.state.is_terminal());
        if task.is_some_and(|t| t.desired != order.desired || t.attachments != order.attachments) {
            return Err(format!("{name} was told {order:?}"));
        }
        let lost = state.task(order.id).is_some_and(|t| t.status.state == TaskState::Orphaned);
        if lost && order.desired != Desired::Remove {
            return Err(format!("{name} is to keep task {}, which was given up", order.id));
        }
    }
    files(state, own, orders).map_err(|why| format!("{name}: {why}"))?;
    peers(state, own, orders).map_err(|why| format!("{name}: {why}"))?;
    addresses(state, own, orders).map_err(|why| format!("{name}: {why}"))?;
    services(state, orders).map_err(|why| format!("{name}: {why}"))
}

/// Secrets of the tasks that are there and no others, and who the managers are.
fn files(state: &State, own: NodeId, orders: &Orders) -> Result<(), String> {
    let here = state.tasks().filter(|t| t.node == Some(own) && !t.status.state.is_terminal());
    let needed: BTreeSet<String> = here
        .filter_map(|t| state.service(t.service)?.templates.get(&t.template))
        .filter_map(|template| template.task.container_spec.as_ref())
        .flat_map(|c| c.secrets.iter().map(|s| s.secret_id.clone()))
        .filter(|id| id.parse().is_ok_and(|id| state.secret(id).is_some()))
        .collect();
    let told: BTreeSet<String> = orders.secrets.keys().map(ToString::to_string).collect();
    if told != needed {
        return Err(format!("it was told of secrets {told:?}, not {needed:?}"));
    }
    let managers = state.nodes().filter(|n| n.spec.role == Role::Manager);
    let managers: BTreeMap<NodeId, String> =
        managers.filter_map(|n| Some((n.id, n.manager_address.clone()?))).collect();
    if orders.cluster.managers != managers {
        return Err(format!("it was told of managers {:?}", orders.cluster.managers));
    }
    Ok(())
}

fn peers(state: &State, own: NodeId, orders: &Orders) -> Result<(), String> {
    let near = |t: &&std::sync::Arc<Task>| {
        let on = || t.attachments.iter().any(|a| orders.networks.contains_key(&a.network));
        let serves = || {
            t.status.state == TaskState::Running
                && t.desired <= Desired::Running
                && orders.services.contains_key(&t.service)
        };
        !t.status.state.is_terminal() && (on() || serves())
    };
    let needed: BTreeSet<NodeId> =
        state.tasks().filter(near).filter_map(|t| t.node).filter(|id| *id != own).collect();
    let known: BTreeSet<NodeId> = orders.peers.keys().copied().collect();
    if let Some(lacks) = needed.iter().find(|id| state.node(**id).is_some() && !known.contains(*id))
    {
        return Err(format!("it does not know where node {lacks} is"));
    }
    let gateways = orders.networks.values().flat_map(|network| network.members.gateways.values());
    let others = gateways.copied().filter(|id| *id != own);
    let needed: BTreeSet<NodeId> = needed.into_iter().chain(others).collect();
    if let Some(more) = known.iter().find(|id| !needed.contains(*id)) {
        return Err(format!("it was told of node {more}, which is none of its business"));
    }
    let wrong = orders.peers.iter().find(|(id, peer)| {
        state.node(**id).is_some_and(|node| {
            let away = matches!(node.status.state, NodeState::Down | NodeState::Disconnected);
            node.description.address != peer.address || peer.alive == away
        })
    });
    match wrong {
        Some((id, peer)) => Err(format!("it was told of node {id}: {peer:?}")),
        None => Ok(()),
    }
}

/// Where the addresses are of every network that the node is on.
fn addresses(state: &State, own: NodeId, orders: &Orders) -> Result<(), String> {
    let present = |task: &&std::sync::Arc<Task>| !task.status.state.is_terminal();
    for (id, network) in &orders.networks {
        let expected: BTreeMap<Ipv4Addr, NodeId> = state
            .tasks()
            .filter(present)
            .flat_map(|t| t.attachments.iter().map(|a| (a.network, a.address, t.node)))
            .filter_map(|(network, address, node)| (network == *id).then_some((address, node?)))
            .collect();
        if network.members.tasks != expected {
            let (is, name) = (&network.members.tasks, &network.name);
            return Err(format!("it was told {is:?} of {name}, not {expected:?}"));
        }
    }
    let needed = state.tasks().filter(present).filter(|t| t.node == Some(own));
    let mut needed = needed.flat_map(|t| t.attachments.iter().map(|a| a.network));
    match needed.find(|id| !orders.networks.contains_key(id)) {
        Some(network) => Err(format!("it was not told of network {network}")),
        None => Ok(()),
    }
}

fn services(state: &State, orders: &Orders) -> Result<(), String> {
    for service in state.services().filter(|s| s.removed.is_none()) {
        let publishes = service.endpoint.ports.iter().any(|p| !p.publish_mode.is_host());
        let near = service.endpoint.vips.keys().any(|id| orders.networks.contains_key(id));
        let Some(told) = orders.services.get(&service.id) else {
            if publishes || near {
                return Err(format!("it was not told of service {}", service.spec.name));
            }
            continue;
        };
        let serve = |t: &&std::sync::Arc<Task>| {
            t.status.state == TaskState::Running && t.desired <= Desired::Running
        };
        let serving: BTreeSet<TaskId> =
            state.tasks_of(service.id).filter(serve).map(|t| t.id).collect();
        if !told.backends.keys().eq(serving.iter()) {
            let (name, is) = (&service.spec.name, told.backends.keys());
            return Err(format!("it was told that {name} is {is:?}, not {serving:?}"));
        }
    }
    Ok(())
}
