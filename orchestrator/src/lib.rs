//! The manager: acts on what the core decides.

pub mod api;
