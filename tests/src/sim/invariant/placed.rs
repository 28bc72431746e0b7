//! Tasks are put where they may be.

use model::TaskState;
use model::object::{Node, NodeState, Task};
use model::spec::{Availability, Placement, Role};

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) =
    ("placed-well", "a task is given a node that is up, takes tasks and meets its constraints");

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    for Move { task, before } in moves {
        let had_node = before.is_some_and(|b| b.state >= TaskState::Assigned);
        if had_node || task.status.state < TaskState::Assigned {
            continue;
        }
        let Some(node) = task.node.and_then(|id| state.node(id)) else { continue };
        let Some(service) = state.service(task.service) else { continue };
        let name = &node.description.hostname;
        if node.status.state != NodeState::Ready {
            return Err(format!("task {} was put on {name}, which is not up", task.id));
        }
        if node.spec.availability != Availability::Active {
            return Err(format!("task {} was put on {name}, which takes no tasks", task.id));
        }
        let template = service.templates.get(&task.template);
        let Some(placement) = template.and_then(|t| t.task.placement.as_ref()) else { continue };
        if let Some(constraint) = violated(placement, node) {
            return Err(format!("task {} was put on {name} against {constraint}", task.id));
        }
        let here = |t: &&std::sync::Arc<Task>| {
            t.node == task.node && t.desired <= model::lifecycle::Desired::Running
        };
        let live = state.tasks_of(service.id).filter(here);
        let live = live.filter(|t| !t.status.state.is_terminal()).count() as u64;
        if placement.max_replicas > 0 && live > placement.max_replicas {
            return Err(format!("{live} tasks of {} are on {name}", service.spec.name));
        }
    }
    Ok(())
}

/// The constraint that the node does not meet, of those that the simulated users write. Judged
/// without the planner's own words.
pub(super) fn violated<'a>(placement: &'a Placement, node: &Node) -> Option<&'a str> {
    let zone = node.spec.labels.get("zone").map_or("", String::as_str);
    placement.constraints.iter().map(String::as_str).find(|constraint| match *constraint {
        "node.labels.zone==a" => zone != "a",
        "node.role!=manager" => node.spec.role == Role::Manager,
        _ => false,
    })
}
