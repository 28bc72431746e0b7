//! The commands of a service around start and stop are run.

use std::collections::BTreeMap;

use agent_core::worker::{HookPoint, Step};
use model::wire::orders::TaskOrder;
use model::wire::session::TaskReport;
use model::{TaskId, TaskState};

use super::super::host::Host;
use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "commands-are-run",
    "the commands after a start are run in their order before a task counts as running, those before a stop \
     before it is stopped",
);

/// How many commands after the start and before the stop have been run of a task.
pub(super) type Run = BTreeMap<TaskId, (usize, usize)>;

pub(super) fn note(world: &mut World, task: TaskId, step: &Step) {
    let Step::Hook { hook, .. } = step else { return };
    let (after, before) = world.watch.hooks.entry(task).or_default();
    match hook {
        HookPoint::PostStart(at) => *after = (*after).max(at + 1),
        HookPoint::PreStop(at) => *before = (*before).max(at + 1),
    }
}

/// The commands that the task's order names: after the start, before the stop.
fn asked(order: &TaskOrder) -> (usize, usize) {
    let container = order.spec.container_spec.as_ref();
    let engine = container.and_then(|c| c.engine.as_ref());
    engine.map_or((0, 0), |e| (e.post_start.len(), e.pre_stop.len()))
}

fn order(host: &Host, task: TaskId) -> Option<&TaskOrder> {
    host.orders.as_ref().and_then(|orders| orders.tasks.get(&task)).filter(|_| !host.forgot)
}

/// Looks before a step: none is left out.
pub(super) fn check(world: &World, host: usize, task: TaskId, step: &Step) -> Result<(), String> {
    let host = &world.hosts[host];
    let Some(order) = order(host, task) else { return Ok(()) };
    let (after, before) = world.watch.hooks.get(&task).copied().unwrap_or_default();
    match step {
        Step::Hook { hook: HookPoint::PostStart(at), .. } if *at > after => {
            Err(format!("{} leaves out command {after} after the start of {task}", host.name))
        }
        Step::Hook { hook: HookPoint::PreStop(at), .. } if *at > before => {
            Err(format!("{} leaves out command {before} before the stop of {task}", host.name))
        }
        Step::Stop { .. } if before < asked(order).1 => {
            Err(format!("{} stops {task} after {before} of its commands", host.name))
        }
        _ => Ok(()),
    }
}

/// Looks at what an agent says.
pub(super) fn check_reports(
    world: &World,
    host: usize,
    reports: &[TaskReport],
) -> Result<(), String> {
    let host = &world.hosts[host];
    for report in reports.iter().filter(|r| r.state == TaskState::Running) {
        let Some(order) = order(host, report.task) else { continue };
        let (after, _) = world.watch.hooks.get(&report.task).copied().unwrap_or_default();
        if after < asked(order).0 {
            let task = report.task;
            return Err(format!("{} says that {task} runs after {after} commands", host.name));
        }
    }
    Ok(())
}
