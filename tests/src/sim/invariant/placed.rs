//! Tasks are put where they may be.

use model::lifecycle::Desired;
use model::object::{Node, NodeState, RolloutState, Slot, Task};
use model::spec::{Availability, Placement, Role};
use model::{Millis, NodeId, TaskState};
use orchestrator_core::State;

use super::super::world::World;
use super::Move;
use super::explains::takers;

pub(super) const SAYS: (&str, &str) = (
    "placed-well",
    "a task is given a node that is up, takes tasks, meets its constraints and has no more than its share",
);

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
        let here = |t: &&std::sync::Arc<Task>| t.node == task.node && t.desired <= Desired::Running;
        let live = state.tasks_of(service.id).filter(here);
        let live = live.filter(|t| !t.status.state.is_terminal()).count() as u64;
        if placement.max_replicas > 0 && live > placement.max_replicas {
            return Err(format!("{live} tasks of {} are on {name}", service.spec.name));
        }
        spread(world, state, task)?;
    }
    Ok(())
}

/// How many more of a service's tasks a node may have than another that could take one: what ends or
/// is moved between plan and log position makes a difference of two.
const UNEVEN: usize = 3;

/// A larger cluster is not looked at.
const FEW_NODES: usize = 60;

/// The tasks of a service are spread over the nodes that could take them.
fn spread(world: &World, state: &State, task: &Task) -> Result<(), String> {
    if !matches!(task.slot, Slot::Replica(_)) || state.nodes().len() > FEW_NODES {
        return Ok(());
    }
    let on = |node: NodeId| {
        let of_service = state.tasks_on(node).filter(|t| t.service == task.service);
        of_service
            .filter(|t| t.desired <= Desired::Running && !t.status.state.is_terminal())
            .count()
    };
    let Some(own) = task.node else { return Ok(()) };
    // During a change those that are about to be replaced count for nothing.
    let service = state.service(task.service);
    let changes = service.is_none_or(|s| {
        let of = |t: &std::sync::Arc<Task>| t.template == s.template;
        s.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Running)
            || !state.tasks_of(s.id).all(of)
    });
    if changes {
        return Ok(());
    }
    let here = on(own);
    if here < UNEVEN {
        return Ok(());
    }
    let time = super::leader_time(world);
    for id in takers(state, task).into_iter().filter(|id| *id != own) {
        let Some(node) = state.node(id) else { continue };
        // It may have come into question only after the plan was made; and where tasks of the
        // service fail, others are not put.
        let news = time.since(node.meta.updated_at.max(node.status.since)) < Millis::from_secs(3);
        let fails = state.tasks_on(id).any(|t| {
            t.service == task.service
                && matches!(t.status.state, TaskState::Failed | TaskState::Rejected)
        });
        let there = on(id);
        if !news && !fails && there + UNEVEN <= here {
            return Err(format!(
                "task {} was put on {own} with {here} of its service, {id} has {there}",
                task.id
            ));
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
        "node.labels.zone!=a" => zone == "a",
        "node.role!=manager" => node.spec.role == Role::Manager,
        "node.role==worker" => node.spec.role != Role::Worker,
        "node.hostname!=w5" => node.description.hostname == "w5",
        _ => false,
    })
}
