//! Replicas that have applied the same log have the same bytes.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("replicas-agree", "replicas at one position of the log agree byte for byte");

/// Lets every manager catch up and compares.
pub fn replicas_agree(world: &mut World) -> Result<(), String> {
    for manager in 0..world.managers.replicas.len() {
        let _ = world.managers.catch_up(manager);
    }
    let first = world.managers.replicas[0].state.to_bytes();
    for (number, replica) in world.managers.replicas.iter().enumerate().skip(1) {
        if replica.state.to_bytes() != first {
            return Err(format!("manager {number} differs from manager 0"));
        }
    }
    Ok(())
}
