//! An agent stops and starts what it was told to, one step at a time.

use agent_core::worker::{Container, Health, Phase, Sight, Step};
use model::TaskId;
use model::lifecycle::Desired;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "done-as-told",
    "a healthy container is stopped only when the orders say so, and a task has one step at a time",
);

pub(super) fn check(world: &World, host: usize, task: TaskId, step: &Step) -> Result<(), String> {
    let host = &world.hosts[host];
    if *step != Step::Abandon && host.flights.contains_key(&task) {
        return Err(format!("{} begins {} of task {task} beside another", host.name, step.name()));
    }
    let order = host.orders.as_ref().and_then(|orders| orders.tasks.get(&task));
    let desired = order.map_or(Desired::Remove, |order| order.desired);
    match step {
        Step::Stop { .. } | Step::Kill { .. } if desired < Desired::Shutdown => {
            let ill = match host.worker.sight(task) {
                Sight::Present(Container { phase: Phase::Running { health, .. }, .. }) => {
                    matches!(health, Health::Unhealthy { .. })
                }
                Sight::Present(_) | Sight::Absent | Sight::Unknown => false,
            };
            let kept = host.worker.keep().remove(&task).unwrap_or_default();
            let over = kept.ending.is_some() || kept.state.is_terminal();
            // What never served has nothing to drain; one that was started meanwhile is stopped.
            if !ill && !over {
                return Err(format!("{} stops task {task}, which is to be {desired:?}", host.name));
            }
        }
        Step::Start { .. } if desired == Desired::Ready => {
            return Err(format!("{} starts task {task}, which is to wait", host.name));
        }
        Step::Remove { .. } if desired < Desired::Remove => {
            return Err(format!(
                "{} removes the container of task {task}, which is to be {desired:?}",
                host.name
            ));
        }
        Step::Pull
        | Step::Create
        | Step::Start { .. }
        | Step::Inspect
        | Step::Hook { .. }
        | Step::Stop { .. }
        | Step::Kill { .. }
        | Step::Remove { .. }
        | Step::Abandon => {}
    }
    Ok(())
}
