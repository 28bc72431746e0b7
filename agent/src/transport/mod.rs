//! The way to the managers: one TLS port, HTTP/2, certificates of the cluster's own authority.
//!
//! [`identity`] is who this host is, [`link`] a connection to one manager, [`resolve`] names to addresses.

pub mod identity;
pub mod link;
pub mod resolve;

pub use identity::{Identity, IdentityError};
pub use link::{Link, LinkError};
