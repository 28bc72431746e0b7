//! Addresses, ports and reservations have one holder each and fit.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "one-holder",
    "an address or published port has one holder, reservations fit, indexes are true",
);

pub(super) fn check(world: &World) -> Result<(), String> {
    world.managers.leading().map_or(Ok(()), |(_, state)| state.verify())
}
