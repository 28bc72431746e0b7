//! The data plane as the rest of the agent sees it: networks for containers, names and routes for tasks.
//!
//! The worker asks for networks before it creates a container ([`Net::ensure_networks`]) and hands
//! over every new set of orders together with the tasks that run here ([`Net::apply`]). The session
//! tells the leader how far names and routes have come ([`Net::applied`]); a planned stop waits for
//! that.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;

use model::object::Revision;
use model::wire::orders::{NetworkOrder, Orders};
use model::{NetworkId, TaskId};
use tokio::sync::watch;

/// A future that can be sent, as a trait object gives it.
pub type Sent<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A task whose container runs on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTask {
    pub task: TaskId,
    /// The engine's id of its container.
    pub container: String,
    /// Its first process, in the host's numbering.
    pub pid: i64,
    /// The file of its network namespace as the engine names it; empty when the engine has none.
    pub netns: String,
    pub addresses: BTreeMap<NetworkId, Ipv4Addr>,
    /// Its address on the engine's own default bridge.
    pub engine_address: Option<Ipv4Addr>,
    /// It shares the host's network.
    pub host_network: bool,
}

/// The data plane did not do what was asked; nothing of the container has been made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network {network}: {message}")]
pub struct NetError {
    pub network: String,
    pub message: String,
    /// Nobody said no: there was no answer, and it may be made yet. Worth asking again.
    pub unanswered: bool,
}

/// Overlay, discovery, balancing and ingress of this host. Every verb may be repeated.
pub trait Net: Send + Sync + 'static {
    /// This host is a node now, and other nodes reach it at this address. Says nothing new when it
    /// is repeated.
    fn begin(&self, advertise: IpAddr);

    /// Makes bridges and engine networks, so that a container can be attached to them.
    ///
    /// Gives the engine's name of each network.
    ///
    /// # Errors
    /// The first network that could not be made; asking again is safe.
    fn ensure_networks(
        &self,
        networks: Vec<NetworkOrder>,
    ) -> Sent<'_, Result<BTreeMap<NetworkId, String>, NetError>>;

    /// Takes what should be true now. Returns at once; a newer call replaces one not yet done.
    fn apply(&self, orders: Arc<Orders>, local: Vec<LocalTask>);

    /// The revision of the orders that names and routes on this host follow.
    fn applied(&self) -> watch::Receiver<Revision>;

    /// Removes every trace from the host: the node has left the cluster.
    ///
    /// # Errors
    /// What is left and why.
    fn remove_all(&self) -> Sent<'_, Result<(), NetError>>;
}

/// A data plane that does nothing: every order counts as applied at once. For tests, and for hosts
/// whose tasks need no cluster network.
#[derive(Debug)]
pub struct NoNet {
    applied: watch::Sender<Revision>,
}

impl Default for NoNet {
    fn default() -> Self {
        NoNet { applied: watch::Sender::new(Revision::default()) }
    }
}

impl Net for NoNet {
    fn begin(&self, _advertise: IpAddr) {}

    fn ensure_networks(
        &self,
        networks: Vec<NetworkOrder>,
    ) -> Sent<'_, Result<BTreeMap<NetworkId, String>, NetError>> {
        Box::pin(async move { Ok(networks.into_iter().map(|n| (n.id, n.name)).collect()) })
    }

    fn apply(&self, orders: Arc<Orders>, _local: Vec<LocalTask>) {
        self.applied.send_if_modified(|at| {
            let moved = *at != orders.fence.revision;
            *at = orders.fence.revision;
            moved
        });
    }

    fn applied(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    fn remove_all(&self) -> Sent<'_, Result<(), NetError>> {
        Box::pin(async { Ok(()) })
    }
}
