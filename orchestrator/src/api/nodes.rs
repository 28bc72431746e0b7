//! `/nodes`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::object::Node;
use model::spec::NodeSpec;
use orchestrator_core::command::{Command, Force};

use super::error::{ApiError, json};
use super::filter::Filters;
use super::request::{Body, Params};
use super::{Api, lookup, page, render};

const FILTERS: &[&str] = &["id", "label", "membership", "name", "node.label", "role"];

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(FILTERS)?;
    filters.only("role", &["manager", "worker"])?;
    filters.only("membership", &["accepted", "pending"])?;
    let state = api.read().await?;
    let (members, authorities) = (api.0.cluster.members(), api.authorities(&state));
    let nodes = state.nodes().filter(|node| wanted(node, &filters));
    let nodes = nodes.map(|node| render::node(node, &members, &authorities));
    page::list(&params, nodes, |shown| &shown.id)
}

/// Every node that has joined is an accepted member; there are no others.
fn wanted(node: &Node, filters: &Filters) -> bool {
    let name = if node.spec.name.is_empty() { &node.description.hostname } else { &node.spec.name };
    filters.any("id", |value| node.id.to_string().starts_with(value))
        && filters.begins("name", name)
        && filters.labels("label", &node.description.engine.labels)
        && filters.labels("node.label", &node.spec.labels)
        && filters.is("role", node.spec.role.name())
        && filters.is("membership", "accepted")
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let node = lookup::node(&state, &id)?;
    let (members, authorities) = (api.0.cluster.members(), api.authorities(&state));
    Ok(json(StatusCode::OK, &render::node(node, &members, &authorities)))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Body(spec): Body<NodeSpec>,
) -> Result<Response, ApiError> {
    let version = params.version("node")?;
    let state = api.read().await?;
    let id = lookup::node(&state, &id)?.id;
    api.propose(Command::UpdateNode { id, version, spec: Box::new(spec) }).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let force = if params.flag("force") { Force::Yes } else { Force::No };
    let state = api.read().await?;
    let id = lookup::node(&state, &id)?.id;
    api.propose(Command::RemoveNode { id, force }).await?;
    Ok(StatusCode::OK.into_response())
}
