//! A node that nobody hears is given up, so that its tasks run elsewhere.

use model::lifecycle::Owner;
use model::object::NodeState;
use model::{Millis, NodeId, TaskState};

use orchestrator_core::Batch;
use orchestrator_core::command::Command;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "silence-is-noticed",
    "a node that the leader has not heard of for 2 s is given up, within 7 s and with all its tasks",
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
        // One that was slow, and not lost, is given more time.
        let limit = leader.live.patience(host.node, LIMIT);
        if silent >= Millis(BOUND.0 + limit.0 - LIMIT.0) && node.status.state == NodeState::Ready {
            return Err(format!("{} was last heard {silent} ago and counts as ready", host.name));
        }
        let time = super::leader_time(world);
        if node.status.state != NodeState::Down || time.since(node.status.since) < BOUND {
            continue;
        }
        let left = state
            .tasks_on(node.id)
            .find(|t| t.status.state.may_become(TaskState::Orphaned, Owner::Planner));
        if let Some(task) = left {
            let is = task.status.state;
            return Err(format!("{} is down and task {} there is still {is}", host.name, task.id));
        }
    }
    Ok(())
}

/// What a node may be silent for, by the cluster's default.
const LIMIT: Millis = Millis(2_000);

/// Nobody is given up sooner.
pub(super) fn check_plan(world: &World, batches: &[Batch]) -> Result<(), String> {
    let Some((leader, _)) = world.managers.leading() else { return Ok(()) };
    let commands = || batches.iter().flat_map(|batch| &batch.commands);
    let down = |id: NodeId| {
        commands().any(|c| {
            matches!(c, Command::NodeStatus { node, state: NodeState::Down, .. } if *node == id)
        })
    };
    for command in commands() {
        let chosen = match command {
            Command::CreateTask(new) => new.node,
            Command::Assign { node, .. } => Some(*node),
            _ => None,
        };
        if let Some(node) = chosen.filter(|node| down(*node)) {
            return Err(format!("a task is put on node {node}, which the same plan gives up"));
        }
    }
    for command in commands() {
        let Command::NodeStatus { node, state: NodeState::Down, .. } = command else { continue };
        let Some(host) = world.by_node.get(node).map(|at| &world.hosts[*at]) else { continue };
        let silent = world.now.since(host.heard_by_leader.max(leader.since));
        if host.node == *node && silent < LIMIT {
            return Err(format!("{} is given up after {silent} of silence", host.name));
        }
    }
    Ok(())
}
