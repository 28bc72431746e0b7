//! A node that nobody hears is given up, so that its tasks run elsewhere.

use model::Millis;
use model::object::NodeState;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "silence-is-noticed",
    "a node that the leader has not heard of for 7 s does not count as ready",
);

/// Two seconds of silence, as many of doubt after a change of leader, the time to write it down on
/// a slow disk.
const BOUND: Millis = Millis(7_000);

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    if world.now.since(leader.since) < BOUND {
        return Ok(());
    }
    for host in &world.hosts {
        let Some(node) = state.node(host.node) else { continue };
        let silent = world.now.since(host.heard_by_leader);
        if silent >= BOUND && node.status.state == NodeState::Ready {
            return Err(format!("{} was last heard {silent} ago and counts as ready", host.name));
        }
    }
    Ok(())
}
