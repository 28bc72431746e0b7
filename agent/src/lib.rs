//! Makes one host do what the managers ordered: the acting half of the agent.

pub mod engine;
pub mod plane;
