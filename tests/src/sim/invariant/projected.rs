//! Deltas add up to the whole.

use orchestrator_core::project::orders;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) =
    ("deltas-add-up", "what a node was told in deltas is what it would be told as a whole");

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    if leader.sessions.is_empty() {
        return Ok(());
    }
    let turn = world.watch.turn % leader.sessions.len();
    let Some(node) = leader.sessions.keys().nth(turn) else { return Ok(()) };
    let Some(told) = leader.projector.orders(*node) else { return Ok(()) };
    let mut whole = orders(state, *node, leader.term);
    whole.fence = told.fence;
    if whole != *told {
        let delta = told.delta_to(&whole);
        return Err(format!("node {node} was not told {delta:?}"));
    }
    Ok(())
}
