//! Replicas that have applied the same log have the same bytes, however they came to it.

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("replicas-agree", "replicas at one position of the log agree byte for byte");

pub(super) fn check(world: &mut World) -> Result<(), String> {
    // One from a snapshot, the others entry by entry; one follower is enough of the latter.
    let leader = world.managers.leader.as_ref().map_or(0, |l| l.manager);
    let number = world.managers.replicas.len();
    let _ = world.managers.catch_up(leader);
    let first = world.managers.replicas[leader].state.to_bytes();
    for (turn, manager) in (1..number).map(|n| (leader + n) % number).enumerate() {
        match turn {
            0 => drop(world.managers.catch_up(manager)),
            1 => world.managers.install_snapshot(manager),
            _ => break,
        }
        if world.managers.replicas[manager].state.to_bytes() != first {
            return Err(format!("manager {manager} differs from manager {leader}"));
        }
    }
    Ok(())
}
