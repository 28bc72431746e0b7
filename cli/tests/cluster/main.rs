//! The real `swarmctl` binary against the real API over a cluster in memory.

#[path = "../../../orchestrator/tests/api/memory.rs"]
mod memory;
mod same;
mod service;
mod world;
