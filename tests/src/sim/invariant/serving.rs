//! Of what is too much, that goes first which serves nobody.

use std::collections::BTreeSet;

use model::lifecycle::Desired;
use model::object::{RolloutState, Slot};
use model::{Millis, TaskState};
use orchestrator_core::plan::Limits;

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "serving-stays",
    "a service that is made smaller gives up the slots that do not serve before those that do, and those of the \
     nodes with most of them",
);

/// What served until just now counted as serving when it was planned.
const JUST: Millis = Millis(4_000);

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let time = super::leader_time(world);
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    if world.limits != Limits::default() {
        // What goes together is written in pieces.
        return Ok(());
    }
    let mut looked = BTreeSet::new();
    for Move { task, before } in moves {
        let stopped = before
            .is_some_and(|b| b.desired <= Desired::Running && b.state == TaskState::Running)
            && task.desired >= Desired::Draining
            // What has just begun to serve did not when it was planned.
            && task.status.running_since.is_some_and(|since| time.since(since) > JUST)
            && matches!(task.slot, Slot::Replica(_));
        let Some(service) = state.service(task.service).filter(|_| stopped) else { continue };
        let changes = service.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Running);
        if changes || service.removed.is_some() || service.job.is_some() {
            continue;
        }
        let wanted = |slot: Slot| {
            let tasks = state.tasks_in(service.id, slot);
            tasks.filter(|t| t.desired <= Desired::Running).count() > 0
        };
        if wanted(task.slot) || !looked.insert(service.id) {
            continue;
        }
        let serves = |t: &&std::sync::Arc<model::object::Task>| {
            t.desired <= Desired::Running
                && t.status.state == TaskState::Running
                && t.status.running_since.is_some_and(|since| time.since(since) > JUST)
        };
        let on =
            |node| state.tasks_of(service.id).filter(serves).filter(|t| t.node == node).count();
        let kept = |t: &&std::sync::Arc<model::object::Task>| t.desired <= Desired::Running;
        let here = state.tasks_of(service.id).filter(kept);
        let left = here.filter(|t| t.node == task.node).count();
        let moves = state.tasks_of(service.id).any(|t| t.leaves);
        let fuller = state.tasks_of(service.id).filter(serves).find(|t| on(t.node) >= left + 2);
        if let Some(other) = fuller.filter(|_| service.rollout.is_none() && !moves) {
            return Err(format!(
                "{} gives up {:?} and leaves {left} tasks there, where {:?} is are {}",
                service.spec.name,
                task.slot,
                other.slot,
                on(other.node)
            ));
        }
        let slots: BTreeSet<Slot> = state.tasks_of(service.id).map(|t| t.slot).collect();
        let idle = slots.into_iter().filter(|slot| wanted(*slot)).find(|slot| {
            state.tasks_in(service.id, *slot).all(|t| {
                let long =
                    time.since(t.status.since) > JUST && time.since(t.meta.updated_at) > JUST;
                long && t.status.state != TaskState::Running
                    && t.status.state != TaskState::Draining
            })
        });
        if let Some(idle) = idle {
            return Err(format!(
                "{} gives up {:?}, which serves, and keeps {idle:?}, which does not",
                service.spec.name, task.slot
            ));
        }
    }
    Ok(())
}
