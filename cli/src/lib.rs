//! What the `swarmctl` binary is made of.
//!
//! [`commands`] has a file for each group of commands, [`client`] the calls, [`output`] the tables,
//! [`wait`] the waiting and its progress, [`lab`] the cluster on one machine.

mod ago;
mod bad_input;
pub mod client;
pub mod commands;
pub mod lab;
pub mod logs;
pub mod names;
pub mod output;
pub use bad_input::BadInput;
mod terminal;
pub mod wait;
