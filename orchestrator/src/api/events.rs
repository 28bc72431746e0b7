//! `/events`: what happened to services, nodes, networks, secrets and configs, in Docker's words.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use model::api::{Actor, Event};
use model::object::{Node, Service};
use model::spec::{Labels, ModeKind};
use orchestrator_core::command::{Change, ChangeKind, ObjectRef};
use orchestrator_core::state;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Api;
use super::error::ApiError;
use super::filter::Filters;
use super::request::Params;

const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// Lines that may wait for a slow client.
const QUEUE: usize = 64;

/// The host's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    let since = params.time("since", now())?;
    let until = params.time("until", now())?;
    let (past, mut place) = api.journal().await?.with_events();
    let (lines, queue) = mpsc::channel::<Result<Bytes, std::io::Error>>(QUEUE);
    tokio::spawn(async move {
        let is_wanted = |event: &Event| {
            let at = u64::try_from(event.time_nano / 1_000_000).unwrap_or(0);
            since.is_none_or(|since| at >= since.0)
                && until.is_none_or(|until| at <= until.0)
                && wanted(event, &filters)
        };
        // Without `since` nothing of the past is asked for.
        for event in past.iter().filter(|_| since.is_some() || until.is_some_and(|u| u <= now())) {
            if is_wanted(event) && lines.send(Ok(line(event))).await.is_err() {
                return;
            }
        }
        let ends = async {
            match until {
                Some(until) => tokio::time::sleep(span(now(), until)).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(ends);
        loop {
            let step = tokio::select! {
                step = place.steps.recv() => step,
                () = &mut ends => return,
                () = lines.closed() => return,
            };
            match step {
                Ok(step) => {
                    for event in step.events.iter().filter(|e| is_wanted(e)) {
                        if lines.send(Ok(line(event))).await.is_err() {
                            return;
                        }
                    }
                }
                // Events are a courtesy: what a slow client missed is gone.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    let body = Body::from_stream(ReceiverStream::new(queue));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(to.since(from).0)
}

fn line(event: &Event) -> Bytes {
    let mut text = serde_json::to_vec(event).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

fn wanted(event: &Event, filters: &Filters) -> bool {
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    let is_it = |value: &str| value == event.actor.id || value == name;
    let kinds = [
        "config",
        "container",
        "daemon",
        "image",
        "network",
        "node",
        "plugin",
        "secret",
        "service",
        "volume",
    ];
    filters.is("type", &event.r#type)
        && filters.is("scope", &event.scope)
        && filters.is("event", &event.action)
        && filters.labels("label", &event.actor.attributes)
        && kinds.iter().all(|kind| match filters.values(kind) {
            None => true,
            Some(mut values) => *kind == event.r#type && values.any(is_it),
        })
}

/// The event that a change is, if clients can see the change.
pub(super) fn of(before: &state::State, after: &state::State, change: &Change) -> Option<Event> {
    let mut attributes = Labels::new();
    let mut action = match change.kind {
        ChangeKind::Created => "create",
        ChangeKind::Updated => "update",
        ChangeKind::Removed => "remove",
    };
    let (id, name) = match change.object {
        ObjectRef::Service(id) => {
            let (old, new) = (before.service(id), after.service(id));
            let was_removed = old.is_some_and(|s| s.removed.is_some());
            let is_removed = new.is_none_or(|s| s.removed.is_some());
            match change.kind {
                // A removal is told when it is accepted, not when the last task has gone.
                _ if was_removed => return None,
                ChangeKind::Updated if is_removed => action = "remove",
                ChangeKind::Updated => service_changes(old?, new?, &mut attributes)?,
                ChangeKind::Created | ChangeKind::Removed => {}
            }
            (id.to_string(), new.or(old).map(|s| s.spec.name.clone()))
        }
        ObjectRef::Node(id) => {
            let (old, new) = (before.node(id), after.node(id));
            if change.kind == ChangeKind::Updated {
                node_changes(old?, new?, &mut attributes)?;
            }
            (id.to_string(), new.or(old).map(|n| n.description.hostname.clone()))
        }
        ObjectRef::Network(id) => {
            let (old, new) = (before.network(id), after.network(id));
            let was_removed = old.is_some_and(|n| n.removed.is_some());
            let is_removed = new.is_none_or(|n| n.removed.is_some());
            match change.kind {
                _ if was_removed => return None,
                ChangeKind::Updated if is_removed => action = "remove",
                // Addresses of gateways come and go; nobody asked for that.
                ChangeKind::Updated => return None,
                ChangeKind::Created | ChangeKind::Removed => {}
            }
            (id.to_string(), new.or(old).map(|n| n.spec.name.clone()))
        }
        ObjectRef::Secret(id) => {
            let object = after.secret(id).or_else(|| before.secret(id));
            (id.to_string(), object.map(|s| s.spec.name.clone()))
        }
        ObjectRef::Config(id) => {
            let object = after.config(id).or_else(|| before.config(id));
            (id.to_string(), object.map(|c| c.spec.name.clone()))
        }
        ObjectRef::Cluster | ObjectRef::Task(_) => return None,
    };
    let name = name.unwrap_or_else(|| change.name.clone());
    attributes.insert("name".to_owned(), name);
    let at = i64::try_from(after.clock().0).unwrap_or(i64::MAX / 1_000_000);
    Some(Event {
        r#type: change.object.kind().name().to_owned(),
        action: action.to_owned(),
        actor: Actor { id, attributes },
        scope: "swarm".to_owned(),
        time: at / 1_000,
        time_nano: at.saturating_mul(1_000_000),
    })
}

/// Writes `what.old` and `what.new` when they differ.
fn differs(attributes: &mut Labels, what: &str, old: &str, new: &str) -> bool {
    if old == new {
        return false;
    }
    if !old.is_empty() {
        attributes.insert(format!("{what}.old"), old.to_owned());
    }
    if !new.is_empty() {
        attributes.insert(format!("{what}.new"), new.to_owned());
    }
    true
}

/// None when clients see no difference.
fn service_changes(old: &Service, new: &Service, attributes: &mut Labels) -> Option<()> {
    let state = |s: &Service| s.rollout.as_ref().map_or("", |r| r.docker_state());
    let replicas = |s: &Service| match s.spec.mode.kind() {
        ModeKind::Replicated { replicas } => replicas.to_string(),
        ModeKind::Global | ModeKind::ReplicatedJob { .. } | ModeKind::GlobalJob => String::new(),
    };
    let image = |s: &Service| {
        let container = s.spec.task_template.container_spec.as_ref();
        container.map(|c| c.image.clone()).unwrap_or_default()
    };
    let mut seen = old.meta.version != new.meta.version;
    seen |= differs(attributes, "updatestate", state(old), state(new));
    seen |= differs(attributes, "replicas", &replicas(old), &replicas(new));
    seen |= differs(attributes, "image", &image(old), &image(new));
    seen.then_some(())
}

/// None when clients see no difference.
fn node_changes(old: &Node, new: &Node, attributes: &mut Labels) -> Option<()> {
    let mut seen = old.meta.version != new.meta.version;
    seen |= differs(attributes, "state", old.status.state.name(), new.status.state.name());
    let (was, is) = (old.spec.availability.name(), new.spec.availability.name());
    seen |= differs(attributes, "availability", was, is);
    seen |= differs(attributes, "role", old.spec.role.name(), new.spec.role.name());
    seen.then_some(())
}
