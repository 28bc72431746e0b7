//! `/swarm`: the cluster itself. Entering and leaving is the agent's, which owns the host.

use std::error::Error as _;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::api::{Peer, SwarmInfo, UnlockKey};
use model::object::Cluster;
use model::spec::{ClusterSpec, Role};
use orchestrator_core::command::{Command, NewUnlockKey, Refusal, RootChange};
use orchestrator_core::{check, state};

use super::error::{ApiError, json};
use super::request::{Body, Params};
use super::{Api, render};
use crate::log::clock;
use crate::{ca, lock};

fn cluster(state: &state::State) -> Result<&Cluster, ApiError> {
    let none = || ApiError::unavailable("the cluster is being set up; try again in a moment");
    state.cluster().map(AsRef::as_ref).ok_or_else(none)
}

pub(super) async fn inspect(State(api): State<Api>) -> Result<Response, ApiError> {
    let state = api.read().await?;
    Ok(json(StatusCode::OK, &render::swarm(cluster(&state)?, &api.authorities(&state))))
}

pub(super) async fn update(
    State(api): State<Api>,
    params: Params,
    Body(mut spec): Body<ClusterSpec>,
) -> Result<Response, ApiError> {
    let version = params.version("swarm")?;
    let locked = spec.encryption_config.auto_lock_managers;
    let rotate_key = params.flag("rotateManagerUnlockKey");
    let no_numbers = |e| ApiError::unavailable(format!("the host gives no random numbers: {e}"));
    let key = locked.then(lock::new_key).transpose().map_err(no_numbers)?;
    // The key goes nowhere but into the rotation.
    let given = (
        std::mem::take(&mut spec.ca_config.signing_ca_cert),
        std::mem::take(&mut spec.ca_config.signing_ca_key),
    );
    let state = api.read().await?;
    let root = match cluster(&state)? {
        current if current.meta.version == version => root_change(current, &spec, given)?,
        // Refused when it is applied: the object has been written since.
        _ => None,
    };
    let rotate = |name: &str| params.flag(name).then(new_secret).transpose();
    let command = Command::UpdateCluster {
        version,
        spec: Box::new(spec),
        rotate_worker_token: rotate("rotateWorkerToken")?,
        rotate_manager_token: rotate("rotateManagerToken")?,
        unlock_key: key.map(|key| NewUnlockKey { key, rotate: rotate_key }),
        root: root.map(Box::new),
    };
    api.propose(command).await?;
    Ok(StatusCode::OK.into_response())
}

/// What becomes of the certificate authority: a certificate and a key may be given, or the spec asks
/// for another.
fn root_change(
    current: &Cluster,
    spec: &ClusterSpec,
    (given, key): (String, String),
) -> Result<Option<RootChange>, ApiError> {
    let now = clock();
    let broken = |e: ca::CaError| {
        let why = e.source().map_or_else(String::new, |why| format!(": {why}"));
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}{why}"))
    };
    let next = if !(given.is_empty() && key.is_empty()) {
        ca::given(&given, &key, now).map_err(|mut problems| {
            // Those of the rest of the spec as well: all at once.
            match check::cluster(spec, Some(&current.spec)) {
                Err(Refusal::Invalid { problems: others }) => problems.extend(others),
                Err(refusal) => return ApiError::from(refusal),
                Ok(()) => {}
            }
            ApiError::from(Refusal::Invalid { problems })
        })?
    } else if spec.ca_config.force_rotate > current.spec.ca_config.force_rotate {
        ca::new_root(now).map_err(broken)?
    } else {
        return Ok(None);
    };
    if next.cert_pem == current.ca.cert_pem {
        let present = ca::trust_in(&current.ca.cert_pem).map_err(broken)?;
        return Ok(Some(RootChange::Keep { present }));
    }
    match &current.rotation {
        // On the way there already.
        Some(rotation) if rotation.ca.cert_pem == next.cert_pem => Ok(None),
        Some(_) | None => {
            let rotation = ca::rotation(&current.ca, next).map_err(broken)?;
            Ok(Some(RootChange::Rotate(Box::new(rotation))))
        }
    }
}

/// The secret part of a token: 128 random bits as 25 base-36 digits.
fn new_secret() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(model::Id(u128::from_be_bytes(bytes)).to_string()),
        Err(e) => Err(ApiError::unavailable(format!("the host gives no random numbers: {e}"))),
    }
}

/// What opens locked managers; Docker answers an empty key where they are not.
pub(super) async fn unlock_key(State(api): State<Api>) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let unlock_key = cluster(&state)?.unlock_key.clone().unwrap_or_default();
    Ok(json(StatusCode::OK, &UnlockKey { unlock_key }))
}

/// A manager that is locked has no API yet: `crate::lock` answers in its place.
pub(super) async fn unlock() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "swarm is not locked")
}

pub(super) async fn already_part() -> ApiError {
    ApiError::unavailable(
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and \
         join another one.",
    )
}

/// The `Swarm` block of this manager's `/info`. Answered from what this manager knows, without
/// asking for a quorum: clients use it to find out what is wrong.
pub(super) async fn info(State(api): State<Api>) -> Response {
    let state = api.0.cluster.state();
    let me = api.0.cluster.node();
    let managers = state.nodes().filter(|node| node.spec.role == Role::Manager);
    let remote_managers: Vec<Peer> = managers
        .filter_map(|node| {
            let addr = node.manager_address.clone()?;
            Some(Peer { node_id: node.id.to_string(), addr })
        })
        .collect();
    let address = state.node(me).map(|node| node.description.address.clone());
    let leaderless = api.0.cluster.members().leader.is_none();
    let warnings = match remote_managers.len() {
        2 => vec![TWO_MANAGERS.to_owned()],
        _ => Vec::new(),
    };
    json(
        StatusCode::OK,
        &SwarmInfo {
            node_id: me.to_string(),
            node_addr: address.unwrap_or_default(),
            local_node_state: "active".to_owned(),
            control_available: true,
            error: if leaderless { super::cluster::NO_LEADER.to_owned() } else { String::new() },
            nodes: u64::try_from(state.nodes().len()).unwrap_or(u64::MAX),
            managers: u64::try_from(remote_managers.len()).unwrap_or(u64::MAX),
            remote_managers: Some(remote_managers),
            cluster: state.cluster().map(|c| render::cluster_info(c, &api.authorities(&state))),
            warnings,
        },
    )
}

const TWO_MANAGERS: &str = "WARNING: Running Swarm in a two-manager configuration. This \
    configuration provides\n         no fault tolerance, and poses a high risk to lose control \
    over the cluster.";
