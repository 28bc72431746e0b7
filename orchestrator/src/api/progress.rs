//! `/services/{id}/progress`: how far a service is from what was asked. Judged by
//! [`orchestrator_core::progress`], shown here.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use model::Timestamp;
use model::api::{FailedTask, Progress};
use model::object::{Service, Task};
use orchestrator_core::progress::judge;
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
    let judged = judge(state, service, now);
    Progress {
        id: service.id.to_string(),
        name: service.spec.name.clone(),
        version: service.meta.version.into(),
        verdict: judged.verdict,
        done: judged.done,
        wanted: judged.wanted,
        outdated: judged.outdated,
        is_job: service.job.is_some(),
        stable_for_ms: judged.stable_for.0,
        monitor_ms: service.spec.effective_update().effective_monitor().0,
        update: service.rollout.as_ref().map(render::update_status),
        waiting: judged.waiting.iter().map(|task| waiting(state, task)).collect(),
        failures: judged.failed.iter().take(FAILURES).map(|task| failure(state, task)).collect(),
    }
}

fn failure(state: &state::State, task: &Task) -> FailedTask {
    FailedTask {
        task_id: task.id.to_string(),
        name: render::task_name(state, task),
        node: host(state, task),
        state: task.status.state.name().to_owned(),
        at: task.status.since.into(),
        text: if task.status.error.is_empty() { words_of(task) } else { task.status.error.clone() },
        exit_code: task.status.container.as_ref().and_then(|c| c.exit_code).unwrap_or(0),
    }
}
