//! Decides which tasks should exist and where; arithmetic only, nothing here acts.
//!
//! Read in this order: [`command`] (what can happen), [`state`] (what is, and how a command
//! changes it), [`check`] (which specs are accepted), [`fit`] (which nodes may run a task), [`plan`] (what should happen next),
//! [`project`] (what each node is told), [`progress`] (how far a service is). The leader's loop in the shell is: apply the log, plan on
//! the state, propose what the plan says, send each node what changed for it.
//!
//! Deliberately absent: input and output, clocks, randomness, timers, logging. Times come in with
//! entries and calls; who wants to be asked again says when.

pub mod check;
pub mod command;
pub mod constraint;
pub mod fit;
pub mod plan;
pub mod progress;
pub mod project;
pub mod state;
#[cfg(test)]
mod test_kit;

pub use command::{Applied, Batch, Command, Entry, Refusal, Response};
pub use state::State;
