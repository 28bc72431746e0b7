//! The deciding half of the agent: the next step of a task, network diffs, DNS answers, routing. Pure.

pub mod intake;
pub mod net;
pub mod worker;
