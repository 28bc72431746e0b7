//! Says whether a task that is prepared may start, and if not, why.

use std::collections::BTreeSet;

use model::TaskState;
use model::lifecycle::Desired;
use model::object::{Restarts, Service, Slot, Task};
use model::reason::Reason;
use model::spec::{Dependency, DependencyCondition, ModeKind};

use super::draft::Draft;
use crate::State;

/// What keeps the next task of a slot from starting.
///
/// Dependencies hold back only slots in which nothing has run yet: later the service is in use, and a
/// restart must not wait for what has a bad moment itself.
pub(super) fn closed(
    draft: &Draft<'_>,
    service: &Service,
    not_before: Option<model::Timestamp>,
    before: Restarts,
    old_stopping: bool,
) -> Option<Reason> {
    if old_stopping {
        return Some(Reason::OldTaskStopping);
    }
    if let Some(until) = not_before.filter(|at| *at > draft.now) {
        return Some(Reason::BackOff { until, failures: before.in_a_row });
    }
    if before.has_run {
        return None;
    }
    let unmet = service.spec.depends_on.iter().find(|d| !met(draft.state, d))?;
    Some(Reason::Dependency {
        service: unmet.service.clone(),
        condition: match unmet.condition {
            DependencyCondition::Started => "service_started",
            DependencyCondition::Healthy => "service_healthy",
            DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
        }
        .to_owned(),
    })
}

fn met(state: &State, dependency: &Dependency) -> bool {
    let Some(other) = state.service_named(&dependency.service) else {
        return dependency.optional;
    };
    let reached = |task: &Task| {
        let at = task.status.state;
        match dependency.condition {
            DependencyCondition::Started => {
                at == TaskState::Starting
                    || at == TaskState::Complete
                    || task.status.running_since.is_some()
            }
            DependencyCondition::Healthy => {
                at == TaskState::Running && task.desired <= Desired::Running
            }
            DependencyCondition::CompletedSuccessfully => at == TaskState::Complete,
        }
    };
    let iteration = other.iteration();
    let of_run = |task: &&std::sync::Arc<Task>| task.job_iteration == iteration;
    let slots: BTreeSet<Slot> = state
        .tasks_of(other.id)
        .filter(of_run)
        .filter(|task| reached(task))
        .map(|task| task.slot)
        .collect();
    let reached = slots.len() as u64;
    match other.spec.mode.kind() {
        ModeKind::Replicated { replicas } => reached >= replicas,
        ModeKind::ReplicatedJob { at_once, total } => match dependency.condition {
            DependencyCondition::CompletedSuccessfully => reached >= total,
            DependencyCondition::Started | DependencyCondition::Healthy => {
                reached >= at_once.min(total)
            }
        },
        ModeKind::Global | ModeKind::GlobalJob => {
            let wanted: BTreeSet<Slot> = state
                .tasks_of(other.id)
                .filter(of_run)
                .filter(|task| task.desired <= Desired::Running)
                .map(|task| task.slot)
                .collect();
            !slots.is_empty() && wanted.is_subset(&slots)
        }
    }
}
