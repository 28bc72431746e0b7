//! `/stacks`: everything of a stack in one request, whole or not at all.
//!
//! A stack is what carries its label, as the docker CLI sets it; the cluster keeps no stack object,
//! so stacks deployed by either are the same. `POST /stacks/{name}` takes the specs that a Compose
//! file becomes and proposes one batch: networks, secrets and configs, then services. The batch is
//! tried on a copy of the state first, so a dry run, a refusal and a deployment come from the same
//! code, and nothing is written unless all of it can be. What was deployed is kept as the stack's
//! next revision, in the same batch.

mod diff;
pub(super) mod plan;
mod revisions;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::api::{StackReply, StackRequest, StackSummary};
use model::object::Service;
use model::spec::{Labels, STACK_LABEL};
use orchestrator_core::command::{Batch, Refusal};
use orchestrator_core::state;

use self::plan::{Prune, Trial};
pub(super) use self::revisions::{history, revision, rollback};
use super::error::{ApiError, json};
use super::request::{Body, Params, registry_auth};
use super::{Api, render};

/// How often a deployment is planned again because others wrote meanwhile.
const ATTEMPTS: usize = 5;

pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let mut stacks: BTreeMap<&str, StackSummary> = BTreeMap::new();
    {
        let mut count = |labels, of: fn(&mut StackSummary) -> &mut u64| {
            if let Some(name) = stack_of(labels) {
                *of(stacks.entry(name).or_default()) += 1;
            }
        };
        let services = state.services().filter(|s| s.removed.is_none());
        services.for_each(|s| count(&s.spec.labels, |stack| &mut stack.services));
        let networks = state.networks().filter(|n| n.removed.is_none());
        networks.for_each(|n| count(&n.spec.labels, |stack| &mut stack.networks));
        state.secrets().for_each(|s| count(&s.spec.labels, |stack| &mut stack.secrets));
        state.configs().for_each(|c| count(&c.spec.labels, |stack| &mut stack.configs));
    }
    let stacks =
        stacks.into_iter().map(|(name, summary)| StackSummary { name: name.to_owned(), ..summary });
    Ok(json(StatusCode::OK, &stacks.collect::<Vec<_>>()))
}

/// The stack that an object belongs to, by its labels.
fn stack_of(labels: &Labels) -> Option<&str> {
    labels.get(STACK_LABEL).map(String::as_str)
}

fn services_of<'a>(state: &'a state::State, stack: &str) -> Vec<&'a Arc<Service>> {
    let services = state.services().filter(|s| s.removed.is_none());
    services.filter(|s| stack_of(&s.spec.labels) == Some(stack)).collect()
}

fn no_such_stack(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("stack {name} not found"))
}

pub(super) async fn services(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let services = services_of(&state, &name);
    if services.is_empty() {
        return Err(no_such_stack(&name));
    }
    let shown = services.into_iter().map(|service| {
        let mut shown = render::service(&state, service);
        shown.service_status = Some(render::service_status(&state, service));
        shown
    });
    Ok(json(StatusCode::OK, &shown.collect::<Vec<_>>()))
}

pub(super) async fn deploy(
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
    headers: HeaderMap,
    Body(mut request): Body<StackRequest>,
) -> Result<Response, ApiError> {
    check_name(&name)?;
    label(&mut request, &name);
    let prune = if params.flag("prune") { Prune::Yes } else { Prune::No };
    let registry_auth = registry_auth(&headers);
    let plan = |state: &state::State| {
        let mut trial = Trial::new(state);
        trial.deploy(&name, &request, prune, registry_auth.as_deref());
        trial.record(&name, &request, None);
        trial
    };
    run(&api, &name, params.flag("dryRun"), plan).await
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let plan = |state: &state::State| {
        let mut trial = Trial::new(state);
        trial.remove(&name);
        trial
    };
    let state = api.read().await?;
    if plan(&state).commands.is_empty() {
        return Err(no_such_stack(&name));
    }
    run(&api, &name, params.flag("dryRun"), plan).await
}

/// Tries, and unless it is a dry run proposes; again when the state has moved in between.
async fn run(
    api: &Api,
    name: &str,
    dry_run: bool,
    plan: impl Fn(&state::State) -> Trial,
) -> Result<Response, ApiError> {
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        let state = api.read().await?;
        let trial = plan(&state);
        if !trial.problems.is_empty() {
            return Err(ApiError::bad_request(trial.problems.join("\n")));
        }
        let mut reply = StackReply {
            name: name.to_owned(),
            dry_run,
            revision: if dry_run { current(&state, name) } else { trial.revision(name) },
            changes: trial.changes,
            warnings: trial.warnings,
        };
        if dry_run {
            // The ids of the trial are not those that a deployment would make.
            for change in
                reply.changes.iter_mut().filter(|c| c.action == model::api::StackAction::Create)
            {
                change.id.clear();
            }
            return Ok(json(StatusCode::OK, &reply));
        }
        if trial.commands.is_empty() {
            return Ok(json(StatusCode::OK, &reply));
        }
        // With a base the batch is taken whole or not at all.
        let batch = Batch { commands: trial.commands, base: Some(state.revision()) };
        let applied = api.0.cluster.propose(batch).await?;
        let failed = applied.responses.iter().find_map(|r| r.as_ref().err());
        match failed {
            None => {
                plan::write_ids(&mut reply.changes, &applied.responses);
                return Ok(json(StatusCode::OK, &reply));
            }
            Some(refusal) => refused = Some(refusal.clone()),
        }
    }
    let last = refused.unwrap_or(Refusal::Outdated { what: "the stack".to_owned() });
    Err(last.into())
}

/// The number of the stack's newest revision.
fn current(state: &state::State, stack: &str) -> Option<u64> {
    Some(state.stack(stack)?.newest()?.number)
}

/// As the docker CLI has it: a stack's name begins every object's name.
fn check_name(name: &str) -> Result<(), ApiError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let good = !name.is_empty()
        && name.chars().all(legal)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "invalid stack name {name:?}: letters, digits, '-' and '_' only, and a letter or digit first"
    )))
}

/// Puts the stack's label on everything that lacks it, on the containers too.
fn label(request: &mut StackRequest, name: &str) {
    let put = |labels: &mut Labels| {
        labels.insert(STACK_LABEL.to_owned(), name.to_owned());
    };
    request.networks.iter_mut().for_each(|n| put(&mut n.labels));
    request.secrets.iter_mut().for_each(|s| put(&mut s.labels));
    request.configs.iter_mut().for_each(|c| put(&mut c.labels));
    for service in &mut request.services {
        put(&mut service.labels);
        if let Some(container) = &mut service.task_template.container_spec {
            put(&mut container.labels);
        }
    }
}
