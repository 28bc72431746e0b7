//! The real `swarmctl` binary against the real API over a cluster in memory.

mod backup;
mod docs;
mod engine;
#[path = "../../../orchestrator/tests/api/front.rs"]
mod front;
#[path = "../../../orchestrator/tests/api/memory.rs"]
mod memory;
mod objects;
mod reach;
mod same;
mod service;
mod show;
mod stacks;
mod world;
mod wrong;
