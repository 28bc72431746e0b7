//! What the cluster has acknowledged is there.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("write-kept", "a service whose creation was acknowledged is there until it is removed");

pub(super) fn check(world: &World) -> Result<(), String> {
    let state = world.managers.newest();
    match world.client.promised.iter().find(|id| state.service(**id).is_none()) {
        Some(id) => Err(format!("service {id} was acknowledged and is not there")),
        None => Ok(()),
    }
}
