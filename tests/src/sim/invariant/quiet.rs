//! When everything is as it should be, nobody changes anything.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("quiet", "a cluster that is as it should be stays so, and its planner proposes nothing");

pub(super) fn check(world: &World, plans_before: u64) -> Result<(), String> {
    let more = world.watch.plans_written - plans_before;
    if more > 0 {
        return Err(format!("{more} plans were written although nothing had happened"));
    }
    super::settled(world)
}
