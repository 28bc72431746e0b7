//! A task as clients see it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Index, Moment};
use crate::reason::Reason;
use crate::spec::{Driver, IpamConfig, Labels, PortConfig, TaskSpec, is_false, is_zero, nullable};

/// Docker's `Task`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Task {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Index,
    pub created_at: Moment,
    pub updated_at: Moment,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
    /// What it was made of; its `ContainerSpec` is always there.
    pub spec: Arc<TaskSpec>,
    #[serde(rename = "ServiceID", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    /// From 1, in a replicated job from 0; 0 and absent in a global service.
    #[serde(skip_serializing_if = "is_zero")]
    pub slot: u64,
    #[serde(rename = "NodeID", skip_serializing_if = "String::is_empty")]
    pub node_id: String,
    pub status: TaskStatus,
    pub desired_state: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub networks_attachments: Vec<NetworkAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_iteration: Option<Index>,
    /// Ours: why it waits, in a form for programs; `Status.Err` has the same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Reason>,
    /// Ours: failures in a row behind it in its slot.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
}

/// How a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskStatus {
    pub timestamp: Moment,
    /// A lower-case name of a state.
    pub state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub err: String,
    /// Present once a node has the task; some clients fail on a running task without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_status: Option<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    pub port_status: PortStatus,
}

/// The container of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    #[serde(rename = "PID")]
    pub pid: i64,
    #[serde(rename = "ExitCode")]
    pub exit_code: i64,
}

/// Host-mode ports as they are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortStatus {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

/// A task's place on a network.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAttachment {
    pub network: Arc<AttachedNetwork>,
    /// In CIDR form.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// A network in the form that tasks have it in, which is not that of `/networks`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachedNetwork {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Index,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub spec: AttachedNetworkSpec,
    pub driver_state: Driver,
    #[serde(rename = "IPAMOptions")]
    pub ipam_options: AttachedIpam,
}

/// The spec of such a network.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachedNetworkSpec {
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
    pub driver_configuration: Driver,
    #[serde(skip_serializing_if = "is_false")]
    pub internal: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub attachable: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub ingress: bool,
    #[serde(rename = "IPAMOptions", skip_serializing_if = "Option::is_none")]
    pub ipam_options: Option<AttachedIpam>,
    pub scope: String,
}

/// The address management of such a network.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachedIpam {
    pub driver: Driver,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<IpamConfig>,
}
