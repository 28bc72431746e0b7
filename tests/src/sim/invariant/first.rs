//! What a service depends on comes first.

use model::lifecycle::Desired;
use model::object::Service;
use model::spec::DependencyCondition;
use model::{Millis, TaskState};
use orchestrator_core::State;

use super::super::world::World;
use super::Move;

pub(super) const SAYS: (&str, &str) = (
    "dependencies-first",
    "the first task of a slot is told to start only when what its service depends on has come so far",
);

/// What has just ceased to be so was so when it was planned.
const JUST: Millis = Millis(3_000);

pub(super) fn check(world: &World, moves: &[Move]) -> Result<(), String> {
    let time = super::leader_time(world);
    let Some((_, state)) = world.managers.leading() else { return Ok(()) };
    for Move { task, before } in moves {
        let told =
            task.desired == Desired::Running && before.is_none_or(|b| b.desired < Desired::Running);
        let Some(service) = state.service(task.service).filter(|_| told) else { continue };
        let alone = state.tasks_in(task.service, task.slot).count() == 1;
        if service.spec.depends_on.is_empty() || !alone || service.job.is_some() {
            continue;
        }
        for dependency in &service.spec.depends_on {
            let Some(other) = state.service_named(&dependency.service) else { continue };
            let news = |t: &std::sync::Arc<model::object::Task>| {
                time.since(t.status.since) < JUST || time.since(t.meta.updated_at) < JUST
            };
            let scaled = time.since(other.meta.updated_at) < JUST;
            if other.job.is_some() || scaled || state.tasks_of(other.id).any(news) {
                continue;
            }
            if let Some(why) = unmet(state, other, dependency.condition) {
                return Err(format!(
                    "task {} of {} is to start, and {} {why}",
                    task.id, service.spec.name, other.spec.name
                ));
            }
        }
    }
    Ok(())
}

fn unmet(state: &State, other: &Service, condition: DependencyCondition) -> Option<String> {
    let wanted = other.spec.mode.replicated.as_ref()?.replicas.unwrap_or(1);
    let come = |t: &&std::sync::Arc<model::object::Task>| match condition {
        DependencyCondition::Healthy => {
            t.status.state == TaskState::Running && t.desired <= Desired::Running
        }
        DependencyCondition::Started | DependencyCondition::CompletedSuccessfully => {
            t.status.state >= TaskState::Starting
        }
    };
    let slots: std::collections::BTreeSet<_> =
        state.tasks_of(other.id).filter(come).map(|t| t.slot).collect();
    let come = slots.len() as u64;
    (come < wanted).then(|| format!("has come so far in {come} slots of {wanted}"))
}
