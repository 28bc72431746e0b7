//! Orders of a leader that is none any more are not obeyed.

use model::wire::orders::Fence;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("fence-rises", "a node obeys no orders that are older than those it has obeyed");

pub(super) fn check(world: &World, host: usize, had: Option<Fence>) -> Result<(), String> {
    let now = world.hosts[host].orders.as_ref().map(|orders| orders.fence);
    if now < had {
        return Err(format!("{} went back from {had:?} to {now:?}", world.hosts[host].name));
    }
    Ok(())
}
