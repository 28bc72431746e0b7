//! A host that has joined.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Meta, NodeTrust};
use crate::NodeId;
use crate::spec::{Labels, NodeSpec, Platform, Resources};
use crate::time::Timestamp;

/// A host: what is asked of it, what it says of itself, how it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub meta: Meta,
    pub spec: NodeSpec,
    pub description: NodeDescription,
    pub status: NodeStatus,
    /// Where its manager listens, `host:port`; present once it has been asked to be a manager.
    pub manager_address: Option<String>,
    /// What its manager has said of the certificate that it uses, which may be older than the
    /// agent's for a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager_trust: Option<NodeTrust>,
}

/// What an agent says of its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeDescription {
    pub hostname: String,
    pub platform: Platform,
    pub resources: Resources,
    pub engine: EngineDescription,
    /// Where other hosts reach it (overlay, relay): an IP address.
    pub address: String,
    /// The version of our agent.
    pub agent_version: String,
    /// What its kernel and engine can do, probed at start: `vxlan`, `nft`, `tproxy` …
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Of which authority its certificate is; agents before the first rotations do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<NodeTrust>,
}

/// The engine of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineDescription {
    pub version: String,
    pub labels: Labels,
    /// Type (`Network`, `Volume`, `Log`) to names.
    pub plugins: BTreeMap<String, Vec<String>>,
}

/// How a node is, as the leader judged it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub state: NodeState,
    /// Why, when it is not ready.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// Whether a node can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Has joined; its agent has not been heard of.
    #[default]
    Unknown,
    /// Silent for longer than allowed. Its tasks are given up.
    Down,
    /// Its agent reports.
    Ready,
    /// Its agent said that it leaves.
    Disconnected,
}

impl NodeState {
    /// The lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NodeState::Unknown => "unknown",
            NodeState::Down => "down",
            NodeState::Ready => "ready",
            NodeState::Disconnected => "disconnected",
        }
    }
}
