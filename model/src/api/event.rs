//! One line of the event stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{Labels, nullable};

/// Docker's `events.Message`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// `service`, `node`, `secret`, `config`, `network`; of an engine also `container` and others.
    #[serde(rename = "Type")]
    pub r#type: String,
    /// `create`, `update` or `remove`; of an engine many more.
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `swarm` or `local`.
    pub scope: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes", deserialize_with = "nullable")]
    pub attributes: Labels,
}
