//! A backup of the cluster: what was asked for, so that it can be asked for again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Moment, StackChange};
use crate::object::StackHistory;
use crate::spec::{
    Availability, ClusterSpec, ConfigSpec, Labels, NetworkSpec, Role, SecretSpec, ServiceSpec,
    nullable,
};

/// The form of a backup that this program writes and reads.
pub const BACKUP_FORMAT: u32 = 1;

/// Everything that clients have written, at one revision. Specs name networks, secrets and configs
/// by their names, so that they mean the same in another cluster.
///
/// Values of secrets and credentials of registries are in it, in the clear. Tasks, the certificate
/// authority and join tokens are not: hosts join the new cluster anew.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Backup {
    /// [`BACKUP_FORMAT`].
    pub format: u32,
    #[serde(rename = "ClusterID")]
    pub cluster_id: String,
    pub created_at: Moment,
    pub revision: u64,
    /// Of the program that wrote it.
    pub program: String,
    pub spec: ClusterSpec,
    #[serde(deserialize_with = "nullable")]
    pub nodes: Vec<BackupNode>,
    #[serde(deserialize_with = "nullable")]
    pub networks: Vec<NetworkSpec>,
    #[serde(deserialize_with = "nullable")]
    pub secrets: Vec<SecretSpec>,
    #[serde(deserialize_with = "nullable")]
    pub configs: Vec<ConfigSpec>,
    #[serde(deserialize_with = "nullable")]
    pub services: Vec<BackupService>,
    #[serde(deserialize_with = "nullable")]
    pub stacks: Vec<StackHistory>,
}

/// What was said of a host.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BackupNode {
    pub hostname: String,
    pub role: Role,
    pub availability: Availability,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
}

/// A service and what its images are pulled with.
#[derive(Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BackupService {
    pub spec: ServiceSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<String>,
}

impl std::fmt::Debug for BackupService {
    /// Without the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupService").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// The answer to a restoration: what was, or with `dryRun` would be, done.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestoreReply {
    /// Nothing was changed.
    pub dry_run: bool,
    /// In the order in which it is done.
    #[serde(deserialize_with = "nullable")]
    pub changes: Vec<StackChange>,
    #[serde(deserialize_with = "nullable")]
    pub warnings: Vec<String>,
}
