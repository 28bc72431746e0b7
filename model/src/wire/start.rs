//! How a host's agent and its manager share a data directory, and how a cluster is started.
//!
//! The agent runs `orchestrator` with the same `--data-dir` as its own. The certificates in it are
//! the agent's to renew; the manager looks again when they change.

use serde::{Deserialize, Serialize};

use crate::object::NodeDescription;
use crate::spec::{Availability, ClusterSpec};

/// The host's certificate, PEM, below the data directory.
pub const NODE_CERT: &str = "certificates/node.crt";
/// The certificate's key, PEM.
pub const NODE_KEY: &str = "certificates/node.key";
/// The root that the host trusts, PEM.
pub const CA_CERT: &str = "certificates/ca.crt";
/// The manager's own folder: log, snapshots, data key. A host that is no manager any more removes it.
pub const MANAGER_FOLDER: &str = "manager";

/// UDP port of the overlay when nothing else is said.
pub const DATA_PATH_PORT: u16 = 4789;

/// The DNS name in every manager's certificate: whom a host expects at 2377.
pub const MANAGER_NAME: &str = "swarm-manager";

/// What `orchestrator bootstrap --start FILE` is told of the cluster that it starts. JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    pub description: NodeDescription,
    pub availability: Availability,
    pub spec: ClusterSpec,
    /// CIDR; empty means the default.
    pub address_pools: Vec<String>,
    /// Prefix length of networks; 0 means the default.
    pub subnet_size: u8,
    /// UDP port of the overlay; 0 means [`DATA_PATH_PORT`].
    pub data_path_port: u16,
}
