//! Stacks deployed by the server: `/stacks`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;
use crate::spec::{ConfigSpec, NetworkSpec, SecretSpec, ServiceSpec, nullable};

/// The body of `POST /stacks/{name}`: everything that the stack should consist of.
///
/// Names are whole, as the docker CLI makes them (`stack_name`); the server adds the stack's label.
/// Services name their networks, secrets and configs.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StackRequest {
    #[serde(alias = "networks", deserialize_with = "nullable")]
    pub networks: Vec<NetworkSpec>,
    #[serde(alias = "secrets", deserialize_with = "nullable")]
    pub secrets: Vec<SecretSpec>,
    #[serde(alias = "configs", deserialize_with = "nullable")]
    pub configs: Vec<ConfigSpec>,
    #[serde(alias = "services", deserialize_with = "nullable")]
    pub services: Vec<ServiceSpec>,
}

impl StackRequest {
    /// The same without the values of secrets.
    #[must_use]
    pub fn without_secrets(&self) -> StackRequest {
        let mut request = self.clone();
        request.secrets.iter_mut().for_each(|secret| secret.data.clear());
        request
    }
}

/// The answer: what was, or with `dryRun` would be, done.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StackReply {
    pub name: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The stack's newest revision, after what was done; absent when none is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// In the order in which it is done.
    pub changes: Vec<StackChange>,
    #[serde(deserialize_with = "nullable")]
    pub warnings: Vec<String>,
}

/// One object of the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StackChange {
    pub action: StackAction,
    /// `network`, `secret`, `config` or `service`.
    pub kind: String,
    pub name: String,
    /// Absent in a dry run that would create it.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Of an update: the fields of the spec that change, as dotted paths.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// What happens to an object of a stack.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum StackAction {
    Create,
    Update,
    Remove,
    /// It is as it should be.
    #[default]
    Keep,
}

/// One stack in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StackSummary {
    pub name: String,
    pub services: u64,
    pub networks: u64,
    pub secrets: u64,
    pub configs: u64,
}

/// One revision of a stack in the list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StackRevisionSummary {
    pub revision: u64,
    pub created_at: Moment,
    /// It was a rollback to that revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// What was deployed last.
    #[serde(skip_serializing_if = "crate::spec::is_false")]
    pub newest: bool,
    pub services: u64,
    /// Names of services, beside the revision before it; empty in the oldest.
    #[serde(deserialize_with = "nullable")]
    pub added: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub changed: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub removed: Vec<String>,
}

/// One revision of a stack: what the deployment asked for, without the values of secrets.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StackRevisionBody {
    pub name: String,
    pub revision: u64,
    pub created_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    pub request: StackRequest,
}
