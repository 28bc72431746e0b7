//! When everything is removed nothing remains.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("leak", "when everything is removed, no task, network, secret, container or address remains");

pub(in crate::sim) fn nothing_left(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else {
        return Err("no leader".to_owned());
    };
    if let Some(service) = state.services().next() {
        return Err(format!("service {} is left", service.spec.name));
    }
    if let Some(task) = state.tasks().next() {
        return Err(format!("task {} is left: {:?}", task.id, task.status));
    }
    if let Some(network) = state.networks().find(|n| !n.spec.ingress) {
        return Err(format!("network {} is left", network.spec.name));
    }
    if state.secrets().len() + state.configs().len() > 0 {
        return Err("a secret or config is left".to_owned());
    }
    for node in state.nodes() {
        if *state.node_use(node.id) != orchestrator_core::state::NodeUse::default() {
            return Err(format!("something of {} is still held", node.description.hostname));
        }
    }
    for host in &world.hosts {
        if let Some((task, container)) = host.engine.containers.iter().next() {
            return Err(format!("{} keeps the container of task {task}: {container:?}", host.name));
        }
        if !host.worker.is_empty() {
            return Err(format!("the agent of {} remembers tasks that are gone", host.name));
        }
        let orders = host.orders.as_ref().filter(|_| leader.sessions.contains_key(&host.node));
        if let Some(orders) = orders
            && !(orders.tasks.is_empty() && orders.secrets.is_empty() && orders.services.is_empty())
        {
            return Err(format!("{} has orders about what is gone", host.name));
        }
    }
    state.verify()
}
