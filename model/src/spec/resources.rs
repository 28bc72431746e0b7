//! What a task needs, what it may use at most, and where it may run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Extra, is_zero, nullable};

/// Limits and reservations.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourceRequirements {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Resources>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a task may use at most. 0 means no limit.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Limits {
    /// Billionths of a CPU.
    #[serde(
        default,
        rename = "NanoCPUs",
        deserialize_with = "nullable",
        skip_serializing_if = "is_zero"
    )]
    pub nano_cpus: i64,
    #[serde(
        default,
        rename = "MemoryBytes",
        deserialize_with = "nullable",
        skip_serializing_if = "is_zero"
    )]
    pub memory_bytes: i64,
    #[serde(
        default,
        rename = "Pids",
        deserialize_with = "nullable",
        skip_serializing_if = "is_zero"
    )]
    pub pids: i64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What is set aside for a task, or what a node has.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Resources {
    /// Billionths of a CPU.
    #[serde(
        default,
        rename = "NanoCPUs",
        deserialize_with = "nullable",
        skip_serializing_if = "is_zero"
    )]
    pub nano_cpus: i64,
    #[serde(
        default,
        rename = "MemoryBytes",
        deserialize_with = "nullable",
        skip_serializing_if = "is_zero"
    )]
    pub memory_bytes: i64,
    #[serde(
        default,
        rename = "GenericResources",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub generic_resources: Vec<GenericResource>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A resource of a user-given kind: a number of equal ones, or one by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenericResource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrete_resource_spec: Option<DiscreteResource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_resource_spec: Option<NamedResource>,
}

/// `Value` equal ones of `Kind`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiscreteResource {
    pub kind: String,
    pub value: i64,
}

/// The one called `Value` of `Kind`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NamedResource {
    pub kind: String,
    pub value: String,
}

/// Where tasks may run and how they spread.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Placement {
    /// `key==value` or `key!=value`, all must hold.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// Per node; 0 means no limit.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub max_replicas: u64,
    /// What the image exists for; empty means anything.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// One level of spreading.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlacementPreference {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadOver>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Spread evenly over the values of a node property.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadOver {
    /// `node.labels.NAME` or `engine.labels.NAME`.
    pub spread_descriptor: String,
}

/// An architecture and an operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Platform {
    #[serde(
        default,
        rename = "Architecture",
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub architecture: String,
    #[serde(
        default,
        rename = "OS",
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub os: String,
}
