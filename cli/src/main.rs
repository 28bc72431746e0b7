//! cli binary
fn main() {}
