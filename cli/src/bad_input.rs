//! What the user gave is wrong: nothing was sent, and the exit code is 2.

/// One message with every problem and a way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}; nothing was changed")]
pub struct BadInput(pub String);
