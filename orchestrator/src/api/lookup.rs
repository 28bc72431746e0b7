//! Finds what a path names: full id, else exact name, else the beginning of one id.

use std::sync::Arc;

use model::object::{Config, Network, Node, Secret, Service, Task};
use orchestrator_core::state::{Lookup, State};

use super::error::ApiError;

fn found<'a, T>(kind: &str, text: &str, lookup: Lookup<'a, T>) -> Result<&'a Arc<T>, ApiError> {
    match lookup {
        Lookup::One(object) => Ok(object),
        Lookup::None => Err(ApiError::not_found(kind, text)),
        Lookup::Several => Err(ApiError::ambiguous(kind, text)),
    }
}

pub(super) fn service<'a>(state: &'a State, text: &str) -> Result<&'a Arc<Service>, ApiError> {
    found("service", text, state.find_service(text))
}

pub(super) fn task<'a>(state: &'a State, text: &str) -> Result<&'a Arc<Task>, ApiError> {
    found("task", text, state.find_task(text))
}

pub(super) fn node<'a>(state: &'a State, text: &str) -> Result<&'a Arc<Node>, ApiError> {
    found("node", text, state.find_node(text))
}

pub(super) fn network<'a>(state: &'a State, text: &str) -> Result<&'a Arc<Network>, ApiError> {
    found("network", text, state.find_network(text))
}

pub(super) fn secret<'a>(state: &'a State, text: &str) -> Result<&'a Arc<Secret>, ApiError> {
    found("secret", text, state.find_secret(text))
}

pub(super) fn config<'a>(state: &'a State, text: &str) -> Result<&'a Arc<Config>, ApiError> {
    found("config", text, state.find_config(text))
}
