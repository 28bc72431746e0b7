//! `/services`.

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::api::{Created, ServiceUpdated};
use model::object::Service;
use model::spec::{ModeKind, ServiceSpec};
use orchestrator_core::command::{self, Command, RegistryAuth, ServiceChange};

use super::error::{ApiError, json};
use super::filter::Filters;
use super::request::{Body, Params, registry_auth};
use super::{Api, lookup, page, render};

const FILTERS: &[&str] = &["id", "label", "mode", "name", "runtime"];
const MODES: &[&str] = &["global", "global-job", "replicated", "replicated-job"];

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    filters.only("mode", MODES)?;
    let state = api.read().await?;
    let with_status = params.flag("status");
    let with_defaults = params.flag("insertDefaults");
    let services = state.services().filter(|s| s.removed.is_none() && wanted(s, &filters));
    let services = services.map(|service| {
        let mut shown = render::service(&state, service);
        if with_status {
            shown.service_status = Some(render::service_status(&state, service));
        }
        if with_defaults {
            shown.spec = render::with_defaults(&shown.spec).into();
        }
        shown
    });
    page::list(&params, services, |shown| &shown.id)
}

fn wanted(service: &Service, filters: &Filters) -> bool {
    let spec = &service.spec;
    let mode = match spec.mode.kind() {
        ModeKind::Replicated { .. } => "replicated",
        ModeKind::Global => "global",
        ModeKind::ReplicatedJob { .. } => "replicated-job",
        ModeKind::GlobalJob => "global-job",
    };
    let runtime = spec.task_template.runtime.as_str();
    filters.any("id", |value| service.id.to_string().starts_with(value))
        && filters.begins("name", &spec.name)
        && filters.labels("label", &spec.labels)
        && filters.is("mode", mode)
        && filters.is("runtime", if runtime.is_empty() { "container" } else { runtime })
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let mut shown = render::service(&state, lookup::service(&state, &id)?);
    if params.flag("insertDefaults") {
        shown.spec = render::with_defaults(&shown.spec).into();
        shown.previous_spec = shown.previous_spec.map(|spec| render::with_defaults(&spec).into());
    }
    Ok(json(StatusCode::OK, &shown))
}

pub(super) async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(spec): Body<ServiceSpec>,
) -> Result<Response, ApiError> {
    let registry_auth = registry_auth(&headers);
    let command = Command::CreateService { spec: Box::new(spec), registry_auth };
    created(api.propose(command).await?)
}

/// The answer to a creation.
pub(super) fn created(response: command::Response) -> Result<Response, ApiError> {
    match response {
        command::Response::Created { id, warnings } => {
            Ok(json(StatusCode::CREATED, &Created { id: id.to_string(), warnings }))
        }
        other => Err(unexpected(&other)),
    }
}

/// A command was answered with what belongs to another.
pub(super) fn unexpected(response: &command::Response) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("unexpected answer {response:?}"))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    headers: HeaderMap,
    body: Request,
) -> Result<Response, ApiError> {
    let version = params.version("service")?;
    let change = match params.text("rollback") {
        "" | "none" => {
            let Body(spec) = Body::from_request(body, &()).await?;
            ServiceChange::Spec(spec)
        }
        // The body that comes with it says nothing.
        "previous" => ServiceChange::Rollback,
        other => {
            return Err(ApiError::bad_request(format!("unrecognized rollback option {other}")));
        }
    };
    if !matches!(params.text("registryAuthFrom"), "" | "spec" | "previous-spec") {
        let what = params.text("registryAuthFrom");
        return Err(ApiError::bad_request(format!("unsupported registryAuthFrom value {what}")));
    }
    let state = api.read().await?;
    let id = lookup::service(&state, &id)?.id;
    let registry_auth = registry_auth(&headers).map_or(RegistryAuth::Keep, RegistryAuth::Set);
    match api.propose(Command::UpdateService { id, version, change, registry_auth }).await? {
        command::Response::Updated { warnings } => {
            let warnings = (!warnings.is_empty()).then_some(warnings);
            Ok(json(StatusCode::OK, &ServiceUpdated { warnings }))
        }
        _ => Ok(json(StatusCode::OK, &ServiceUpdated::default())),
    }
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let id = lookup::service(&state, &id)?.id;
    api.propose(Command::RemoveService { id }).await?;
    Ok(StatusCode::OK.into_response())
}
