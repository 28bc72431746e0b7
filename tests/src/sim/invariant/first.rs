//! What a service depends on comes first.

use std::collections::{BTreeMap, BTreeSet};

use model::lifecycle::Desired;
use model::object::{Service, Slot, Task};
use model::reason::Reason;
use model::spec::{DependencyCondition, ModeKind};
use model::{ServiceId, TaskState};
use orchestrator_core::command::{Applied, Command, ObjectRef};
use orchestrator_core::{Entry, State};

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "dependencies-first",
    "a slot that has never run is told to start only when what its service depends on has come so far, one \
     that has does not wait for that",
);

/// How far services have come after the entries that changed it, and which slots have ever run.
#[derive(Default)]
pub(super) struct Known {
    /// The term in which all of this was seen: nobody looks while there is no leader.
    term: u64,
    come: BTreeMap<ServiceId, Vec<(u64, Come)>>,
    /// With the run of a job that it was, and when that was first known.
    ran: BTreeMap<(ServiceId, Slot, u64), u64>,
}

/// What a service's slots have come to, all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Come {
    started: bool,
    healthy: bool,
    completed: bool,
}

impl Come {
    fn reaches(self, condition: DependencyCondition) -> bool {
        match condition {
            DependencyCondition::Started => self.started,
            DependencyCondition::Healthy => self.healthy,
            DependencyCondition::CompletedSuccessfully => self.completed,
        }
    }
}

/// Looks at what a plan starts, by what there was when it was made.
pub(super) fn check(
    world: &mut World,
    entry: &Entry,
    applied: &Applied,
    moves: &[Move],
) -> Result<(), String> {
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    let known = &mut world.watch.first;
    if known.term != world.managers.term {
        known.come.clear();
        known.term = world.managers.term;
    }
    note(known, state, applied, moves);
    let Some(base) = entry.batch.base else { return Ok(()) };
    for command in &entry.batch.commands {
        let held_back = match command {
            Command::CreateTask(new) => Some((new.service, new.slot, new.waiting.as_ref())),
            Command::SetWaiting { task, waiting } => {
                state.task(*task).map(|t| (t.service, t.slot, waiting.as_ref()))
            }
            _ => None,
        };
        // A slot of a service made smaller begins anew; that of a node does not, as long as what ran
        // there is on record.
        let Some((service, slot @ Slot::Node(_), Some(Reason::Dependency { .. }))) = held_back
        else {
            continue;
        };
        if state.service(service).is_none_or(|s| s.job.is_some()) {
            continue;
        }
        let on_record = state.tasks_in(service, slot).any(|t| t.status.running_since.is_some());
        let ran = known.ran.get(&(service, slot, 0)).is_some_and(|version| *version <= base.0);
        if ran && on_record {
            return Err(format!("{slot:?} of service {service} has run and waits for others"));
        }
    }
    for Move { task, before } in moves {
        let told =
            task.desired == Desired::Running && before.is_none_or(|b| b.desired < Desired::Running);
        let Some(service) = state.service(task.service).filter(|_| told) else { continue };
        if known.ran.contains_key(&(task.service, task.slot, task.job_iteration)) {
            continue;
        }
        for dependency in &service.spec.depends_on {
            let Some(other) = state.service_named(&dependency.service) else { continue };
            let seen = known
                .come
                .get(&other.id)
                .and_then(|come| come.iter().rev().find(|(version, _)| *version <= base.0));
            if seen.is_some_and(|(_, come)| !come.reaches(dependency.condition)) {
                return Err(format!(
                    "task {} of {} is to start, and {} has not come so far ({:?})",
                    task.id, service.spec.name, other.spec.name, dependency.condition
                ));
            }
        }
    }
    Ok(())
}

/// So many changes back a plan may have been made.
const KEPT: usize = 64;

fn note(known: &mut Known, state: &State, applied: &Applied, moves: &[Move]) {
    for Move { task, .. } in moves {
        if task.status.running_since.is_some() {
            let key = (task.service, task.slot, task.job_iteration);
            known.ran.entry(key).or_insert(applied.revision.0);
        }
    }
    let touched: BTreeSet<ServiceId> = applied
        .changes
        .iter()
        .filter_map(|change| match change.object {
            ObjectRef::Service(id) => Some(id),
            _ => change.task.as_ref().map(|place| place.service),
        })
        .collect();
    for id in touched {
        let service = state.service(id);
        // Of one that nobody waits for it is not noted how far it comes.
        let awaited = service.filter(|s| state.dependents(&s.spec.name).next().is_some());
        let Some(now) = awaited.and_then(|service| come(state, service)) else {
            known.come.remove(&id);
            continue;
        };
        let come = known.come.entry(id).or_default();
        if come.last().is_none_or(|(_, last)| *last != now) {
            come.push((applied.revision.0, now));
            if come.len() > KEPT {
                come.remove(0);
            }
        }
    }
}

fn come(state: &State, service: &Service) -> Option<Come> {
    let (begun, wanted) = match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } => (replicas, replicas),
        ModeKind::ReplicatedJob { at_once, total } => (at_once.min(total), total),
        ModeKind::Global | ModeKind::GlobalJob => return None,
    };
    let iteration = service.iteration();
    let so_many = |most: u64, come: &dyn Fn(&Task) -> bool| {
        let tasks = state.tasks_of(service.id);
        let tasks = tasks.filter(|t| t.job_iteration == iteration && come(t));
        tasks.map(|t| t.slot).collect::<BTreeSet<_>>().len() as u64 >= most
    };
    Some(Come {
        started: so_many(begun, &|t| {
            t.status.running_since.is_some()
                || matches!(t.status.state, TaskState::Starting | TaskState::Complete)
        }),
        healthy: so_many(begun, &|t| {
            t.status.state == TaskState::Running && t.desired <= Desired::Running
        }),
        completed: so_many(wanted, &|t| t.status.state == TaskState::Complete),
    })
}
