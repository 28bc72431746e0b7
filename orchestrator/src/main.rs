//! orchestrator binary
fn main() {}
