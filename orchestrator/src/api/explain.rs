//! `/explain`: in plain words, why a service, task or node is as it is.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use model::api::{Explanation, WaitingTask};
use model::lifecycle::Desired;
use model::object::{Node, NodeState, RolloutState, Service, Task};
use model::spec::{Availability, ModeKind};
use model::{TaskState, Timestamp};
use orchestrator_core::state;

use super::error::{ApiError, json};
use super::{Api, lookup, render};

pub(super) async fn any(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let explained = match kind.as_str() {
        "service" => service(&state, lookup::service(&state, &id)?),
        "task" => match lookup::task(&state, &id) {
            Ok(found) => task(&state, found),
            Err(e) => task(&state, super::tasks::named(&state, &id).ok_or(e)?),
        },
        "node" => node(&state, lookup::node(&state, &id)?),
        other => {
            let message = format!("cannot explain {other:?}: service, task or node");
            return Err(ApiError::bad_request(message));
        }
    };
    Ok(json(StatusCode::OK, &explained))
}

fn service(state: &state::State, service: &Service) -> Explanation {
    let status = render::service_status(state, service);
    let mut sentences = Vec::new();
    if let Some(rollout) = &service.rollout {
        let shown = render::update_status(rollout);
        match rollout.state {
            RolloutState::Running | RolloutState::Paused => {
                let current = service.template;
                let tasks = state.tasks_of(service.id).filter(|t| t.desired <= Desired::Running);
                let (done, all) = tasks.fold((0, 0), |(done, all), t| {
                    let is_done = t.template == current && t.status.state == TaskState::Running;
                    (done + u64::from(is_done), all + 1)
                });
                sentences.push(format!(
                    "{}: {} ({done} of {all} tasks have the new template and run).",
                    shown.state, shown.message
                ));
            }
            RolloutState::Completed => {}
        }
    }
    let (running, desired) = (status.running_tasks, status.desired_tasks);
    let is_job = match service.spec.mode.kind() {
        ModeKind::ReplicatedJob { total, .. } => {
            sentences.push(format!("{} of {total} runs have completed.", status.completed_tasks));
            true
        }
        ModeKind::GlobalJob => {
            sentences.push(format!("{} nodes have completed.", status.completed_tasks));
            true
        }
        ModeKind::Replicated { .. } | ModeKind::Global => false,
    };
    let waiting: Vec<WaitingTask> = state
        .tasks_of(service.id)
        .filter(|t| t.desired <= Desired::Running && t.status.state < TaskState::Running)
        .map(|t| waiting(state, t))
        .collect();
    if is_job {
    } else if running == desired && waiting.is_empty() {
        sentences.push(format!("All {desired} tasks run."));
    } else {
        sentences.push(format!("{running} of {desired} tasks run."));
    }
    sentences.extend(summary(&waiting));
    if let Some(failed) = last_failure(state, service) {
        sentences.push(format!(
            "The last failure was {} at {}: {}.",
            render::task_name(state, failed),
            model::api::Moment(failed.status.since),
            words_of(failed),
        ));
    }
    Explanation {
        kind: "service".to_owned(),
        id: service.id.to_string(),
        name: service.spec.name.clone(),
        settled: (is_job || running >= desired)
            && waiting.is_empty()
            && service.rollout.as_ref().is_none_or(|r| r.state == RolloutState::Completed),
        sentences,
        waiting,
    }
}

/// One sentence for each reason, with the number of tasks that share it.
fn summary(waiting: &[WaitingTask]) -> Vec<String> {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for task in waiting {
        match reasons.iter_mut().find(|(text, _)| *text == task.text) {
            Some((_, number)) => *number += 1,
            None => reasons.push((&task.text, 1)),
        }
    }
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let sentence = |(text, number): (&str, usize)| {
        let tasks =
            if number == 1 { "1 task waits".to_owned() } else { format!("{number} tasks wait") };
        format!("{tasks}: {text}.")
    };
    reasons.into_iter().map(sentence).collect()
}

fn last_failure<'a>(state: &'a state::State, service: &Service) -> Option<&'a Task> {
    let failed = state
        .tasks_of(service.id)
        .filter(|t| matches!(t.status.state, TaskState::Failed | TaskState::Rejected));
    failed.max_by_key(|t| t.status.since).map(AsRef::as_ref)
}

pub(super) fn waiting(state: &state::State, task: &Task) -> WaitingTask {
    WaitingTask {
        task_id: task.id.to_string(),
        name: render::task_name(state, task),
        node: host(state, task),
        state: task.status.state.name().to_owned(),
        since: since(task).into(),
        reason: task.waiting.clone(),
        text: words_of(task),
    }
}

/// The name of the task's host; empty while it has none.
pub(super) fn host(state: &state::State, task: &Task) -> String {
    let node = task.node.and_then(|id| state.node(id));
    node.map(|n| n.description.hostname.clone()).unwrap_or_default()
}

fn since(task: &Task) -> Timestamp {
    if task.status.since.0 == 0 { task.meta.created_at } else { task.status.since }
}

/// The reason, the error or the message: whichever says most.
pub(super) fn words_of(task: &Task) -> String {
    let status = &task.status;
    if let Some(reason) = &task.waiting {
        reason.to_string()
    } else if !status.error.is_empty() {
        status.error.clone()
    } else if !status.message.is_empty() {
        status.message.clone()
    } else {
        format!("its node reports {}", status.state)
    }
}

fn task(state: &state::State, task: &Task) -> Explanation {
    let name = render::task_name(state, task);
    let host = task.node.and_then(|id| state.node(id)).map(|n| n.description.hostname.clone());
    let mut sentences = vec![match &host {
        Some(host) => format!("{name} is {} on {host}.", task.status.state),
        None => format!("{name} is {} and has no node.", task.status.state),
    }];
    let settled = match task.desired {
        Desired::Ready | Desired::Running => {
            let runs = task.status.state >= TaskState::Running;
            if !runs || task.status.state.is_terminal() {
                sentences.push(format!("{}.", words_of(task)));
            }
            runs
        }
        Desired::Draining | Desired::Shutdown | Desired::Remove => {
            if !task.status.state.is_terminal() {
                sentences.push("It is asked to stop.".to_owned());
            }
            task.status.state.is_terminal()
        }
    };
    if task.restarts.in_a_row > 0 {
        let number = task.restarts.in_a_row;
        sentences.push(format!("{number} tasks of its slot failed in a row before it."));
    }
    let service = state.service(task.service);
    if service.is_some_and(|s| s.template != task.template && task.desired <= Desired::Running) {
        sentences.push("It has an older template; the update will replace it.".to_owned());
    }
    Explanation {
        kind: "task".to_owned(),
        id: task.id.to_string(),
        name,
        settled,
        sentences,
        waiting: if settled { Vec::new() } else { vec![waiting(state, task)] },
    }
}

fn node(state: &state::State, node: &Node) -> Explanation {
    let host = &node.description.hostname;
    let mut sentences = vec![match node.status.state {
        NodeState::Ready => format!("{host} is ready."),
        NodeState::Unknown => format!("{host} has joined; its agent has not been heard of."),
        NodeState::Down | NodeState::Disconnected => {
            let at = model::api::Moment(node.status.since);
            let why = &node.status.message;
            let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
            format!("{host} is {} since {at}{why}.", node.status.state.name())
        }
    }];
    let is_ready = node.status.state == NodeState::Ready;
    sentences.push(
        match node.spec.availability {
            Availability::Active if is_ready => "It takes tasks.",
            Availability::Active => "It takes tasks again when it is ready.",
            Availability::Pause => "It keeps its tasks and takes no new ones (paused).",
            Availability::Drain => "It gives up its tasks and takes none (drained).",
        }
        .to_owned(),
    );
    let live: Vec<&Task> = state
        .tasks_on(node.id)
        .filter(|t| !t.status.state.is_terminal())
        .map(AsRef::as_ref)
        .collect();
    let running = live.iter().filter(|t| t.status.state == TaskState::Running).count();
    sentences.push(match live.len() {
        0 => "It has no tasks.".to_owned(),
        all => format!("{running} of its {all} tasks run."),
    });
    let unsettled: Vec<WaitingTask> = live
        .iter()
        .filter(|t| t.status.state < TaskState::Running)
        .map(|t| waiting(state, t))
        .collect();
    sentences.extend(summary(&unsettled));
    let drained = node.spec.availability != Availability::Drain || live.is_empty();
    Explanation {
        kind: "node".to_owned(),
        id: node.id.to_string(),
        name: host.clone(),
        settled: is_ready && unsettled.is_empty() && drained,
        sentences,
        waiting: unsettled,
    }
}
