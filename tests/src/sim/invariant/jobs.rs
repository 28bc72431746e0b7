//! A job runs as many tasks as it was asked to, and no more.

use std::collections::BTreeSet;

use model::TaskState;
use model::lifecycle::Desired;
use model::object::{Slot, Task};
use model::spec::ModeKind;

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) =
    ("jobs-are-counted", "a job runs no more tasks at once, nor in all, than it was asked to");

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    for Move { task, before } in moves {
        let Some(service) = state.service(task.service).filter(|_| before.is_none()) else {
            continue;
        };
        let mut others = state.tasks_in(service.id, task.slot).filter(|t| t.id != task.id);
        let done = |t: &Task| {
            t.job_iteration == task.job_iteration && t.status.state == TaskState::Complete
        };
        if service.job.is_some() && others.any(|t| done(t)) {
            return Err(format!("{} runs {:?} again", service.spec.name, task.slot));
        }
        let ModeKind::ReplicatedJob { at_once, total } = service.spec.mode.kind() else { continue };
        let run: Vec<_> = state
            .tasks_of(service.id)
            .filter(|t| t.job_iteration == task.job_iteration && t.desired <= Desired::Running)
            .collect();
        let live = run.iter().filter(|t| !t.status.state.is_terminal()).count() as u64;
        let done = run.iter().filter(|t| t.status.state == TaskState::Complete).count() as u64;
        let slots: BTreeSet<Slot> = run.iter().map(|t| t.slot).collect();
        if slots.len() as u64 > total {
            let slots = slots.len();
            return Err(format!("{} has begun {slots} slots of {total}", service.spec.name));
        }
        if live > at_once {
            return Err(format!("{} runs {live} tasks at once, not {at_once}", service.spec.name));
        }
        if live + done > total {
            return Err(format!(
                "{} has {done} tasks done and runs {live}, of {total} in all",
                service.spec.name
            ));
        }
    }
    Ok(())
}
