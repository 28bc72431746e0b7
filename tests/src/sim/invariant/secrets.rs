//! Secrets go only where they are used.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("secrets-stay-home", "a node is told no secret that none of its tasks uses");

pub(super) fn check(world: &World, host: usize) -> Result<(), String> {
    let Some(orders) = world.hosts[host].orders.as_ref().filter(|o| !o.secrets.is_empty()) else {
        return Ok(());
    };
    let uses = |id: &str| {
        let containers = orders.tasks.values().filter_map(|t| t.spec.container_spec.as_ref());
        containers.flat_map(|c| &c.secrets).any(|secret| secret.secret_id == id)
    };
    match orders.secrets.keys().find(|id| !uses(&id.to_string())) {
        Some(id) => Err(format!("{} was told secret {id}", world.hosts[host].name)),
        None => Ok(()),
    }
}
