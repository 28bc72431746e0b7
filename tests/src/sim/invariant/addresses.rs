//! Addresses that nobody has are free.

use std::collections::BTreeMap;

use model::{NetworkId, TaskState};
use orchestrator_core::State;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("addresses-add-up", "of a network's addresses those that nobody has are free, and no others");

/// How many addresses each network has: held and free together, when it was first looked at.
pub(super) type Sizes = BTreeMap<NetworkId, usize>;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let held = held(state);
    let sizes = &mut world.watch.addresses;
    sizes.retain(|id, _| state.network(*id).is_some());
    for network in state.networks() {
        let held = held.get(&network.id).copied().unwrap_or(0);
        let free = state.pool(network.id).map_or(0, |pool| pool.free());
        let size = held + free;
        let first = *sizes.entry(network.id).or_insert(size);
        if first != size {
            return Err(format!(
                "network {} had {first} addresses, now {held} are held and {} free",
                network.spec.name, free
            ));
        }
    }
    Ok(())
}

/// Counted from the objects: services, nodes, and tasks that may still have a container, also on a
/// node that was given up.
fn held(state: &State) -> BTreeMap<NetworkId, usize> {
    let mut held: BTreeMap<NetworkId, usize> = BTreeMap::new();
    let present = |state: TaskState| !state.is_terminal() || state == TaskState::Orphaned;
    let tasks = state.tasks().filter(|t| present(t.status.state));
    let of_tasks = tasks.flat_map(|t| t.attachments.iter().map(|a| a.network));
    let of_services = state.services().flat_map(|s| s.endpoint.vips.keys().copied());
    let here = |id: &&model::NodeId| state.node(**id).is_some();
    let of_nodes = state.networks().flat_map(|n| n.gateways.keys().filter(here).map(move |_| n.id));
    for network in of_tasks.chain(of_services).chain(of_nodes) {
        *held.entry(network).or_default() += 1;
    }
    held
}
