//! What the `swarmctl` binary is made of.
//!
//! [`commands`] has a file for each group of commands, [`client`] the calls,
//! [`endpoint`] where they go, [`contexts`] the names for that, [`output`] the tables,
//! [`wait`] the waiting and its progress, [`lab`] the cluster on one machine.

mod ago;
mod bad_input;
pub mod client;
pub mod commands;
pub mod contexts;
pub mod endpoint;
pub mod lab;
pub mod logs;
pub mod names;
pub mod output;
pub use bad_input::BadInput;
mod sealed;
mod terminal;
pub mod wait;
