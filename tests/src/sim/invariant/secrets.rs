//! Secrets go only where they are used.

use std::collections::BTreeSet;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("secrets-stay-home", "a node is told no secret that none of its tasks uses");

pub(super) fn check(world: &World, host: usize) -> Result<(), String> {
    let Some(orders) = world.hosts[host].orders.as_ref().filter(|o| !o.secrets.is_empty()) else {
        return Ok(());
    };
    let used: BTreeSet<&str> = orders
        .tasks
        .values()
        .filter_map(|t| t.spec.container_spec.as_ref())
        .flat_map(|c| c.secrets.iter().map(|s| s.secret_id.as_str()))
        .collect();
    match orders.secrets.keys().find(|id| !used.contains(id.to_string().as_str())) {
        Some(id) => Err(format!("{} was told secret {id}", world.hosts[host].name)),
        None => Ok(()),
    }
}
