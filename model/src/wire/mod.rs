//! What managers and agents say to each other over the one TLS port.
//!
//! [`orders`] is what should be true on a node; [`session`] are the frames of the stream that
//! carries orders down and statuses up; [`join`] is how a host gets in, [`frame`] how frames are cut,
//! [`start`] how a manager is run.
//!
//! A frame is a 32-bit big-endian length and that many bytes of JSON, at most [`MAX_FRAME`].
//! Unknown fields are ignored, so that versions can be mixed during an upgrade.

pub mod frame;
pub mod join;
pub mod orders;
pub mod session;
pub mod start;

/// The largest frame, bytes.
pub const MAX_FRAME: usize = 64 << 20;
