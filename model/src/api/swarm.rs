//! The cluster as clients see it: `/swarm`, and the `Swarm` block of `/info`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Index, Moment, TlsInfo};
use crate::spec::{Availability, ClusterSpec, is_zero, nullable};

/// Docker's `ClusterInfo`: what everyone may know.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterInfo {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Index,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub spec: ClusterSpec,
    #[serde(rename = "TLSInfo")]
    pub tls_info: TlsInfo,
    pub root_rotation_in_progress: bool,
    #[serde(deserialize_with = "nullable")]
    pub default_addr_pool: Vec<String>,
    pub subnet_size: u32,
    pub data_path_port: u32,
}

/// Docker's `Swarm`: with the join tokens.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Swarm {
    #[serde(flatten)]
    pub info: ClusterInfo,
    pub join_tokens: JoinTokens,
}

/// What a host needs to join.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JoinTokens {
    pub worker: String,
    pub manager: String,
}

/// The answer of `/swarm/unlockkey`, and the body of `/swarm/unlock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnlockKey {
    pub unlock_key: String,
}

/// The `Swarm` block of `/info`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SwarmInfo {
    #[serde(rename = "NodeID")]
    pub node_id: String,
    pub node_addr: String,
    /// `inactive`, `pending`, `active`, `error` or `locked`.
    pub local_node_state: String,
    /// True on a manager.
    pub control_available: bool,
    pub error: String,
    pub remote_managers: Option<Vec<Peer>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub managers: u64,
    /// Only on a manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// For people, such as that two managers are no safer than one.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A manager and where it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Peer {
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// `host:port`.
    #[serde(rename = "Addr")]
    pub addr: String,
}

/// The body of `POST /swarm/init`. The agent serves it.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InitRequest {
    #[serde(deserialize_with = "nullable")]
    pub listen_addr: String,
    #[serde(deserialize_with = "nullable")]
    pub advertise_addr: String,
    #[serde(deserialize_with = "nullable")]
    pub data_path_addr: String,
    #[serde(deserialize_with = "nullable")]
    pub data_path_port: u32,
    #[serde(deserialize_with = "nullable")]
    pub default_addr_pool: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub subnet_size: u32,
    #[serde(deserialize_with = "nullable")]
    pub force_new_cluster: bool,
    #[serde(deserialize_with = "nullable")]
    pub spec: ClusterSpec,
    #[serde(deserialize_with = "nullable")]
    pub auto_lock_managers: bool,
    /// Docker sends an empty text for `active`.
    #[serde(deserialize_with = "availability")]
    pub availability: Availability,
}

/// The body of `POST /swarm/join`. The agent serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JoinBody {
    #[serde(deserialize_with = "nullable")]
    pub listen_addr: String,
    #[serde(deserialize_with = "nullable")]
    pub advertise_addr: String,
    #[serde(deserialize_with = "nullable")]
    pub data_path_addr: String,
    #[serde(deserialize_with = "nullable")]
    pub remote_addrs: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub join_token: String,
    #[serde(deserialize_with = "availability")]
    pub availability: Availability,
}

/// Reads null and `""` as active.
fn availability<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Availability, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("" | "active") => Ok(Availability::Active),
        Some("pause") => Ok(Availability::Pause),
        Some("drain") => Ok(Availability::Drain),
        Some(other) => Err(serde::de::Error::unknown_variant(other, &["active", "pause", "drain"])),
    }
}
