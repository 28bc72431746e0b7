//! The cluster itself: its spec, its certificate authority, its secrets of entry.

use std::collections::BTreeSet;

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
    /// How nodes say that they are of `ca` and trust nothing else; absent until the authority has
    /// been rotated for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<NodeTrust>,
    /// The authority that is to follow `ca`, while not every node is of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RootRotation>,
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

/// A change of the authority that is under way. Nodes get certificates of the new one and trust
/// both; when every node has, the new one stands alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRotation {
    /// The authority that follows.
    pub ca: CaMaterial,
    /// The new authority's name and key, certified by the present one, PEM. Sent along with every
    /// certificate of the new one, so that a host which trusts the present one only trusts it too.
    pub cross_cert_pem: String,
    /// What every node must come to say.
    pub wanted: NodeTrust,
    /// The same of the present authority.
    pub present: NodeTrust,
    /// The secrets of entry from its end on.
    pub tokens: JoinSecrets,
}

impl RootRotation {
    /// What nodes are told meanwhile: certificates of the new authority, trust in both.
    #[must_use]
    pub fn meanwhile(&self) -> NodeTrust {
        let roots = self.present.roots.union(&self.wanted.roots).cloned().collect();
        NodeTrust { issuer: self.wanted.issuer.clone(), roots }
    }
}

/// Of which authority a host's certificate is, and whom it trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTrust {
    /// SHA-256 of the name and the public key (both DER, one after the other) of who signed its
    /// certificate, 50 base-36 digits.
    pub issuer: String,
    /// The digests of the root certificates that it trusts, as join tokens carry them.
    pub roots: BTreeSet<String>,
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
