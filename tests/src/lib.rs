//! Tests of the whole: the simulator with its invariants, and what the tests on real hosts share.

pub mod cluster;
pub mod lab;
pub mod sim;
