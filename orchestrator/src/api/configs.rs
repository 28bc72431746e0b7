//! `/configs`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::object::Config;
use model::spec::ConfigSpec;
use orchestrator_core::command::Command;

use super::error::{ApiError, json};
use super::filter::Filters;
use super::request::{Body, Params};
use super::{Api, lookup, page, render};

const FILTERS: &[&str] = &["id", "label", "name", "names"];

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    let state = api.read().await?;
    let configs = state.configs().filter(|config| wanted(config, &filters));
    let configs = configs.map(|config| render::config(config));
    page::list(&params, configs, |shown| &shown.id)
}

fn wanted(config: &Config, filters: &Filters) -> bool {
    filters.any("id", |value| config.id.to_string().starts_with(value))
        && filters.begins("name", &config.spec.name)
        && filters.is("names", &config.spec.name)
        && filters.labels("label", &config.spec.labels)
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    Ok(json(StatusCode::OK, &render::config(lookup::config(&state, &id)?)))
}

pub(super) async fn create(
    State(api): State<Api>,
    Body(spec): Body<ConfigSpec>,
) -> Result<Response, ApiError> {
    super::services::created(api.propose(Command::CreateConfig { spec: Box::new(spec) }).await?)
}

/// Only labels may change; data that is equal, or not there, is accepted.
pub(super) async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Body(spec): Body<ConfigSpec>,
) -> Result<Response, ApiError> {
    let version = params.version("config")?;
    let state = api.read().await?;
    let id = lookup::config(&state, &id)?.id;
    api.propose(Command::UpdateConfig { id, version, spec: Box::new(spec) }).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let id = lookup::config(&state, &id)?.id;
    api.propose(Command::RemoveConfig { id }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
