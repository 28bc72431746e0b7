//! `/secrets`. Their data is never shown.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::object::Secret;
use model::spec::SecretSpec;
use orchestrator_core::command::Command;

use super::error::{ApiError, json};
use super::filter::Filters;
use super::request::{Body, Params};
use super::{Api, lookup, page, render};

const FILTERS: &[&str] = &["id", "label", "name", "names"];

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    let state = api.read().await?;
    let secrets = state.secrets().filter(|secret| wanted(secret, &filters));
    let secrets = secrets.map(|secret| render::secret(secret));
    page::list(&params, secrets, |shown| &shown.id)
}

fn wanted(secret: &Secret, filters: &Filters) -> bool {
    filters.any("id", |value| secret.id.to_string().starts_with(value))
        && filters.begins("name", &secret.spec.name)
        && filters.is("names", &secret.spec.name)
        && filters.labels("label", &secret.spec.labels)
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    Ok(json(StatusCode::OK, &render::secret(lookup::secret(&state, &id)?)))
}

pub(super) async fn create(
    State(api): State<Api>,
    Body(spec): Body<SecretSpec>,
) -> Result<Response, ApiError> {
    super::services::created(api.propose(Command::CreateSecret { spec: Box::new(spec) }).await?)
}

/// Only labels may change; data that is equal, or not there, is accepted.
pub(super) async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Body(spec): Body<SecretSpec>,
) -> Result<Response, ApiError> {
    let version = params.version("secret")?;
    let state = api.read().await?;
    let id = lookup::secret(&state, &id)?.id;
    api.propose(Command::UpdateSecret { id, version, spec: Box::new(spec) }).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let id = lookup::secret(&state, &id)?.id;
    api.propose(Command::RemoveSecret { id }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
