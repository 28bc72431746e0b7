//! `/networks`: the cluster's. Those of a single engine are listed by that engine.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::api::NetworkCreated;
use model::object::Network;
use model::spec::NetworkSpec;
use orchestrator_core::check::PREDEFINED_NETWORKS;
use orchestrator_core::command::{self, Command};
use orchestrator_core::state;

use super::error::{ApiError, json};
use super::filter::Filters;
use super::request::{Body, Params};
use super::{Api, lookup, page, render};

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    filters.only("type", &["builtin", "custom"])?;
    filters.only("scope", &["global", "local", "swarm"])?;
    let dangling = filters.flag("dangling")?;
    let state = api.read().await?;
    let networks = state.networks().filter(|network| {
        network.removed.is_none()
            && wanted(network, &filters)
            && dangling.is_none_or(|asked| asked != is_used(&state, network))
    });
    let networks = networks.map(|network| render::network(network));
    page::list(&params, networks, |shown| &shown.id)
}

fn wanted(network: &Network, filters: &Filters) -> bool {
    let spec = &network.spec;
    filters.any("id", |value| network.id.to_string().starts_with(value))
        // Unlike elsewhere, Docker looks for a network's name inside it.
        && filters.any("name", |value| spec.name.contains(value))
        && filters.labels("label", &spec.labels)
        && filters.is("driver", if spec.driver.is_empty() { "overlay" } else { &spec.driver })
        && filters.is("scope", "swarm")
        && filters.is("type", "custom")
}

/// Whether a task or a virtual address is on the network.
fn is_used(state: &state::State, network: &Network) -> bool {
    state.services().any(|service| service.endpoint.vips.contains_key(&network.id))
        || state.tasks().any(|t| {
            !t.status.state.is_terminal() && t.attachments.iter().any(|a| a.network == network.id)
        })
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let scope = params.text("scope");
    if !matches!(scope, "" | "swarm") {
        return Err(ApiError::not_found("network", &id));
    }
    let network = match lookup::network(&state, &id) {
        Ok(network) => network,
        Err(e) => {
            return match render::predefined(&state, &id) {
                Some(network) => Ok(json(StatusCode::OK, &network)),
                None => Err(e),
            };
        }
    };
    let mut shown = render::network(network);
    if params.flag("verbose") {
        shown.services = render::network_services(&state, network);
    }
    Ok(json(StatusCode::OK, &shown))
}

pub(super) async fn create(
    State(api): State<Api>,
    Body(spec): Body<NetworkSpec>,
) -> Result<Response, ApiError> {
    if PREDEFINED_NETWORKS.contains(&spec.name.as_str()) {
        let message = format!("operation is not permitted on predefined {} network", spec.name);
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    match api.propose(Command::CreateNetwork { spec: Box::new(spec) }).await? {
        command::Response::Created { id, warnings } => {
            let reply = NetworkCreated { id: id.to_string(), warning: warnings.join("; ") };
            Ok(json(StatusCode::CREATED, &reply))
        }
        other => Err(super::services::unexpected(&other)),
    }
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    if PREDEFINED_NETWORKS.contains(&id.as_str()) && state.network_named(&id).is_none() {
        let message = format!("{id} is a pre-defined network and cannot be removed");
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    let id = lookup::network(&state, &id)?.id;
    api.propose(Command::RemoveNetwork { id }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
