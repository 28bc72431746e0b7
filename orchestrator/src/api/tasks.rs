//! `/tasks`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::TaskId;
use model::lifecycle::Desired;
use model::object::{Slot, Task};
use model::spec::Labels;
use orchestrator_core::state;

use super::error::{ApiError, json};
use super::filter::Filters;
use super::front::is_own_client;
use super::render::{self, States, TaskView};
use super::request::Params;
use super::{Api, lookup, page};

const FILTERS: &[&str] =
    &["_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service"];
const DESIRED: &[&str] =
    &["accepted", "complete", "draining", "ready", "remove", "running", "shutdown"];

pub(super) async fn list(
    State(api): State<Api>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    filters.only("desired-state", DESIRED)?;
    let up_to_date = filters.flag("_up-to-date")?;
    let state = api.read().await?;
    let mut view = TaskView::new(&state, states(&headers));
    let tasks = candidates(&state, &filters)?;
    let tasks = tasks
        .into_values()
        .filter(|task| wanted(&state, task, &filters) && is_as_current(&state, task, up_to_date))
        .map(|task| view.show(task));
    page::list(&params, tasks, |shown| &shown.id)
}

/// In whose words the client wants states.
pub(super) fn states(headers: &HeaderMap) -> States {
    if is_own_client(headers) { States::Exact } else { States::Docker }
}

/// The tasks of the services and nodes that the filters mean, by the indexes; else every task.
///
/// A service or node that does not exist is a 404, as in Docker.
fn candidates<'a>(
    state: &'a state::State,
    filters: &Filters,
) -> Result<BTreeMap<TaskId, &'a Arc<Task>>, ApiError> {
    let mut nodes = None;
    if let Some(names) = filters.values("node") {
        let ids: Result<BTreeSet<_>, _> =
            names.map(|name| lookup::node(state, name).map(|n| n.id)).collect();
        nodes = Some(ids?);
    }
    let on_node = |task: &Task| {
        nodes.as_ref().is_none_or(|nodes| task.node.is_some_and(|node| nodes.contains(&node)))
    };
    let mut found = BTreeMap::new();
    if let Some(names) = filters.values("service") {
        for name in names {
            let service = service_with_tasks(state, name)?;
            found.extend(state.tasks_of(service).filter(|t| on_node(t)).map(|t| (t.id, t)));
        }
    } else if let Some(nodes) = &nodes {
        for node in nodes {
            found.extend(state.tasks_on(*node).map(|t| (t.id, t)));
        }
    } else if filters.values("label").is_some() {
        let services = state.services().filter(|s| filters.labels("label", &s.spec.labels));
        for service in services {
            found.extend(state.tasks_of(service.id).map(|t| (t.id, t)));
        }
    } else {
        found.extend(state.tasks().map(|t| (t.id, t)));
    }
    Ok(found)
}

/// The service, also one that is being removed when its full id is given: clients that wait for
/// the removal ask for its last tasks.
fn service_with_tasks(state: &state::State, name: &str) -> Result<model::ServiceId, ApiError> {
    if let Some(service) = name.parse().ok().and_then(|id| state.service(id)) {
        return Ok(service.id);
    }
    lookup::service(state, name).map(|s| s.id)
}

fn wanted(state: &state::State, task: &Task, filters: &Filters) -> bool {
    let service = state.service(task.service);
    let none = Labels::new();
    let labels = service.map_or(&none, |s| &s.spec.labels);
    let runtime = service.map_or("", |s| s.spec.task_template.runtime.as_str());
    // What is left of a removed service goes as soon as the planner looks at it. `docker stack rm`
    // counts what it sees ended, and waits for ever if some of that is gone at its next look.
    let is_gone = service.is_none_or(|s| s.removed.is_some()) && task.status.state.is_terminal();
    let is_job = service
        .is_some_and(|s| s.spec.mode.replicated_job.is_some() || s.spec.mode.global_job.is_some());
    !is_gone
        && filters.any("id", |value| task.id.to_string().starts_with(value))
        && filters.any("name", |value| render::task_name(state, task).starts_with(value))
        && filters.labels("label", labels)
        && filters.any("desired-state", |value| desires(task.desired, is_job, value))
        && filters.is("runtime", if runtime.is_empty() { "container" } else { runtime })
}

/// Whether what is wanted of the task is what the filter calls so. Docker's clients know of no
/// draining; for them such a task is one that shuts down.
fn desires(desired: Desired, is_job: bool, value: &str) -> bool {
    match desired {
        Desired::Ready => value == "ready",
        Desired::Running => value == if is_job { "complete" } else { "running" },
        Desired::Draining => matches!(value, "draining" | "shutdown"),
        Desired::Shutdown => value == "shutdown",
        Desired::Remove => value == "remove",
    }
}

/// Whether the task has its service's current template, when that was asked.
fn is_as_current(state: &state::State, task: &Task, up_to_date: Option<bool>) -> bool {
    up_to_date.is_none_or(|asked| {
        let current = state.service(task.service).is_some_and(|s| {
            s.template == task.template && s.job.is_none_or(|j| j.iteration == task.job_iteration)
        });
        current == asked
    })
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let task = match lookup::task(&state, &id) {
        Ok(task) => task,
        Err(e) => named(&state, &id).ok_or(e)?,
    };
    Ok(json(StatusCode::OK, &TaskView::new(&state, states(&headers)).show(task)))
}

/// The task that is wanted in a slot, by the slot's name: `web.2`.
pub(super) fn named<'a>(state: &'a state::State, name: &str) -> Option<&'a Arc<Task>> {
    let (service, slot) = name.rsplit_once('.')?;
    let service = state.service_named(service)?;
    let newest = |slot| state.tasks_in(service.id, slot).min_by_key(|task| task.desired);
    match slot.parse() {
        Ok(slot) => newest(Slot::Replica(slot)),
        Err(_) => {
            let node = state.find_node(slot).one()?.id;
            // A replicated job's first slot goes by its node.
            newest(Slot::Node(node))
                .or_else(|| newest(Slot::Replica(0)).filter(|task| task.node == Some(node)))
        }
    }
}
