//! What is asked of the cluster as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Driver, Extra, Labels, nullable};

/// Docker's swarm `Spec`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClusterSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "nullable")]
    pub orchestration: Orchestration,
    #[serde(default, deserialize_with = "nullable")]
    pub raft: RaftSettings,
    #[serde(default, deserialize_with = "nullable")]
    pub dispatcher: Dispatcher,
    #[serde(default, rename = "CAConfig", deserialize_with = "nullable")]
    pub ca_config: CaConfig,
    #[serde(default, deserialize_with = "nullable")]
    pub task_defaults: TaskDefaults,
    #[serde(default, deserialize_with = "nullable")]
    pub encryption_config: EncryptionConfig,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How long task history is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Orchestration {
    /// Ended tasks kept in each slot; absent means 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_history_retention_limit: Option<i64>,
}

/// Docker's Raft settings. Kept for clients; ours are set on the orchestrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftSettings {
    pub snapshot_interval: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_old_snapshots: Option<u64>,
    pub log_entries_for_slow_followers: u64,
    pub election_tick: i64,
    pub heartbeat_tick: i64,
}

/// How agents report.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Dispatcher {
    /// Nanoseconds between an agent's heartbeats; 0 means [`DEFAULT_HEARTBEAT`].
    #[serde(skip_serializing_if = "super::is_zero")]
    pub heartbeat_period: i64,
}

impl Dispatcher {
    /// The time between two heartbeats that is in force.
    #[must_use]
    pub fn heartbeat(&self) -> crate::Millis {
        if self.heartbeat_period > 0 {
            crate::Millis::from_nanos(self.heartbeat_period)
        } else {
            DEFAULT_HEARTBEAT
        }
    }
}

/// Ended tasks that are kept in each slot, when the cluster spec does not say.
pub const DEFAULT_TASK_HISTORY: i64 = 5;

/// Between two heartbeats of an agent, when the cluster spec does not say: a lost node is found
/// after [`HEARTBEAT_LIMIT`] of them.
pub const DEFAULT_HEARTBEAT: crate::Millis = crate::Millis(500);

/// How many heartbeats may be missing before a node is taken for lost.
pub const HEARTBEAT_LIMIT: u64 = 4;

/// How the cluster's CA works.
#[derive(Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CaConfig {
    /// Nanoseconds that a node's certificate is valid; 0 means 90 days.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub node_cert_expiry: i64,
    #[serde(skip_serializing_if = "super::is_zero")]
    pub force_rotate: u64,
    /// The certificate, PEM, of the authority that is to follow the present one. Never shown.
    #[serde(
        rename = "SigningCACert",
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub signing_ca_cert: String,
    /// Its key, PEM. Never shown.
    #[serde(
        rename = "SigningCAKey",
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub signing_ca_key: String,
    #[serde(flatten)]
    pub extra: Extra,
}

impl std::fmt::Debug for CaConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaConfig")
            .field("node_cert_expiry", &self.node_cert_expiry)
            .field("force_rotate", &self.force_rotate)
            .finish_non_exhaustive()
    }
}

/// Defaults of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskDefaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<Driver>,
}

/// Whether managers need a key to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EncryptionConfig {
    pub auto_lock_managers: bool,
}
