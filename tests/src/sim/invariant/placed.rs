//! Tasks are put where they may be.

use std::collections::BTreeMap;

use model::lifecycle::Desired;
use model::object::{Node, NodeState, RolloutState, Service, Slot, Task};
use model::spec::{Availability, Placement, Role};
use model::{Millis, NodeId, TaskState, Timestamp};
use orchestrator_core::State;

use super::super::world::World;
use super::Move;
use super::explains::{gpus, sum_of, takers};
use super::liveness::is_wanted;

pub(super) const SAYS: (&str, &str) = (
    "placed-well",
    "a task is given a node that is up, takes tasks, meets its constraints and has no more than its share",
);

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    for Move { task, before } in moves {
        if before.is_none() {
            of_a_node(world, state, task)?;
        }
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
        room(state, task, node)?;
        let template = service.templates.get(&task.template);
        let Some(placement) = template.and_then(|t| t.task.placement.as_ref()) else { continue };
        if !placement.platforms.is_empty() && node.description.platform.architecture != "x86_64" {
            return Err(format!("task {} was put on {name}, which is no amd64", task.id));
        }
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
        over_zones(world, state, task)?;
    }
    Ok(())
}

/// A global service has a slot on a node that takes tasks, and keeps it on one that is paused.
fn of_a_node(world: &World, state: &State, task: &Task) -> Result<(), String> {
    let Slot::Node(own) = task.slot else { return Ok(()) };
    let Some(node) = state.node(own) else { return Ok(()) };
    let news = super::leader_time(world).since(node.meta.updated_at) < NEWS;
    // Of a job: in this run of it.
    let of_run = |t: &&std::sync::Arc<Task>| t.job_iteration == task.job_iteration;
    let alone = state.tasks_in(task.service, task.slot).filter(of_run).count() == 1;
    if alone && !news && node.spec.availability != Availability::Active {
        let name = &node.description.hostname;
        return Err(format!("task {} is made for {name}, which takes no tasks", task.id));
    }
    Ok(())
}

/// What all tasks of the node have reserved is there, and no port of it is given twice.
fn room(state: &State, task: &Task, node: &Node) -> Result<(), String> {
    let name = &node.description.hostname;
    let (mut cpus, mut memory, mut ports) = (0, 0, BTreeMap::new());
    for there in state.tasks_on(node.id).filter(|t| !t.status.state.is_terminal()) {
        let service = state.service(there.service);
        let Some(template) = service.and_then(|s| s.templates.get(&there.template)) else {
            continue;
        };
        let asked = template.task.resources.as_ref().and_then(|r| r.reservations.as_ref());
        cpus += asked.map_or(0, |r| r.nano_cpus);
        memory += asked.map_or(0, |r| r.memory_bytes);
        for port in &template.host_ports {
            if let Some(other) = ports.insert(port.published_port, there.id)
                && (other == task.id || there.id == task.id)
            {
                let port = port.published_port;
                return Err(format!("tasks {other} and {} have port {port} of {name}", there.id));
            }
        }
    }
    let has = &node.description.resources;
    let there = state.tasks_on(node.id).filter(|t| !t.status.state.is_terminal());
    let taken: i64 = there.map(|t| gpus(state, t)).sum();
    if taken > sum_of(&has.generic_resources) {
        return Err(format!("{taken} GPUs of {name} are reserved"));
    }
    if cpus > has.nano_cpus || memory > has.memory_bytes {
        return Err(format!("{cpus} CPUs and {memory} bytes of {name} are reserved"));
    }
    Ok(())
}

/// What has just changed may have been otherwise when it was planned.
pub(super) const NEWS: Millis = Millis::from_secs(3);

/// It has given room only now: when the plan was made it had it, perhaps.
pub(super) fn has_just_ended(task: &Task, time: Timestamp) -> bool {
    let ended = task.status.state.is_terminal() || task.desired > Desired::Running;
    let told = task.drain.map_or(task.meta.updated_at, |drain| drain.since);
    ended && time.since(told.max(task.status.since)) < NEWS
}

/// A service that prefers to be spread over the zones is.
fn over_zones(world: &World, state: &State, task: &Task) -> Result<(), String> {
    let service = state.service(task.service).filter(|s| !changes(state, s));
    let Some(service) = service.filter(|_| state.nodes().len() <= FEW_NODES) else { return Ok(()) };
    let placement = service.spec.task_template.placement.as_ref();
    let (Some(placement), Slot::Replica(_)) = (placement, task.slot) else { return Ok(()) };
    let time = super::leader_time(world);
    let news = |n: &std::sync::Arc<Node>| {
        time.since(n.meta.updated_at) < NEWS || time.since(n.status.since) < NEWS
    };
    if placement.preferences.is_empty() || state.nodes().any(news) {
        return Ok(());
    }
    let zone = |id: NodeId| state.node(id).and_then(|n| n.spec.labels.get("zone")).cloned();
    let Some(own) = task.node.and_then(zone) else { return Ok(()) };
    let in_zone = |counts: &dyn Fn(&Task) -> bool, wanted: &str| {
        let there = state.tasks_of(service.id).filter(|t| counts(t));
        there.filter_map(|t| t.node.and_then(zone)).filter(|z| z == wanted).count()
    };
    let here = in_zone(&is_wanted, &own);
    // What has ended since the plan was made was there for it.
    let then = |t: &Task| is_wanted(t) || has_just_ended(t, time);
    for other in takers(state, task).into_iter().filter_map(zone).filter(|z| *z != own) {
        let there = in_zone(&then, &other);
        if there + UNEVEN <= here {
            return Err(format!("zone {own} has {here} of {}, {other} {there}", service.spec.name));
        }
    }
    Ok(())
}

/// During a change those that are about to be replaced count for nothing.
fn changes(state: &State, service: &Service) -> bool {
    let moving = |t: &std::sync::Arc<Task>| t.template != service.template || t.leaves;
    service.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Running)
        || state.tasks_of(service.id).any(moving)
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
    let service = state.service(task.service).filter(|s| !changes(state, s));
    let Some(service) = service else { return Ok(()) };
    // The zone comes before the node.
    let placement = service.spec.task_template.placement.as_ref();
    if placement.is_some_and(|p| !p.preferences.is_empty()) {
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
        let news = time.since(node.meta.updated_at.max(node.status.since)) < NEWS
            || state.tasks_on(id).any(|t| has_just_ended(t, time));
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
        "node.labels.zone!=b" => zone == "b",
        "node.role!=manager" => node.spec.role == Role::Manager,
        "node.role==worker" => node.spec.role != Role::Worker,
        "node.hostname!=w5" => node.description.hostname == "w5",
        _ => false,
    })
}
