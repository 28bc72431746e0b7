//! Tables of services, tasks and nodes.

use model::lifecycle::Desired;
use model::object::{Slot, Task};
use model::spec::{Availability, ModeKind};
use model::{NodeId, TaskState};
use orchestrator_core::State;

use super::super::world::World;

/// Columns under their headings, two blanks between.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all: Vec<Vec<String>> = vec![head.iter().map(|h| (*h).to_owned()).collect()];
    all.extend(rows);
    let width =
        |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let lines = all.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `web.1`; of a global service `web.w4`.
pub(super) fn name(state: &State, task: &Task) -> String {
    let service = state.service(task.service).map_or("?", |s| s.spec.name.as_str());
    match task.slot {
        Slot::Replica(number) => format!("{service}.{number}"),
        Slot::Node(node) => format!("{service}.{}", host_name(state, Some(node))),
    }
}

pub(super) fn host_name(state: &State, node: Option<NodeId>) -> String {
    let Some(node) = node else { return "-".to_owned() };
    state.node(node).map_or_else(|| "?".to_owned(), |n| n.description.hostname.clone())
}

pub(super) fn services(state: &State) -> String {
    let mut services: Vec<_> = state.services().filter(|s| s.removed.is_none()).collect();
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let rows = services.into_iter().map(|service| {
        let tasks = state.tasks_of(service.id).filter(|t| t.desired <= Desired::Running);
        let (mut running, mut wanted) = (0, 0);
        for task in tasks {
            wanted += u64::from(!task.status.state.is_terminal());
            running += u64::from(task.status.state == TaskState::Running);
        }
        let (mode, number) = match service.spec.mode.kind() {
            ModeKind::Replicated { replicas } => ("replicated", replicas),
            ModeKind::Global => ("global", wanted),
            ModeKind::ReplicatedJob { total, .. } => ("replicated job", total),
            ModeKind::GlobalJob => ("global job", wanted),
        };
        let container = service.spec.task_template.container_spec.as_ref();
        let change = service.rollout.as_ref().map_or("", |r| r.docker_state());
        vec![
            service.spec.name.clone(),
            mode.to_owned(),
            format!("{running}/{number}"),
            container.map(|c| c.image.clone()).unwrap_or_default(),
            change.to_owned(),
        ]
    });
    table(&["NAME", "MODE", "RUNNING", "IMAGE", "CHANGE"], rows.collect())
}

/// Every task on record, each slot's newest first.
pub(super) fn tasks(state: &State, service: Option<&str>) -> Result<String, String> {
    let mut services: Vec<_> = match service {
        Some(name) => {
            vec![state.service_named(name).ok_or_else(|| format!("no service {name}"))?]
        }
        None => state.services().collect(),
    };
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let mut rows = Vec::new();
    for service in services {
        let mut slots: Vec<(String, Vec<&std::sync::Arc<Task>>)> = Vec::new();
        for task in state.tasks_of(service.id) {
            let name = name(state, task);
            match slots.last_mut() {
                Some((known, tasks)) if *known == name => tasks.insert(0, task),
                Some(_) | None => slots.push((name, vec![task])),
            }
        }
        slots.sort_by_key(|(name, tasks)| (tasks[0].slot_number(), name.clone()));
        for (name, tasks) in slots {
            for (age, task) in tasks.into_iter().enumerate() {
                let name = if age == 0 { name.clone() } else { format!(" \\_ {name}") };
                let template = service.templates.get(&task.template);
                let container = template.and_then(|t| t.task.container_spec.as_ref());
                let waiting = task.waiting.as_ref().map(|reason| match reason {
                    // The time is the leader's; how long it takes is seen by watching.
                    model::reason::Reason::BackOff { failures, .. } => {
                        format!("waits after {failures} failures in a row")
                    }
                    other => other.to_string(),
                });
                rows.push(vec![
                    name,
                    container.map(|c| c.image.clone()).unwrap_or_default(),
                    host_name(state, task.node),
                    format!("{:?}", task.desired).to_lowercase(),
                    task.status.state.to_string(),
                    waiting.unwrap_or_else(|| task.status.error.clone()),
                ]);
            }
        }
    }
    Ok(table(&["NAME", "IMAGE", "NODE", "WANTED", "STATE", "WHY"], rows))
}

/// Sorts slots by number.
trait SlotNumber {
    fn slot_number(&self) -> u64;
}

impl SlotNumber for Task {
    fn slot_number(&self) -> u64 {
        match self.slot {
            Slot::Replica(number) => number,
            Slot::Node(_) => 0,
        }
    }
}

pub(super) fn nodes(state: &State, world: &World) -> String {
    let leader = world.managers.leader.as_ref().map(|l| l.manager);
    let rows = world.hosts.iter().enumerate().filter_map(|(at, host)| {
        let node = state.node(host.node)?;
        let live = state.tasks_on(node.id).filter(|t| t.status.state == TaskState::Running);
        let role = match (at < world.settings.managers, leader == Some(at)) {
            (_, true) => "leader",
            (true, false) => "manager",
            (false, false) => "worker",
        };
        let availability = match node.spec.availability {
            Availability::Active => "active",
            Availability::Pause => "pause",
            Availability::Drain => "drain",
        };
        Some(vec![
            host.name.clone(),
            node.status.state.name().to_owned(),
            availability.to_owned(),
            role.to_owned(),
            live.count().to_string(),
        ])
    });
    table(&["NODE", "STATUS", "AVAILABILITY", "ROLE", "RUNNING"], rows.collect())
}
