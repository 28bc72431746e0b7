//! What an agent says of its tasks is so.

use std::collections::BTreeSet;

use agent_core::worker::{Health, Phase};
use model::lifecycle::Desired;
use model::wire::session::TaskReport;
use model::{TaskId, TaskState};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "reports-are-true",
    "a task is reported as ended when its process has ended, as shut down when it was told to, as running when \
     its check has passed",
);

/// Processes that were started, each with the task it was started for.
pub(super) type Started = BTreeSet<TaskId>;

pub(super) fn check(world: &World, host: usize, reports: &[TaskReport]) -> Result<(), String> {
    let host = &world.hosts[host];
    for report in reports {
        let task = report.task;
        if report.state.is_terminal() && host.engine.runs(task) {
            return Err(format!(
                "{} reports task {task} as {}, its process runs: {}",
                host.name, report.state, report.error
            ));
        }
        let order = host.orders.as_ref().and_then(|orders| orders.tasks.get(&task));
        let wanted = order.is_some_and(|order| order.desired <= Desired::Running);
        if report.state == TaskState::Shutdown && wanted && !host.forgot {
            return Err(format!("{} reports task {task} as shut down, unasked", host.name));
        }
        if report.state != TaskState::Running || !host.engine_up {
            continue;
        }
        let health = host.engine.containers.get(&task).map(|container| &container.phase);
        let Some(Phase::Running { health: Health::Starting, .. }) = health else { continue };
        return Err(format!("{} reports task {task} as running before its check", host.name));
    }
    Ok(())
}

/// Looks at a process that has started: a task has one in its life.
pub(super) fn check_start(world: &mut World, host: usize, task: TaskId) -> Result<(), String> {
    let forgot = world.hosts[host].forgot;
    if !world.watch.started.insert(task) && !forgot {
        return Err(format!("{} has started task {task} again", world.hosts[host].name));
    }
    Ok(())
}
