//! What the tests on real hosts share: labs that take themselves down.

pub mod cluster;
pub mod lab;
