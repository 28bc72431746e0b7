//! A service: what to run, how many, how to change it, how to reach it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ContainerSpec, EndpointSpec, Extra, Labels, LogDriver, NetworkAttachmentConfig, Placement,
    ResourceRequirements, nullable,
};
use crate::time::Millis;

/// Docker's `ServiceSpec`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceSpec {
    /// Unique in the cluster.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "nullable")]
    pub task_template: TaskSpec,
    /// Absent means replicated with one replica.
    #[serde(default, deserialize_with = "nullable")]
    pub mode: ServiceMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    /// Older clients' place for networks; counts when the task template names none.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachmentConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_spec: Option<EndpointSpec>,
    /// Ours: what must be true of other services before this one's tasks start.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Ours: one entry of Compose's `depends_on`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dependency {
    /// The full name of the other service.
    pub service: String,
    #[serde(default)]
    pub condition: DependencyCondition,
    /// Replace this service's tasks when the other's are replaced.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub restart: bool,
    /// The other service may be missing.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub optional: bool,
}

/// What the other service must have reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum DependencyCondition {
    /// Every task has been started.
    #[default]
    #[serde(rename = "service_started")]
    Started,
    /// Every task runs, its health check passed.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// Every task ended with exit code 0.
    #[serde(rename = "service_completed_successfully")]
    CompletedSuccessfully,
}

/// How many tasks and of which kind. Exactly one field is set; none means replicated.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceMode {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicated: Option<Replicated>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<Empty>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicated_job: Option<ReplicatedJob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_job: Option<Empty>,
}

/// `{}` in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Empty {}

/// A fixed number of equal tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Replicated {
    /// Absent means 1; stored as 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
}

/// Tasks that run to completion.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReplicatedJob {
    /// How many run at once; absent means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
    /// How many must complete; absent means `max_concurrent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_completions: Option<u64>,
}

/// What every task of a service is made of. A change here replaces tasks.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_spec: Option<ContainerSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachmentConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<LogDriver>,
    /// Counted up by clients to have every task replaced.
    #[serde(default, deserialize_with = "nullable")]
    pub force_update: u64,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// When a task that ended is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any`; empty means `any`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Nanoseconds between the end and the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<i64>,
    /// 0 or absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Nanoseconds in which attempts are counted; 0 or absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How slots are replaced by an update or a rollback.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateConfig {
    /// How many slots at once; 0 means all.
    #[serde(default, deserialize_with = "nullable")]
    pub parallelism: u64,
    /// Nanoseconds between two batches.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "super::is_zero")]
    pub delay: i64,
    /// `pause`, `continue` or `rollback`; empty means `pause`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub failure_action: String,
    /// Nanoseconds after a task's start in which its failure counts against the update; absent or
    /// 0 means 5 s.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "super::is_zero")]
    pub monitor: i64,
    /// 0 to 1.
    #[serde(default, deserialize_with = "nullable")]
    pub max_failure_ratio: f64,
    /// `stop-first` or `start-first`; empty means `stop-first`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub order: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Docker's default of `Monitor`.
pub const DEFAULT_MONITOR: Millis = Millis::from_secs(5);

impl UpdateConfig {
    /// What an absent config means: one at a time, pause on failure, stop first.
    #[must_use]
    pub fn absent() -> UpdateConfig {
        UpdateConfig { parallelism: 1, ..UpdateConfig::default() }
    }

    /// How long a fresh task is watched.
    #[must_use]
    pub fn effective_monitor(&self) -> Millis {
        if self.monitor <= 0 { DEFAULT_MONITOR } else { Millis::from_nanos(self.monitor) }
    }

    /// True for `start-first`.
    #[must_use]
    pub fn starts_first(&self) -> bool {
        self.order == "start-first"
    }
}

impl ServiceMode {
    /// Replicated with `replicas` tasks.
    #[must_use]
    pub fn replicated(replicas: u64) -> ServiceMode {
        ServiceMode {
            replicated: Some(Replicated { replicas: Some(replicas) }),
            ..ServiceMode::default()
        }
    }

    /// The mode in one word and its numbers.
    #[must_use]
    pub fn kind(&self) -> ModeKind {
        if self.global.is_some() {
            ModeKind::Global
        } else if self.global_job.is_some() {
            ModeKind::GlobalJob
        } else if let Some(job) = &self.replicated_job {
            let at_once = job.max_concurrent.unwrap_or(1);
            ModeKind::ReplicatedJob { at_once, total: job.total_completions.unwrap_or(at_once) }
        } else {
            let replicas = self.replicated.as_ref().and_then(|r| r.replicas).unwrap_or(1);
            ModeKind::Replicated { replicas }
        }
    }
}

/// [`ServiceMode`] with its defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeKind {
    Replicated { replicas: u64 },
    Global,
    ReplicatedJob { at_once: u64, total: u64 },
    GlobalJob,
}

impl ServiceSpec {
    /// The stack that the service belongs to, by the label the docker CLI gives it.
    #[must_use]
    pub fn stack(&self) -> Option<&str> {
        self.labels.get(STACK_LABEL).map(String::as_str)
    }

    /// The networks that tasks are on.
    #[must_use]
    pub fn effective_networks(&self) -> &[NetworkAttachmentConfig] {
        let own = &self.task_template.networks;
        if own.is_empty() { &self.networks } else { own }
    }

    /// The update config with the default of an absent one.
    #[must_use]
    pub fn effective_update(&self) -> UpdateConfig {
        self.update_config.clone().unwrap_or_else(UpdateConfig::absent)
    }

    /// The rollback config with the default of an absent one.
    #[must_use]
    pub fn effective_rollback(&self) -> UpdateConfig {
        self.rollback_config.clone().unwrap_or_else(UpdateConfig::absent)
    }
}

/// The label by which services, networks, secrets and configs belong to a stack.
pub const STACK_LABEL: &str = "com.docker.stack.namespace";
