//! What each command asks the API and how its answer is shown.

pub mod cluster;
pub mod deploy;
pub mod node;
pub mod service;
pub mod stack;
pub mod task;
