//! Planning what changed is as good as planning everything.

use orchestrator_core::command::Command;
use orchestrator_core::plan::{Agenda, Limits, plan};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "dirty-is-enough",
    "a look at every key proposes nothing when a look at the changed ones does not",
);

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
    let mut everything = Agenda::default();
    everything.everything(state);
    let time = super::leader_time(world);
    let planned = plan(state, &leader.live, time, &mut everything, &Limits::default());
    // Nodes are judged by time; the next look at them may be a second away.
    let of_nodes = |c: &&Command| matches!(c, Command::NodeStatus { .. } | Command::Orphan { .. });
    let commands = planned.batches.iter().flat_map(|batch| &batch.commands);
    let missed: Vec<&Command> = commands.filter(|c| !of_nodes(c)).collect();
    if missed.is_empty() { Ok(()) } else { Err(format!("it missed {missed:?}")) }
}
