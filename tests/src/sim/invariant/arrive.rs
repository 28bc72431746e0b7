//! What a node obeys is what the leader sent it.

use model::wire::orders::{Fence, Orders};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "orders-arrive",
    "the orders of a node are those that the leader has for it at that position, however many deltas ago",
);

/// Between two looks in a large cluster, in orders taken in: they cost what the orders are.
const EVERY: u64 = 64;
/// So many hosts are always looked at.
const FEW: usize = 16;

pub(super) fn check(world: &mut World, host: usize) -> Result<(), String> {
    world.watch.arrived += 1;
    if world.hosts.len() > FEW && !world.watch.arrived.is_multiple_of(EVERY) {
        return Ok(());
    }
    let Some((leader, _)) = world.managers.leading() else { return Ok(()) };
    let host = &world.hosts[host];
    let (Some(has), Some(sent)) = (&host.orders, leader.projector.orders(host.node)) else {
        return Ok(());
    };
    let same_session = leader.sessions.get(&host.node).copied() == host.session;
    if !same_session || has.fence != sent.fence || has == sent {
        return Ok(());
    }
    let fence = Fence::default();
    let (has, sent) = (Orders { fence, ..has.clone() }, Orders { fence, ..sent.clone() });
    Err(format!("{} lacks {:?}", host.name, has.delta_to(&sent)))
}
