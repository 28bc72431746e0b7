//! The manager: Raft log and storage, transport, CA, API, agent sessions, the leader's loop.
//!
//! What is decided is decided in `orchestrator-core`; here it is carried out. Read [`log`] first:
//! every change of the cluster is an entry of it; then [`manager`], which puts the parts together.

pub mod api;
pub mod ca;
pub mod log;
pub mod manager;
pub mod transport;
