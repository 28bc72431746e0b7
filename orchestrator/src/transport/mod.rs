//! Everything between hosts: one TLS port, HTTP/2, certificates of the cluster's own authority.
//!
//! [`identity`] is who this manager is, [`server`] accepts, [`peer`] says who called and lets in
//! by role, [`client`] calls other managers, [`entry`] lets new hosts in and renews certificates.

mod client;
mod entry;
mod identity;
mod peer;
mod server;
#[cfg(test)]
mod tests;

pub use self::client::{CallError, Lane, Pool, Target};
pub use self::entry::{Entrance, admission, tell_trust};
pub use self::identity::{Identity, IdentityError, Paths};
pub use self::peer::{Admission, ManagerPeer, Peer, Refusal, anybody, for_managers, for_nodes};
pub use self::server::{ServeError, Server};
