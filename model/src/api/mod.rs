//! What clients see: the answers of the API, as the managers write and the CLI reads them.
//!
//! Docker's objects have Docker's field names, presence and order; specs inside them are those of
//! [`crate::spec`]. Read from any engine: unknown fields are ignored, absent and null fields are
//! the type's default, ids are plain text (an engine's own networks have ids of another form).
//!
//! Deliberately absent: how an answer is made from the cluster's objects (the orchestrator's
//! `api::render`), and anything that could leak: registry credentials, secret data.

mod backup;
mod event;
mod explain;
mod network;
mod node;
mod progress;
mod rebalance;
mod secret;
mod service;
mod stack;
mod swarm;
mod task;
mod time;
mod watch;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use backup::*;
pub use event::*;
pub use explain::*;
pub use network::*;
pub use node::*;
pub use progress::*;
pub use rebalance::*;
pub use secret::*;
pub use service::*;
pub use stack::*;
pub use swarm::*;
pub use task::*;
pub use time::*;
pub use watch::*;

use crate::object::Version;

/// The newest Docker API version that is spoken.
pub const API_VERSION: &str = "1.51";

/// The oldest one that is understood.
pub const MIN_API_VERSION: &str = "1.24";

/// A client of our own sends this header, with any value, to see states that Docker lacks
/// (`draining`) under their own names.
pub const EXACT_STATES_HEADER: &str = "x-swarmctl-states";

/// Docker's form of a version: `{"Index": 7}`; zero writes as `{}`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "PascalCase", default)]
pub struct Index {
    #[serde(skip_serializing_if = "crate::spec::is_zero")]
    pub index: u64,
}

impl From<Version> for Index {
    fn from(version: Version) -> Self {
        Index { index: version.0 }
    }
}

/// The body of every refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    pub message: String,
}

/// The answer to a creation, but for networks ([`NetworkCreated`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Created {
    #[serde(rename = "ID")]
    pub id: String,
    /// What was accepted but will not do all that it says.
    #[serde(
        rename = "Warnings",
        deserialize_with = "crate::spec::nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub warnings: Vec<String>,
}

/// The answer to the update of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceUpdated {
    /// Null when there is nothing to warn of.
    pub warnings: Option<Vec<String>>,
}
