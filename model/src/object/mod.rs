//! What the cluster keeps: one struct for each kind of object in the replicated state.
//!
//! Only `State::apply` makes and changes these. They hold what must survive a change of leader and
//! nothing else: heartbeats and acknowledged revisions stay in the leader's memory.

mod cluster;
mod network;
mod node;
mod service;
mod stack;
mod task;

use serde::{Deserialize, Serialize};

pub use cluster::*;
pub use network::*;
pub use node::*;
pub use service::*;
pub use stack::*;
pub use task::*;

use crate::time::Timestamp;

/// The position in the log of the last write that a client can see: Docker's `Version.Index`.
///
/// It moves when a spec changes, not when the planner or an agent writes, so that a client's
/// read-modify-write fails only when another client came between.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

/// A position in the log: everything up to it has been applied.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// What every object carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub version: Version,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
