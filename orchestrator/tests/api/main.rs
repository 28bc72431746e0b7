//! The API over a cluster in memory: its answers, the recordings of a real engine, the docker CLI,
//! bollard.

mod answers;
mod client;
mod docker_cli;
mod front;
mod memory;
mod metrics;
mod recordings;
mod rust_client;
mod streams;
