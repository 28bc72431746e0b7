//! Planning what changed is as good as planning everything.

use model::reason::Reason;
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
    // What speaks against each node changes as others fill up; that a task fits none does not, and
    // what makes room is looked at. The leader's regular look at everything tells it afresh.
    let says_it_otherwise = |c: &&Command| {
        let no_place = |reason: &Reason| {
            matches!(reason, Reason::NoSuitableNode { .. } | Reason::NoAddress { .. })
        };
        let Command::SetWaiting { task, waiting: Some(reason) } = c else { return false };
        let known = state.task(*task).and_then(|t| t.waiting.as_ref());
        no_place(reason) && known.is_some_and(no_place)
    };
    let commands = planned.batches.iter().flat_map(|batch| &batch.commands);
    let missed: Vec<&Command> =
        commands.filter(|c| !of_nodes(c) && !says_it_otherwise(c)).collect();
    if missed.is_empty() { Ok(()) } else { Err(format!("it missed {missed:?}")) }
}
