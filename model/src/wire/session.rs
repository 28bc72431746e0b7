//! The frames of a session: one long HTTP/2 request from an agent to the leader.
//!
//! `POST /session`. The request's body carries [`FromAgent`] frames, the answer's body
//! [`FromManager`] frames. A manager that is not the leader answers [`FromManager::NotLeader`] and
//! ends. What is bulky (logs, exec) goes over streams of its own, `POST /stream/{id}`, opened by
//! the agent when the manager asks with [`FromManager::Open`], so that it never delays a heartbeat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::orders::{Delta, Fence, Orders};
use crate::NodeId;
use crate::lifecycle::TaskState;
use crate::object::{ContainerStatus, NodeDescription};
use crate::spec::PortConfig;
use crate::time::{Millis, Timestamp};
use crate::{TaskId, object::Revision};

/// The version of these frames. A manager refuses an agent that speaks a newer one.
pub const PROTOCOL: u32 = 1;

/// So many times the silence after which a peer is usually given up, one that may only be slow is
/// waited for at most: a node that was slow lately, a session, the only manager. A new session costs
/// both sides a handshake and all orders anew.
pub const PATIENCE: u32 = 5;

/// From an agent to the leader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromAgent {
    /// First frame, once.
    Hello {
        protocol: u32,
        description: NodeDescription,
        /// The orders in the agent's ledger; absent when it has none.
        have: Option<Fence>,
    },
    /// At the period that the welcome gave, and at once when `applied` has moved.
    Heartbeat {
        /// Counts up.
        seq: u64,
        /// Names and routes on this node are those of this revision, or newer.
        applied: Revision,
    },
    /// The latest of every task whose report has not been acknowledged. Sent again, with a new
    /// number, until it has.
    Statuses { seq: u64, statuses: Vec<TaskReport> },
    /// The host has changed.
    Description { description: NodeDescription },
    /// The orders have a gap: send the whole.
    Resend,
    /// The node leaves the cluster for good; nothing runs on it any more.
    Leaving,
}

/// From the leader to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromManager {
    /// First frame of the leader.
    Welcome {
        node: NodeId,
        term: u64,
        heartbeat: Millis,
        /// Silence after which the agent takes the leader for lost and looks for another.
        silence: Millis,
    },
    /// First and last frame of a manager that does not lead.
    NotLeader {
        /// `host:port`.
        leader: Option<String>,
        managers: BTreeMap<NodeId, String>,
    },
    /// Answers a heartbeat.
    HeartbeatAck { seq: u64 },
    /// All orders.
    Orders { orders: Box<Orders> },
    /// What changed since the last.
    Delta { delta: Box<Delta> },
    /// The statuses up to this number are in the log.
    StatusAck { seq: u64 },
    /// Open `POST /stream/{stream}` and serve the request over it.
    Open { stream: u64, request: StreamRequest },
    /// The node has been removed from the cluster: clean up and forget it.
    Removed,
}

/// What a stream is for: a request to the node's engine. Its answer's status and headers come
/// first, as one frame ([`StreamHead`]); then bytes both ways until either side ends its half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRequest {
    pub method: String,
    /// Path and query, without a version.
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl StreamRequest {
    /// The value of a header, whose name may be in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The first frame of a stream's bytes from the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

/// What an agent says of one task: always the latest, never a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    pub task: TaskId,
    pub state: TaskState,
    /// When the task reached it, by the node's clock.
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}
