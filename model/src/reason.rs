//! Why something waits: the typed answer to "why not?".
//!
//! Every planner returns these for what it left undone; they are kept with the task and shown by
//! `ps`, `explain` and in Docker's `Status.Err`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::{NetworkId, NodeId};

/// Why a task is not placed, not started, or not replaced yet.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Reason {
    /// No node may take it; for each objection how many nodes raised it (a node is counted once,
    /// under its first objection).
    NoSuitableNode { objections: BTreeMap<Objection, u32> },
    /// The previous task of the slot failed; the next attempt starts then.
    BackOff { until: Timestamp, failures: u32 },
    /// The restart policy does not allow another attempt.
    RestartsExhausted { attempts: u64 },
    /// The slot's older task has not stopped yet.
    OldTaskStopping,
    /// The update works on other slots first.
    UpdateInProgress,
    /// The update stopped and waits for a person.
    UpdatePaused,
    /// A service it depends on has not reached the condition.
    Dependency { service: String, condition: String },
    /// The network has no free address left.
    NoAddress { network: NetworkId },
    /// Its node is silent; it is given up then.
    NodeSilent { node: NodeId, until: Timestamp },
    /// Waits until every node's routing has dropped it.
    Draining { until: Timestamp },
    /// No more starts on this node just now.
    StartLimit { node: NodeId },
}

/// Why one node may not take a task. In the order in which nodes are judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objection {
    /// The node is not ready.
    NotReady,
    /// The node is paused or drained.
    NotActive,
    /// A constraint is not met.
    Constraint,
    /// Another platform than the image's.
    Platform,
    /// Not enough CPU, memory or generic resources are unreserved.
    Resources,
    /// A host-mode port is taken.
    HostPort,
    /// The service's tasks on the node have reached the maximum.
    MaxReplicas,
    /// A volume or network driver is missing.
    Plugin,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Objection::NotReady => "not ready",
            Objection::NotActive => "not available for new tasks",
            Objection::Constraint => "scheduling constraints not satisfied",
            Objection::Platform => "unsupported platform",
            Objection::Resources => "insufficient resources",
            Objection::HostPort => "host-mode port already in use",
            Objection::MaxReplicas => "max replicas per node limit exceed",
            Objection::Plugin => "missing plugin",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoSuitableNode { objections } => {
                f.write_str("no suitable node")?;
                for (i, (objection, nodes)) in objections.iter().enumerate() {
                    let s = if *nodes == 1 { "" } else { "s" };
                    let open = if i == 0 { " (" } else { "; " };
                    write!(f, "{open}{objection} on {nodes} node{s}")?;
                }
                f.write_str(if objections.is_empty() { "" } else { ")" })
            }
            Reason::BackOff { failures, .. } => {
                let s = if *failures == 1 { "" } else { "s" };
                write!(f, "backing off after {failures} failure{s}")
            }
            Reason::RestartsExhausted { attempts } => {
                write!(f, "restart policy allows no more than {attempts} attempts")
            }
            Reason::OldTaskStopping => f.write_str("waiting for the slot's older task to stop"),
            Reason::UpdateInProgress => f.write_str("the update works on other slots first"),
            Reason::UpdatePaused => f.write_str("the update is paused"),
            Reason::Dependency { service, condition } => {
                write!(f, "waiting for {service} ({condition})")
            }
            Reason::NoAddress { network } => write!(f, "network {network} has no free address"),
            Reason::NodeSilent { node, .. } => write!(f, "node {node} is silent"),
            Reason::Draining { .. } => f.write_str("draining"),
            Reason::StartLimit { node } => {
                write!(f, "node {node} is starting as many tasks as it may at once")
            }
        }
    }
}
