//! A service and what the cluster decided for it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::spec::{PortConfig, ServiceSpec, TaskSpec};
use crate::time::Timestamp;
use crate::{NetworkId, ServiceId};

/// A service: its spec, its addresses, how far its change has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub id: ServiceId,
    pub meta: Meta,
    /// Stored resolved: networks, secrets and configs by id, mode with its numbers.
    pub spec: Arc<ServiceSpec>,
    /// What the last update replaced; `rollback` goes back to it.
    pub previous_spec: Option<Arc<ServiceSpec>>,
    /// The template that tasks should have.
    pub template: TemplateVersion,
    /// The current template and every other one that a task still has.
    pub templates: BTreeMap<TemplateVersion, Arc<Template>>,
    pub endpoint: Endpoint,
    /// The change under way, or the one that stopped.
    pub rollout: Option<Rollout>,
    /// Of a job: which run this is.
    pub job: Option<JobStatus>,
    /// Registry credentials for its images, as the client's `X-Registry-Auth` had them. Never shown.
    pub registry_auth: Option<String>,
    /// Removal was accepted: hidden from clients, goes when its last task has gone.
    pub removed: Option<Timestamp>,
}

/// Counts the templates of one service: the log position of the write that made it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TemplateVersion(pub u64);

/// Everything whose change replaces tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    pub task: TaskSpec,
    /// Host-mode ports belong to the container, so a change of them replaces tasks.
    pub host_ports: Vec<PortConfig>,
    /// Labels of the service that the container carries (the stack's name).
    pub stack: Option<String>,
}

/// How a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The spec's ports, each with a published port.
    pub ports: Vec<PortConfig>,
    /// The virtual address on each network; empty for `dnsrr`.
    pub vips: BTreeMap<NetworkId, Ipv4Addr>,
}

/// A change from one template to another, slot by slot.
///
/// Which slots are done is not kept: a slot is done when its task has the current template and
/// has been running for the monitor time. Kept is what the tasks cannot tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub kind: RolloutKind,
    pub state: RolloutState,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub message: String,
    /// When the last batch was let go; the next waits for the delay from the end of that batch.
    pub last_batch_at: Option<Timestamp>,
    /// New tasks that failed within the monitor time, counted once each.
    pub failures: u32,
}

/// Which of the two configs drives a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutKind {
    Update,
    Rollback,
}

/// How a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutState {
    Running,
    Paused,
    Completed,
}

impl Rollout {
    /// Docker's `UpdateStatus.State`.
    #[must_use]
    pub fn docker_state(&self) -> &'static str {
        match (self.kind, self.state) {
            (RolloutKind::Update, RolloutState::Running) => "updating",
            (RolloutKind::Update, RolloutState::Paused) => "paused",
            (RolloutKind::Update, RolloutState::Completed) => "completed",
            (RolloutKind::Rollback, RolloutState::Running) => "rollback_started",
            (RolloutKind::Rollback, RolloutState::Paused) => "rollback_paused",
            (RolloutKind::Rollback, RolloutState::Completed) => "rollback_completed",
        }
    }
}

impl Service {
    /// Which run of a job this is; 0 for a service that is none.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.job.map_or(0, |job| job.iteration)
    }
}

/// Which run of a job this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    pub iteration: u64,
    pub last_execution: Timestamp,
}
