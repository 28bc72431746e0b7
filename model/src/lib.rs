//! The words of the system: ids, quantities, specs, objects, task life cycle, reasons, wire messages.
//!
//! Every other crate speaks in these types. Nothing here acts and nothing decides; the only
//! behaviour is what a word means (its text form, its order, which move of a life cycle is legal).
//!
//! Read in this order: [`id`] and [`time`], [`spec`] (what users ask for, in Docker's own JSON),
//! [`object`] (what the cluster keeps), [`lifecycle`] (how a task lives), [`reason`] (why something
//! waits), [`wire`] (what managers and agents say to each other), [`api`] (what clients see),
//! [`json`] (how requests are read), [`metrics`] (what is measured).

pub mod api;
pub mod id;
pub mod json;
pub mod lifecycle;
pub mod metrics;
pub mod object;
pub mod reason;
pub mod spec;
pub mod time;
pub mod wire;

pub use id::{ClusterId, ConfigId, Id, NetworkId, NodeId, SecretId, ServiceId, TaskId};
pub use lifecycle::{Desired, TaskState};
pub use time::{Millis, Timestamp};
