//! What the `swarmctl` binary is made of.

pub mod lab;
