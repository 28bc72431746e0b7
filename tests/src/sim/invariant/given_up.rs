//! A node that nobody hears is given up, so that its tasks run elsewhere.

use std::collections::BTreeMap;

use model::lifecycle::Owner;
use model::object::{Node, NodeState};
use model::{Millis, NodeId, TaskState};

use orchestrator_core::Batch;
use orchestrator_core::command::Command;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "silence-is-noticed",
    "a node that the leader has not heard of for 2 s, one that was slow for twice as long as it took, is given \
     up, within 7 s and with all its tasks; most at once only after a second look",
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
/// For so long a new leader doubts that most nodes are lost at once.
const DOUBT: Millis = Millis(4_000);

/// The longest that the leader of a term has heard nothing of each node, and then heard it again.
pub(super) type Silences = BTreeMap<NodeId, (u64, Millis)>;

/// Nobody is given up sooner.
pub(super) fn check_plan(world: &World, batches: &[Batch]) -> Result<(), String> {
    let Some((leader, state)) = world.managers.leading() else { return Ok(()) };
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
    let silenced =
        commands().filter(|c| matches!(c, Command::NodeStatus { state: NodeState::Down, .. }));
    let known =
        |n: &&std::sync::Arc<Node>| matches!(n.status.state, NodeState::Ready | NodeState::Unknown);
    let (silenced, known) = (silenced.count(), state.nodes().filter(known).count());
    if silenced * 2 > known && known >= 3 && world.now.since(leader.since) < DOUBT {
        return Err(format!("{silenced} of {known} nodes are given up by a new leader at once"));
    }
    for command in commands() {
        let Command::NodeStatus { node, state: NodeState::Down, .. } = command else { continue };
        let Some(host) = world.by_node.get(node).map(|at| &world.hosts[*at]) else { continue };
        let silent = world.now.since(host.heard_by_leader.max(leader.since));
        let slowest = world.watch.silences.get(node).filter(|(term, _)| *term == leader.term);
        let slowest = slowest.map_or(Millis(0), |(_, longest)| *longest);
        let limit = Millis((slowest.0 * 2).clamp(LIMIT.0, LIMIT.0 * 5));
        if host.node == *node && silent < limit {
            return Err(format!("{} is given up after {silent} of silence", host.name));
        }
    }
    Ok(())
}
