//! Traces of what requests to the API lead to: which services are followed, and what was done for them.
//!
//! A request's own span ([`request`]) ends with its answer; what it set going is the work of the leader's
//! loop and of agents, later. So the leader remembers for each service that a request has changed which
//! span was the cause ([`follow`]), until the service is as it was asked to be. Plans made for it are caused
//! by the request ([`planned`]), orders by the plan ([`ordered`]); agents take it from there.
//!
//! Kept in memory only and bounded: a leader that goes takes it along, and the trace ends there. What
//! nobody configured or asked for costs a look at one flag.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, Method};
use model::api::Verdict;
use model::object::{Node, Revision};
use model::wire::orders::Delta;
use model::{ServiceId, TaskId};
use orchestrator_core::State;
use orchestrator_core::command::{Applied, Batch, Command};
use orchestrator_core::progress::judge;
use telemetry::{Context, Kind, Span, TRACEPARENT, Wish};

/// Of which part of the program the spans are.
const SCOPE: &str = "orchestrator";

/// Services that are followed at the same time; further ones are not.
const LIMIT: usize = 1_024;

/// For so long a service that never settles is followed.
const LONGEST: Duration = Duration::from_secs(3_600);

/// For so long one that looks settled is followed before anything was planned for it: a drain, say, is
/// first written and then planned.
const UNPLANNED: Duration = Duration::from_secs(10);

/// One process is one manager.
static FOLLOWED: Mutex<BTreeMap<String, Followed>> = Mutex::new(BTreeMap::new());

/// What a request set going for one service.
struct Followed {
    /// The request's span: the cause of plans.
    request: Context,
    /// The last plan for it: the cause of orders.
    plan: Option<Context>,
    since: Instant,
    /// From here on the state has what was asked; none while it is on its way to the log.
    written: Option<Revision>,
}

impl Followed {
    fn of(request: Context, written: Option<Revision>) -> Followed {
        Followed { request, plan: None, since: Instant::now(), written }
    }

    fn latest(&self) -> Context {
        self.plan.unwrap_or(self.request)
    }
}

fn followed() -> MutexGuard<'static, BTreeMap<String, Followed>> {
    FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins the span of a request. One that changes nothing has a span only if its client asked for it.
pub(crate) fn request(method: &Method, path: &str, headers: &HeaderMap) -> Span {
    if !telemetry::is_on() {
        return Span::none();
    }
    let said = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let name = format!("{method} {}", pattern(path));
    let mut span = match Wish::read(said) {
        Wish::Of(cause) => Span::of(cause, SCOPE, name, Kind::Server),
        Wish::Nothing if !reads => Span::root(SCOPE, name, Kind::Server),
        Wish::Nothing | Wish::Unrecorded => Span::none(),
    };
    span.set("http.request.method", method.as_str());
    span.set("url.path", path);
    span
}

/// A path with its ids taken out, so that requests of a kind have one name.
fn pattern(path: &str) -> String {
    let mut words: Vec<&str> = path.split('/').skip(1).collect();
    if words.first().is_some_and(|first| first.starts_with("v1.")) {
        words.remove(0);
    }
    // `/stacks/shop`, but `/services/create`.
    if let Some(second) = words.get_mut(1).filter(|word| **word != "create") {
        *second = "{id}";
    }
    words.truncate(3);
    format!("/{}", words.join("/"))
}

/// Services that a request is about to change.
#[derive(Default)]
pub(crate) struct Asked(Vec<Change>);

struct Change {
    /// Which of the batch's commands it is.
    command: usize,
    service: String,
    request: Context,
    /// It was not followed before, and is from now on: the plan may be made before the answer is here.
    is_first: bool,
}

/// A change is about to be proposed. What is followed for an earlier request stays with that one until
/// this one is granted.
#[must_use]
pub(crate) fn follow(state: &State, batch: &Batch) -> Asked {
    let Some(request) = telemetry::current().first().copied() else { return Asked::default() };
    let mut names = BTreeMap::new();
    let name_of = |id: ServiceId| state.service(id).map(|service| service.spec.name.clone());
    for (index, command) in batch.commands.iter().enumerate() {
        match command {
            Command::CreateService { spec, .. } => drop(names.insert(spec.name.clone(), index)),
            Command::UpdateService { id, .. } | Command::RemoveService { id } => {
                names.extend(name_of(*id).map(|name| (name, index)));
            }
            Command::UpdateNode { id, .. } | Command::RemoveNode { id, .. } => {
                let here = state.tasks().filter(|task| task.node == Some(*id));
                names.extend(here.filter_map(|task| Some((name_of(task.service)?, index))));
            }
            _ => {}
        }
    }
    let mut followed = followed();
    let mut changes = Vec::new();
    for (service, command) in names {
        let is_first = !followed.contains_key(&service);
        if is_first && followed.len() >= LIMIT {
            continue;
        }
        if is_first {
            followed.insert(service.clone(), Followed::of(request, None));
        }
        changes.push(Change { command, service, request, is_first });
    }
    Asked(changes)
}

/// What became of the proposal that [`follow`] was told of; none when it is not known to be written.
pub(crate) fn written(asked: Asked, applied: Option<&Applied>) {
    if asked.0.is_empty() {
        return;
    }
    let mut followed = followed();
    for Change { command, service, request, is_first } in asked.0 {
        let granted = applied.filter(|a| matches!(a.responses.get(command), Some(Ok(_))));
        let is_ours = followed.get(&service).is_some_and(|known| known.request == request);
        match granted {
            Some(applied) if is_first && is_ours => {
                if let Some(known) = followed.get_mut(&service) {
                    known.written = Some(applied.revision);
                }
            }
            Some(applied) => {
                followed.insert(service, Followed::of(request, Some(applied.revision)));
            }
            None if is_first && is_ours => drop(followed.remove(&service)),
            None => {}
        }
    }
}

/// The planner ran from `began` until now: a span for each request that it worked for. Gives the causes
/// of each batch.
pub(crate) fn planned(state: &State, began: SystemTime, batches: &[Batch]) -> Vec<Vec<Context>> {
    let mut causes = vec![Vec::new(); batches.len()];
    if !telemetry::is_on() {
        return causes;
    }
    let mut followed = followed();
    if followed.is_empty() {
        return causes;
    }
    // One span for a request, however many of its services and batches there are.
    let mut spans: BTreeMap<Context, Span> = BTreeMap::new();
    for (batch, causes) in batches.iter().zip(&mut causes) {
        let mut services: BTreeMap<ServiceId, u64> = BTreeMap::new();
        for service in batch.commands.iter().filter_map(|command| works_for(state, command)) {
            *services.entry(service).or_default() += 1;
        }
        for (id, commands) in services {
            let Some(name) = state.service(id).map(|service| &service.spec.name) else { continue };
            let Some(service) = followed.get_mut(name) else { continue };
            let span = spans.entry(service.request).or_insert_with(|| {
                let mut span = Span::of(service.request, SCOPE, "plan", Kind::Internal);
                span.began(began);
                span.set("swarm.revision", state.revision().0);
                span
            });
            span.set("swarm.service.name", name.as_str());
            span.set("swarm.commands", commands);
            service.plan = span.context();
            causes.extend(span.context().filter(|context| !causes.contains(context)));
        }
    }
    causes
}

/// For which service a planner's command is.
fn works_for(state: &State, command: &Command) -> Option<ServiceId> {
    let of = |task: TaskId| state.task(task).map(|task| task.service);
    match command {
        Command::CreateTask(task) => Some(task.service),
        Command::Assign { task, .. } | Command::SetDesired { task, .. } => of(*task),
        Command::StepRollout { service, .. } | Command::RollBack { service, .. } => Some(*service),
        _ => None,
    }
}

/// Orders are on their way to a node: says in them what caused which task's.
pub(crate) fn ordered(node: Option<&Node>, delta: &mut Delta) {
    if !telemetry::is_on() || delta.tasks.set.is_empty() {
        return;
    }
    let followed = followed();
    if followed.is_empty() {
        return;
    }
    let mut spans: BTreeMap<Context, (Span, u64)> = BTreeMap::new();
    for (id, order) in &delta.tasks.set {
        let Some(service) = followed.get(&order.service_name) else { continue };
        let (span, tasks) = spans
            .entry(service.latest())
            .or_insert_with(|| (Span::of(service.latest(), SCOPE, "order", Kind::Producer), 0));
        *tasks += 1;
        if let Some(context) = span.context() {
            delta.traces.insert(*id, context.header());
        }
    }
    for (mut span, tasks) in spans.into_values() {
        span.set("swarm.node.name", node.map_or("", |node| &node.description.hostname));
        span.set("swarm.revision", delta.to.revision.0);
        span.set("swarm.tasks", tasks);
    }
}

/// Forgets services that are as they were asked to be, or never will.
pub(crate) fn settle(state: &State) {
    if !telemetry::is_on() {
        return;
    }
    followed().retain(|name, service| {
        if service.since.elapsed() > LONGEST {
            return false;
        }
        if service.written.is_none_or(|revision| state.revision() < revision) {
            return true;
        }
        let Some(known) = state.services().find(|s| s.spec.name == *name) else { return false };
        let is_settled = known.removed.is_none()
            && judge(state, known, state.clock()).verdict != Verdict::Waiting;
        !is_settled || (service.plan.is_none() && service.since.elapsed() < UNPLANNED)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_kind_have_one_name() {
        for (path, name) in [
            ("/v1.41/services/create", "/services/create"),
            ("/services/4fa/update", "/services/{id}/update"),
            ("/v1.51/stacks/shop", "/stacks/{id}"),
            ("/nodes", "/nodes"),
            ("/dashboard/assets/x/y.js", "/dashboard/{id}/x"),
            ("/", "/"),
        ] {
            assert_eq!(pattern(path), name, "{path}");
        }
    }
}
