//! How far a service is from what was asked of it: `/services/{id}/progress`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Index, Moment, UpdateStatus, WaitingTask};
use crate::spec::{is_zero, nullable};

/// The answer of `GET /services/{id}/progress`. The managers judge, clients only wait.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Progress {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    /// The service's version that is judged.
    pub version: Index,
    pub verdict: Verdict,
    /// Tasks that are as they should be: of the current template and running; of a job, completed.
    pub done: u64,
    pub wanted: u64,
    /// Tasks that are still to be replaced or taken away.
    pub outdated: u64,
    /// It is a job: its tasks are to end.
    #[serde(skip_serializing_if = "crate::spec::is_false")]
    pub is_job: bool,
    /// How long every task has run, milliseconds; 0 while one does not.
    pub stable_for_ms: u64,
    /// How long tasks are watched after their start, milliseconds (the update's monitor time).
    pub monitor_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateStatus>,
    /// What does not run yet, and why.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingTask>,
    /// The tasks of this change that failed last, newest first.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedTask>,
}

/// Whether anything is left to wait for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is on its way.
    #[default]
    Waiting,
    /// Every task is as it should be. `update` tells whether this is the spec that was asked for or
    /// the one that it was rolled back to.
    Converged,
    /// The update stopped half-way and waits for a person.
    Paused,
    /// A slot has no task and gets none: its restart policy allows no more.
    GaveUp,
}

/// A task that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FailedTask {
    #[serde(rename = "TaskID")]
    pub task_id: String,
    pub name: String,
    /// The host's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// `failed` or `rejected`.
    pub state: String,
    pub at: Moment,
    pub text: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub exit_code: i64,
}
