//! A task: one attempt to run one slot of a service.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Meta, Revision, TemplateVersion};
use crate::lifecycle::{Desired, TaskState};
use crate::reason::Reason;
use crate::spec::PortConfig;
use crate::time::Timestamp;
use crate::{NetworkId, NodeId, ServiceId, TaskId};

/// A task. Its place, once given, never changes; its observed state only rises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub meta: Meta,
    pub service: ServiceId,
    pub slot: Slot,
    pub template: TemplateVersion,
    /// Of a job: the run it belongs to.
    pub job_iteration: u64,
    /// Set by assignment, or at birth for a global task.
    pub node: Option<NodeId>,
    pub desired: Desired,
    pub status: TaskStatus,
    /// Its addresses, given with its node.
    pub attachments: Vec<Attachment>,
    /// Not started before this time (back-off, update delay).
    pub not_before: Option<Timestamp>,
    /// What came before it in its slot.
    pub restarts: Restarts,
    /// Why it is not running yet. The planner writes it; absent once an agent has the task.
    pub waiting: Option<Reason>,
    /// Set when `desired` becomes `Draining`: the log position from which routing is without it,
    /// and when that was.
    pub drain: Option<Drain>,
    /// It is to be replaced by one on another node, so that the service is spread evenly.
    #[serde(default, skip_serializing_if = "crate::spec::is_false")]
    pub leaves: bool,
}

/// Which of a service's places a task fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// Of a replicated service: from 1 (of a replicated job: from 0).
    Replica(u64),
    /// Of a global service.
    Node(NodeId),
}

impl Slot {
    /// The slot in a task's name. As Docker has it, a replicated job's first slot, 0, goes by its
    /// task's node once there is one.
    #[must_use]
    pub fn in_name(self, node: Option<NodeId>) -> String {
        match (self, node) {
            (Slot::Node(node), _) | (Slot::Replica(0), Some(node)) => node.to_string(),
            (Slot::Replica(number), _) => number.to_string(),
        }
    }
}

/// What its node last said of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    pub state: TaskState,
    /// Since when, by the clock of whoever made the move.
    pub since: Timestamp,
    /// When it first ran; what the update's monitor and the restart window count from.
    pub running_since: Option<Timestamp>,
    /// What is going on, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerStatus>,
    /// Host-mode ports as the engine opened them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

/// The container of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The engine's id.
    pub id: String,
    /// On its host; 0 when it does not run.
    pub pid: i64,
    /// Present once it has ended.
    pub exit_code: Option<i64>,
}

/// A task's place on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub network: NetworkId,
    pub address: Ipv4Addr,
}

/// What came before a task in its slot: whether anything ran there, and the failures. A restart (the
/// process ended) counts as one; a move (the node was lost or drained, the template changed) does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// Failures in a row, for the back-off; zero again after a task ran long enough.
    pub in_a_row: u32,
    /// Attempts that count against `MaxAttempts` in the current window.
    pub in_window: u64,
    /// When that window began.
    pub window_began: Option<Timestamp>,
    /// A task of the slot has run before: what the service depends on holds nothing back any more.
    #[serde(default, skip_serializing_if = "crate::spec::is_false")]
    pub has_run: bool,
}

impl Task {
    /// What the next task of its slot is to know if it only moves: it failed no more often.
    #[must_use]
    pub fn passed_on(&self) -> Restarts {
        Restarts { has_run: self.has_run(), ..self.restarts }
    }

    /// It has run, or one before it in its slot.
    #[must_use]
    pub fn has_run(&self) -> bool {
        self.restarts.has_run || self.status.running_since.is_some()
    }
}

/// When and from which log position on a task gets nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub revision: Revision,
    pub since: Timestamp,
}
