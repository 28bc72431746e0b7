//! The revisions of a stack: listed, shown, and deployed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::api::{Moment, StackRevisionBody, StackRevisionSummary};
use model::object::{StackHistory, StackRevision};
use model::spec::ServiceSpec;
use orchestrator_core::state;

use super::plan::{Prune, Trial};
use super::run;
use crate::api::Api;
use crate::api::error::{ApiError, json};
use crate::api::request::{Params, registry_auth};

pub(in crate::api) async fn history(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    Ok(json(StatusCode::OK, &summaries(history_of(&state, &name)?)))
}

pub(in crate::api) async fn revision(
    State(api): State<Api>,
    Path((name, number)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let found = revision_of(history_of(&state, &name)?, &number)?;
    let body = StackRevisionBody {
        name,
        revision: found.number,
        created_at: Moment(found.at),
        rollback_to: found.rollback_to,
        request: found.request.clone(),
    };
    Ok(json(StatusCode::OK, &body))
}

/// `to=` says which revision; without it, the one before the newest. What the revision does not
/// name is removed, as it was then.
pub(in crate::api) async fn rollback(
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let history = history_of(&state, &name)?;
    let target = match params.text("to") {
        "" => before_newest(history)?,
        text => revision_of(history, text)?,
    };
    let target = target.clone();
    let registry_auth = registry_auth(&headers);
    let plan = |state: &state::State| {
        let mut trial = Trial::new(state);
        trial.deploy(&name, &target.request, Prune::Yes, registry_auth.as_deref());
        let gone = target.request.secrets.iter().filter(|s| state.secret_named(&s.name).is_none());
        let gone: Vec<String> = gone.map(|s| s.name.clone()).collect();
        if !gone.is_empty() {
            // Without it the refusal would only say that the secret is empty.
            trial.problems = vec![format!(
                "revision {} needs secrets that are gone, and revisions do not hold the values of \
                 secrets: {} (create them first, or deploy from files)",
                target.number,
                gone.join(", ")
            )];
        }
        trial.record(&name, &target.request, Some(target.number));
        trial
    };
    run(&api, &name, params.flag("dryRun"), plan).await
}

fn history_of<'a>(state: &'a state::State, name: &str) -> Result<&'a Arc<StackHistory>, ApiError> {
    let there = || !super::services_of(state, name).is_empty();
    state.stack(name).ok_or_else(|| {
        if there() {
            let why = "it was not deployed by swarmctl or by POST /stacks";
            let message = format!("stack {name} has no revisions: {why}");
            return ApiError::new(StatusCode::NOT_FOUND, message);
        }
        super::no_such_stack(name)
    })
}

fn revision_of<'a>(
    history: &'a StackHistory,
    text: &str,
) -> Result<&'a Arc<StackRevision>, ApiError> {
    let number = text
        .parse()
        .map_err(|_| ApiError::bad_request(format!("{text:?} is no number of a revision")))?;
    history.revision(number).ok_or_else(|| {
        let numbers = history.revisions.iter().map(|r| r.number);
        let (oldest, newest) = (numbers.clone().min(), numbers.max());
        let message = format!(
            "stack {} has no revision {number}: {} to {} are kept",
            history.name,
            oldest.unwrap_or_default(),
            newest.unwrap_or_default()
        );
        ApiError::new(StatusCode::NOT_FOUND, message)
    })
}

fn before_newest(history: &StackHistory) -> Result<&Arc<StackRevision>, ApiError> {
    history.revisions.iter().rev().nth(1).ok_or_else(|| {
        let message =
            format!("stack {} has one revision only: there is none to go back to", history.name);
        ApiError::bad_request(message)
    })
}

fn summaries(history: &StackHistory) -> Vec<StackRevisionSummary> {
    let mut before: Option<&StackRevision> = None;
    let newest = history.newest().map(|r| r.number);
    let mut summaries = Vec::with_capacity(history.revisions.len());
    for revision in &history.revisions {
        let mut summary = StackRevisionSummary {
            revision: revision.number,
            created_at: Moment(revision.at),
            rollback_to: revision.rollback_to,
            newest: newest == Some(revision.number),
            services: revision.request.services.len() as u64,
            ..StackRevisionSummary::default()
        };
        if let Some(before) = before {
            compare(before, revision, &mut summary);
        }
        summaries.push(summary);
        before = Some(revision);
    }
    summaries
}

fn compare(before: &StackRevision, after: &StackRevision, summary: &mut StackRevisionSummary) {
    let old = by_name(&before.request.services);
    let new = by_name(&after.request.services);
    for (name, spec) in &new {
        match old.get(name) {
            None => summary.added.push((*name).to_owned()),
            Some(old) if old != spec => summary.changed.push((*name).to_owned()),
            Some(_) => {}
        }
    }
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    summary.removed.extend(removed.map(|name| (*name).to_owned()));
}

fn by_name(services: &[ServiceSpec]) -> BTreeMap<&str, &ServiceSpec> {
    services.iter().map(|spec| (spec.name.as_str(), spec)).collect()
}
