//! The manager: Raft log and storage, transport, CA, API, agent sessions, the leader's loop.
//!
//! What is decided is decided in `orchestrator-core`; here it is carried out. Read [`log`] first:
//! every change of the cluster is an entry of it; then [`manager`], which puts log and port
//! together, and [`wiring`], which puts sessions, [`leader`] loop and API on top.

pub mod api;
pub mod ca;
pub mod cluster;
pub mod forward;
pub mod leader;
pub mod lock;
pub mod log;
pub mod manager;
pub mod metrics;
pub mod sessions;
mod traces;
pub mod transport;
pub mod wiring;
