//! A host is not asked to do everything at once, and not for nothing.

use agent_core::worker::Step;
use model::TaskId;
use model::lifecycle::Desired;

use super::super::world::World;

pub(super) const SAYS: (&str, &str) = (
    "few-at-once",
    "a host starts at most four containers and pulls three images at once, and breaks off the pull of what is \
     not wanted any more",
);

/// What an agent promises its host.
const STARTS: usize = 4;
const PULLS: usize = 3;

/// Looks before a step.
pub(super) fn check(world: &World, host: usize, task: TaskId, step: &Step) -> Result<(), String> {
    let (names, most): (&[&str], usize) = match step {
        Step::Pull => (&["pull"], PULLS),
        Step::Create | Step::Start { .. } => (&["create", "start"], STARTS),
        _ => return Ok(()),
    };
    let host = &world.hosts[host];
    let under_way = host.flights.iter().filter(|(_, (name, _))| names.contains(name)).count();
    if under_way >= most {
        let what = step.name();
        return Err(format!("{} begins to {what} {task} beside {under_way} others", host.name));
    }
    Ok(())
}

/// Looks when all steps are taken.
pub(super) fn check_pulls(world: &World, host: usize) -> Result<(), String> {
    let host = &world.hosts[host];
    let Some(orders) = &host.orders else { return Ok(()) };
    let in_vain = host.flights.iter().find(|(task, (name, _))| {
        let order = orders.tasks.get(task);
        *name == "pull" && order.is_some_and(|order| order.desired >= Desired::Shutdown)
    });
    match in_vain {
        Some((task, _)) => Err(format!("{} pulls for {task}, which is to end", host.name)),
        None => Ok(()),
    }
}
