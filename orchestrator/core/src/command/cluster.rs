//! Of commands about the cluster itself: what starts it, who joins it, its keys and its certificate
//! authority.

use serde::{Deserialize, Serialize};

use model::object::{CaMaterial, JoinSecrets, NodeDescription, NodeTrust, RootRotation, Version};
use model::spec::{Availability, ClusterSpec, Role};
use model::wire::start::DATA_PATH_PORT;
use model::{Id, NodeId};

use super::Command;

/// A key for locked managers, drawn by whoever proposes.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct NewUnlockKey {
    pub key: String,
    /// It follows the one that there is; else it is only taken where there is none.
    pub rotate: bool,
}

impl Command {
    /// Changes the cluster's settings; tokens and keys stay.
    #[must_use]
    pub fn update_cluster(version: Version, spec: ClusterSpec) -> Command {
        Command::UpdateCluster {
            version,
            spec: Box::new(spec),
            rotate_worker_token: None,
            rotate_manager_token: None,
            unlock_key: None,
            root: None,
        }
    }
}

/// What becomes of the certificate authority.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootChange {
    /// Another is to follow; it takes the place of a rotation that runs.
    Rotate(Box<RootRotation>),
    /// The present one stays: a rotation that runs is taken back.
    Keep {
        /// What nodes say once they are of the present one alone.
        present: NodeTrust,
    },
}

impl std::fmt::Debug for RootChange {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RootChange::Rotate(rotation) => {
                f.debug_tuple("Rotate").field(&rotation.wanted).finish()
            }
            RootChange::Keep { present } => f.debug_tuple("Keep").field(present).finish(),
        }
    }
}

impl std::fmt::Debug for NewUnlockKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUnlockKey").field("rotate", &self.rotate).finish_non_exhaustive()
    }
}

/// What starts a cluster. All randomness of its life is here.
#[derive(Clone, Serialize, Deserialize, PartialEq)]
pub struct Bootstrap {
    /// Keys the derivation of ids. The first node is [`first_node`] of it.
    pub seed: u64,
    pub spec: ClusterSpec,
    pub ca: CaMaterial,
    pub tokens: JoinSecrets,
    /// CIDR; empty means [`DEFAULT_POOLS`].
    pub address_pools: Vec<String>,
    /// 0 means [`DEFAULT_SUBNET_SIZE`].
    pub subnet_size: u8,
    pub data_path_port: u16,
    pub relay_key: String,
    /// Where the spec says that managers are locked.
    #[serde(default)]
    pub unlock_key: Option<String>,
    pub node: JoinNode,
}

impl Bootstrap {
    /// A cluster of default settings without keys and secrets, for tests and simulation.
    #[must_use]
    pub fn bare(seed: u64, node: JoinNode) -> Bootstrap {
        Bootstrap {
            seed,
            spec: ClusterSpec::default(),
            ca: CaMaterial::default(),
            tokens: JoinSecrets::default(),
            address_pools: Vec::new(),
            subnet_size: 0,
            data_path_port: DATA_PATH_PORT,
            relay_key: String::new(),
            unlock_key: None,
            node,
        }
    }
}

impl std::fmt::Debug for Bootstrap {
    /// Without keys and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The subnets of networks come from here when neither cluster nor network say otherwise.
pub const DEFAULT_POOLS: &[&str] = &["10.0.0.0/8"];
/// Prefix length of a network's subnet when nothing is said: 4,094 addresses, so that a large
/// service fits without thought.
pub const DEFAULT_SUBNET_SIZE: u8 = 20;

/// The id of the node that bootstraps a cluster with this seed.
#[must_use]
pub fn first_node(seed: u64) -> NodeId {
    NodeId(Id::derive(seed, 0, 0))
}

/// A host that joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinNode {
    pub description: NodeDescription,
    pub role: Role,
    pub availability: Availability,
    /// Where its manager listens or would listen, `host:port`.
    pub manager_address: Option<String>,
}
