//! A node where a service keeps failing is a last resort for it; a part of `placed-well`.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::object::{Slot, Task};
use model::{Millis, NodeId, TaskState};
use orchestrator_core::Entry;

use super::super::world::World;
use super::Move;
use super::explains::takers;
use super::placed::{NEWS, has_just_ended};

/// So many failures within so long, of which a part is left for the way into the log.
const MANY: usize = 5;
const LATELY: Millis = Millis::from_secs(270);
pub(super) fn check(world: &World, entry: &Entry, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let Some(base) = entry.batch.base else { return Ok(()) };
    let time = super::leader_time(world);
    for Move { task, before } in moves {
        let had_node = before.is_some_and(|b| b.state >= TaskState::Assigned);
        let Some(own) = task.node.filter(|_| !had_node && matches!(task.slot, Slot::Replica(_)))
        else {
            continue;
        };
        let service = state.service(task.service);
        let placement = service.and_then(|s| s.spec.task_template.placement.as_ref());
        // The zone comes before the node.
        if placement.is_some_and(|p| !p.preferences.is_empty()) {
            continue;
        }
        let failed = |t: &&Arc<Task>| {
            let known = world.watch.tasks.get(&t.id).is_some_and(|seen| seen.version <= base.0);
            t.service == task.service
                && matches!(t.status.state, TaskState::Failed | TaskState::Rejected)
                && known
        };
        let lately = |t: &&Arc<Task>| t.status.since <= time && time.since(t.status.since) < LATELY;
        let failures = state.tasks_on(own).filter(failed).filter(lately).count();
        if failures < MANY {
            continue;
        }
        // Nodes without any failure that could take it, also a moment ago.
        let calm = |id: &NodeId| {
            let of_service = |t: &Arc<Task>| t.service == task.service;
            let bad =
                |t: &Arc<Task>| matches!(t.status.state, TaskState::Failed | TaskState::Rejected);
            let old = state
                .node(*id)
                .is_some_and(|n| time.since(n.meta.updated_at.max(n.status.since)) >= NEWS);
            let news = |t: &Arc<Task>| has_just_ended(t, time);
            old && !state.tasks_on(*id).any(|t| (of_service(t) && bad(t)) || news(t))
        };
        let better: BTreeSet<NodeId> = takers(state, task).into_iter().filter(calm).collect();
        if let Some(other) = better.first() {
            return Err(format!(
                "task {} was put on {own}, where {failures} of its service failed, and not on {other}",
                task.id
            ));
        }
    }
    Ok(())
}
