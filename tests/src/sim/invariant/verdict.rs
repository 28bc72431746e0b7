//! Whoever waits for a service is told the truth.

use std::collections::BTreeSet;

use model::TaskState;
use model::api::Verdict;
use model::lifecycle::Desired;
use model::object::{RolloutState, Service, Slot, Task};
use model::reason::Reason;
use model::spec::ModeKind;
use orchestrator_core::State;
use orchestrator_core::progress::judge;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "verdict-is-true",
    "a service is called converged when all that is asked for is there and nothing else, given up when a \
     slot is",
);

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let time = super::leader_time(world);
    for service in state.services().filter(|s| s.removed.is_none()) {
        let verdict = judge(state, service, time).verdict;
        let name = &service.spec.name;
        if verdict == Verdict::Converged {
            converged(state, service).map_err(|why| format!("{name} has converged: {why}"))?;
        }
        let running = service.rollout.as_ref().is_some_and(|r| r.state != RolloutState::Completed);
        let mut tasks = state.tasks_of(service.id).filter(|t| t.desired <= Desired::Running);
        let given_up = tasks.any(|t| {
            let exhausted = matches!(t.waiting, Some(Reason::RestartsExhausted { .. }));
            exhausted && t.template == service.template
        });
        if given_up && service.job.is_none() && !running && verdict != Verdict::GaveUp {
            return Err(format!("{name} is {verdict:?}, and a slot of it is given up"));
        }
        if verdict == Verdict::GaveUp && !given_up {
            return Err(format!("{name} counts as given up, no slot of it is"));
        }
    }
    Ok(())
}

fn converged(state: &State, service: &Service) -> Result<(), String> {
    let iteration = service.iteration();
    let of_run = |t: &&std::sync::Arc<Task>| t.job_iteration == iteration;
    if service.job.is_some() {
        let done = state.tasks_of(service.id).filter(of_run);
        let done = done.filter(|t| t.status.state == TaskState::Complete).count() as u64;
        return match service.spec.mode.kind() {
            ModeKind::ReplicatedJob { total, .. } if done < total => {
                Err(format!("{done} of {total} are complete"))
            }
            _ => Ok(()),
        };
    }
    let mut slots: BTreeSet<Slot> = BTreeSet::new();
    for task in state.tasks_of(service.id).filter(|t| t.desired <= Desired::Running) {
        let (id, is) = (task.id, task.status.state);
        if task.template != service.template {
            return Err(format!("task {id} has an old template"));
        }
        if task.leaves {
            return Err(format!("task {id} is to move"));
        }
        if is == TaskState::Running || is == TaskState::Complete {
            slots.insert(task.slot);
        } else if matches!(task.slot, Slot::Replica(_)) {
            return Err(format!("task {id} is {is}"));
        }
    }
    match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } if slots.len() as u64 != replicas => {
            Err(format!("{} slots of {replicas} run", slots.len()))
        }
        _ => Ok(()),
    }
}
