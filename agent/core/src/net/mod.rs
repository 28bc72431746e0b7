//! What a node's kernel, DNS and ingress should hold, worked out from orders and local containers.
//!
//! Input: [`Orders`](model::wire::orders::Orders), the node's containers, what the kernel has now.
//! Output: steps, rule sets as text, answers, tables of routes. Nothing here touches a socket: the
//! shell (`agent/src/net`) reads the kernel, calls these functions and does what they say.
//!
//! Read in this order: [`overlay`] (bridges, tunnels, static forwarding), [`rules`] (nftables text
//! of the host and of a container), [`vip`] (virtual addresses), [`names`] and [`message`] (DNS),
//! [`routes`] (ingress and relays), [`relay`] (the header between two agents).

pub mod local;
pub mod message;
pub mod names;
pub mod overlay;
pub mod relay;
pub mod routes;
pub mod rules;
pub mod vip;

pub use local::LocalContainer;
