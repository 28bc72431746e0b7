//! Spreading tasks over the nodes again: `/rebalance`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::nullable;

/// The answer: what moves, or with `dryRun` would move.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RebalanceReply {
    /// Nothing was changed.
    pub dry_run: bool,
    #[serde(deserialize_with = "nullable")]
    pub moves: Vec<TaskMove>,
    /// Services that could be spread better and are left as they are.
    #[serde(deserialize_with = "nullable")]
    pub left: Vec<LeftService>,
}

/// One task that goes to another node.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskMove {
    /// `web.3`.
    pub name: String,
    #[serde(rename = "TaskID")]
    pub task_id: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Host names: where it is, and where its successor would be put now.
    pub from: String,
    pub to: String,
}

/// A service that is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LeftService {
    pub service: String,
    pub reason: String,
}
