//! The cluster itself: its spec, its certificate authority, its secrets of entry.

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::ClusterId;
use crate::spec::ClusterSpec;

/// One per cluster, made by the first entry of the log.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: ClusterId,
    pub meta: Meta,
    pub spec: ClusterSpec,
    /// Keys the derivation of ids; random, made at bootstrap.
    pub seed: u64,
    pub ca: CaMaterial,
    pub tokens: JoinSecrets,
    /// From which networks get their subnet when they do not say, CIDR.
    pub address_pools: Vec<String>,
    /// Prefix length of such a subnet.
    pub subnet_size: u8,
    /// UDP port of the overlay.
    pub data_path_port: u16,
    /// Authenticates ingress relays between agents; hexadecimal, 32 bytes.
    pub relay_key: String,
    /// What opens the data of managers that have been restarted; none where they are not locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlock_key: Option<String>,
}

/// The root certificate and its key, PEM. Every manager may sign.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaMaterial {
    pub cert_pem: String,
    pub key_pem: String,
}

/// The secret parts of the join tokens.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinSecrets {
    pub worker: String,
    pub manager: String,
}

impl std::fmt::Debug for Cluster {
    /// Without the key and the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.id)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
