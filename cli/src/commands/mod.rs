//! What each command asks the API and how its answer is shown.

pub mod cluster;
pub mod common;
pub mod completion;
pub mod config;
pub mod context;
pub mod convert;
pub mod dashboard;
pub mod deploy;
pub mod events;
pub mod exec;
pub mod explain;
pub mod files;
pub mod job;
pub mod lock;
pub mod network;
pub mod node;
pub mod plan;
pub mod secret;
pub mod service;
pub mod stack;
pub mod task;
pub mod top;
pub mod version;
pub mod volume;
