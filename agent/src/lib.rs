//! Makes one host do what the managers ordered: the acting half of the agent.

pub mod clock;
pub mod disk;
pub mod engine;
pub mod ledger;
pub mod orders;
pub mod plane;
pub mod session;
pub mod transport;
pub mod worker;
