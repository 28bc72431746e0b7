//! The API over a cluster in memory: its answers, the recordings of a real engine, the docker CLI,
//! bollard.

mod answers;
mod backup;
mod client;
mod docker_ca;
mod docker_cli;
mod docker_list;
mod front;
mod memory;
mod metrics;
mod openapi;
mod programs;
mod recordings;
mod rust_client;
mod stacks;
mod streams;
mod transfer;
mod watchers;
