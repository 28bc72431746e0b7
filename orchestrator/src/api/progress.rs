//! `/services/{id}/progress`: how far a service is from what was asked, judged here and not by
//! each client: only the managers know which template a task has.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use model::api::{FailedTask, Progress, Verdict};
use model::lifecycle::Desired;
use model::object::{RolloutKind, RolloutState, Service, Slot, Task};
use model::reason::Reason;
use model::spec::{ModeKind, RestartPolicy};
use model::{TaskState, Timestamp};
use orchestrator_core::plan::global_slots;
use orchestrator_core::state;

use super::error::{ApiError, json};
use super::explain::{host, waiting, words_of};
use super::{Api, lookup, render};

/// Failures that are told.
const FAILURES: usize = 5;

pub(super) async fn of_service(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let service = lookup::service(&state, &id)?;
    Ok(json(StatusCode::OK, &progress(&state, service, super::events::now())))
}

fn progress(state: &state::State, service: &Service, now: Timestamp) -> Progress {
    let is_job = service.job.is_some();
    let tasks: Vec<&Task> = state
        .tasks_of(service.id)
        .map(AsRef::as_ref)
        .filter(|t| service.job.is_none_or(|job| job.iteration == t.job_iteration))
        .collect();
    let live: Vec<&Task> =
        tasks.iter().copied().filter(|t| t.desired <= Desired::Running).collect();
    let current = |t: &&&Task| t.template == service.template;
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let (done, outdated) = if is_job {
        (tasks.iter().filter(|t| t.status.state == TaskState::Complete).count(), 0)
    } else {
        let as_asked =
            |t: &&&Task| t.status.state == TaskState::Running || has_finished(service, t);
        let outdated = live.iter().filter(|t| !current(t)).count();
        (live.iter().filter(current).filter(as_asked).count(), outdated)
    };
    let wanted = wanted(state, service, &live);
    let surplus = if is_job { 0 } else { count(live.len()).saturating_sub(wanted) };
    let gave_up = live
        .iter()
        .filter(current)
        .filter(|t| matches!(t.waiting, Some(Reason::RestartsExhausted { .. })))
        .count();
    let rollout = service.rollout.as_ref();
    let verdict = match rollout.map(|r| r.state) {
        Some(RolloutState::Paused) => Verdict::Paused,
        Some(RolloutState::Running) => Verdict::Waiting,
        Some(RolloutState::Completed) | None => {
            if count(done) >= wanted && outdated == 0 && surplus == 0 {
                Verdict::Converged
            } else if is_stuck(is_job, &live, gave_up, count(done), wanted) {
                Verdict::GaveUp
            } else {
                Verdict::Waiting
            }
        }
    };
    let newest = live.iter().filter(current).filter_map(|t| t.status.running_since).max();
    Progress {
        id: service.id.to_string(),
        name: service.spec.name.clone(),
        version: service.meta.version.into(),
        verdict,
        done: count(done),
        wanted,
        outdated: count(outdated).max(surplus),
        is_job,
        stable_for_ms: match (verdict, newest) {
            (Verdict::Converged, Some(newest)) => now.since(newest).0,
            _ => 0,
        },
        monitor_ms: service.spec.effective_update().effective_monitor().0,
        update: rollout.map(render::update_status),
        waiting: live
            .iter()
            .filter(|t| t.status.state < TaskState::Running || t.waiting.is_some())
            .map(|t| waiting(state, t))
            .collect(),
        failures: failures(state, service, &tasks),
    }
}

/// The task ended well and its restart policy starts no other: that is how it should be.
fn has_finished(service: &Service, task: &Task) -> bool {
    let policy = &service.spec.task_template.restart_policy;
    let condition = policy.as_ref().map_or("", |p: &RestartPolicy| p.condition.as_str());
    task.status.state == TaskState::Complete && matches!(condition, "none" | "on-failure")
}

fn wanted(state: &state::State, service: &Service, live: &[&Task]) -> u64 {
    match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } => replicas,
        ModeKind::ReplicatedJob { total, .. } => total,
        ModeKind::Global | ModeKind::GlobalJob => {
            let held: BTreeSet<Slot> = live.iter().map(|t| t.slot).collect();
            let template = service.templates.get(&service.template);
            template.map_or(0, |t| global_slots(state, t, &held).len() as u64)
        }
    }
}

/// Nothing more will be started for what is missing.
fn is_stuck(is_job: bool, live: &[&Task], gave_up: usize, done: u64, wanted: u64) -> bool {
    if !is_job {
        return gave_up > 0;
    }
    let works = live.iter().any(|t| !t.status.state.is_terminal());
    gave_up > 0 && !works && done + gave_up as u64 >= wanted
}

/// What failed last. After a rollback it is the other template's tasks that tell why.
fn failures(state: &state::State, service: &Service, tasks: &[&Task]) -> Vec<FailedTask> {
    let back = service.rollout.as_ref().is_some_and(|r| r.kind == RolloutKind::Rollback);
    let mut failed: Vec<&&Task> = tasks
        .iter()
        .filter(|t| matches!(t.status.state, TaskState::Failed | TaskState::Rejected))
        .filter(|t| (t.template == service.template) != back)
        .collect();
    failed.sort_by_key(|t| (std::cmp::Reverse(t.status.since), t.id));
    failed.truncate(FAILURES);
    let shown = |t: &&Task| FailedTask {
        task_id: t.id.to_string(),
        name: render::task_name(state, t),
        node: host(state, t),
        state: t.status.state.name().to_owned(),
        at: t.status.since.into(),
        text: if t.status.error.is_empty() { words_of(t) } else { t.status.error.clone() },
        exit_code: t.status.container.as_ref().and_then(|c| c.exit_code).unwrap_or(0),
    };
    failed.into_iter().map(shown).collect()
}
