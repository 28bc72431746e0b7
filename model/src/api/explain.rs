//! Why something is as it is: `/explain`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;
use crate::reason::Reason;
use crate::spec::nullable;

/// The answer of `GET /explain/{kind}/{id}`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Explanation {
    /// `service`, `task` or `node`.
    pub kind: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    /// True when nothing is left to do.
    pub settled: bool,
    /// One sentence each, most important first.
    #[serde(deserialize_with = "nullable")]
    pub sentences: Vec<String>,
    /// What waits, and for what.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingTask>,
}

/// A task that is not where it should be.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitingTask {
    #[serde(rename = "TaskID")]
    pub task_id: String,
    pub name: String,
    /// The host's name; empty while it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    pub state: String,
    pub since: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The reason, or the task's last error, in words.
    pub text: String,
}
