//! An agent stops and starts what it was told to, one step at a time.

use agent_core::worker::{Container, Health, Phase, Sight, Step};
use model::lifecycle::Desired;
use model::{Millis, TaskId};

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "done-as-told",
    "a healthy container is stopped only when the orders say so, those of a manager or those that the disk kept, never because a disk \
     lacks them, a container is made with its secrets, and a task has one step at a time",
);

/// Between the signal and the kill, unless the service says otherwise.
const GRACE: Millis = Millis::from_secs(10);

pub(super) fn check(world: &World, host: usize, task: TaskId, step: &Step) -> Result<(), String> {
    let host = &world.hosts[host];
    if *step != Step::Abandon && host.flights.contains_key(&task) {
        return Err(format!("{} begins {} of task {task} beside another", host.name, step.name()));
    }
    let order = host.orders.as_ref().and_then(|orders| orders.tasks.get(&task));
    let desired = order.map_or(Desired::Remove, |order| order.desired);
    if let (Step::Stop { grace, .. }, Some(order)) = (step, order) {
        let spec = order.spec.container_spec.as_ref();
        let promised = spec.and_then(|s| s.stop_grace_period).map_or(GRACE, Millis::from_nanos);
        if *grace != Some(promised) {
            return Err(format!("{} gives task {task} {grace:?}, not {promised}", host.name));
        }
    }
    let kept = host.worker.keep().remove(&task).unwrap_or_default();
    if let (Step::Create, Some(order), Some(orders)) = (step, order, &host.orders) {
        let container = order.spec.container_spec.iter();
        let mut secrets = container.flat_map(|c| &c.secrets);
        let lacks = secrets.find(|secret| {
            let id = secret.secret_id.parse().ok();
            id.and_then(|id| orders.secrets.get(&id)).is_none_or(|file| file.data.is_empty())
        });
        if let Some(secret) = lacks {
            let (name, secret) = (&host.name, &secret.secret_name);
            return Err(format!("{name} makes task {task} without {secret}"));
        }
    }
    match step {
        Step::Stop { .. } | Step::Kill { .. }
            if order.is_none() && !host.heard && kept.ending.is_none() =>
        {
            return Err(format!("{} stops task {task}, and no manager has said so", host.name));
        }
        Step::Stop { .. } | Step::Kill { .. } if desired < Desired::Shutdown => {
            let ill = match host.worker.sight(task) {
                Sight::Present(Container { phase: Phase::Running { health, .. }, .. }) => {
                    matches!(health, Health::Unhealthy { .. })
                }
                Sight::Present(_) | Sight::Absent | Sight::Unknown => false,
            };
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
