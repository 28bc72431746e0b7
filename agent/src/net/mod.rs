//! The data plane of a node: overlay, virtual addresses, DNS, ingress.
//!
//! [`host`] is what the rest of the agent holds. [`DataPlane`] is the handle below it; behind that,
//! usually in a process of its own ([`process`]), runs one loop
//! ([`plane`]) that brings the kernel ([`kernel`]), the containers' namespaces ([`spaces`]), names
//! ([`dns`]) and published ports ([`ingress`]) to what the orders say. What is decided is decided in
//! `agent_core::net`; here it is done.

pub mod dns;
pub mod handover;
pub mod host;
pub mod ingress;
pub mod kernel;
pub mod plane;
pub mod process;
pub mod spaces;
pub mod watch;

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use agent_core::net::LocalContainer;
use agent_core::net::routes::PublishedPort;
use model::object::Revision;
use model::wire::orders::{NetworkOrder, Orders};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch as watching};
use tracing::error;

use self::handover::Handed;
use self::plane::{Desired, HandedOver, Plane, Reports, Request};
use self::process::Program;

/// What the data plane must know of its host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// This node's address among the others: tunnels and relays use it.
    pub advertise: IpAddr,
    /// Where the engine mounts the namespaces of its containers.
    pub netns_directories: Vec<PathBuf>,
    /// Names the servers for what is not ours.
    pub resolv_conf: PathBuf,
}

impl Config {
    /// With the engine's and the host's usual places.
    #[must_use]
    pub fn new(advertise: IpAddr) -> Config {
        Config {
            advertise,
            netns_directories: plane::engine_directories(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
        }
    }
}

/// A port that could not be opened on this node. All others serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortError {
    /// Absent: the relay for connections from other nodes.
    pub port: Option<PublishedPort>,
    pub service: String,
    pub message: String,
}

/// The data plane did not do what was asked; asking again is safe.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    #[error("the data plane has stopped")]
    Stopped,
    #[error("{0}")]
    Failed(String),
}

/// The handle of a running data plane. When the last clone goes, the loop ends and leaves the
/// kernel as it is: containers keep their networks and virtual addresses.
#[derive(Clone, Debug)]
pub struct DataPlane {
    desired: watching::Sender<Desired>,
    requests: mpsc::Sender<Request>,
    applied: watching::Receiver<Revision>,
    port_errors: watching::Receiver<Vec<PortError>>,
}

/// Requests that wait for the loop.
const MOST_REQUESTS: usize = 64;

impl DataPlane {
    /// Starts the loop. It does nothing to the kernel's links before the first orders come.
    ///
    /// # Errors
    /// When the kernel gives no netlink socket: not root, or no Linux.
    pub fn start(config: Config) -> std::io::Result<DataPlane> {
        DataPlane::start_inheriting(config, Vec::new())
    }

    /// Starts the loop with the sockets of an earlier process.
    ///
    /// # Errors
    /// As [`DataPlane::start`].
    pub fn start_inheriting(
        config: Config,
        handed: Vec<(Handed, OwnedFd)>,
    ) -> std::io::Result<DataPlane> {
        let (desired, desired_there) = watching::channel(Desired::default());
        let (requests, requests_there) = mpsc::channel(MOST_REQUESTS);
        let (applied_there, applied) = watching::channel(Revision::default());
        let (errors_there, port_errors) = watching::channel(Vec::new());
        let reports = Reports { applied: applied_there, port_errors: errors_there };
        let plane = Plane::new(config, handed, reports)?;
        tokio::spawn(async move {
            if let Err(error) = plane.run(desired_there, requests_there).await {
                error!(%error, "the data plane has stopped");
            }
        });
        Ok(DataPlane { desired, requests, applied, port_errors })
    }

    /// Uses the data plane that runs as a process of its own, and starts it where there is none.
    /// When the handle goes, the process goes on.
    #[must_use]
    pub fn attach(config: Config, program: Program) -> DataPlane {
        let (desired, desired_there) = watching::channel(Desired::default());
        let (requests, requests_there) = mpsc::channel(MOST_REQUESTS);
        let (applied_there, applied) = watching::channel(Revision::default());
        let (errors_there, port_errors) = watching::channel(Vec::new());
        tokio::spawn(process::keep(
            config,
            program,
            desired_there,
            requests_there,
            applied_there,
            errors_there,
        ));
        DataPlane { desired, requests, applied, port_errors }
    }

    /// Takes new orders. Returns at once; the last one wins.
    pub fn apply(&self, orders: Arc<Orders>) {
        self.desired.send_modify(|desired| desired.orders = orders);
    }

    /// Takes the containers of this host. Returns at once; the last one wins.
    pub fn set_local(&self, local: Vec<LocalContainer>) {
        self.desired.send_if_modified(|desired| {
            let changed = *desired.local != local;
            if changed {
                desired.local = Arc::new(local);
            }
            changed
        });
    }

    /// The revision that names and routes on this host follow.
    #[must_use]
    pub fn applied(&self) -> watching::Receiver<Revision> {
        self.applied.clone()
    }

    /// Ports that are ordered and could not be opened here.
    #[must_use]
    pub fn port_errors(&self) -> watching::Receiver<Vec<PortError>> {
        self.port_errors.clone()
    }

    /// Makes bridge and tunnel of a network of these orders, so that the engine can use the bridge.
    /// Gives the network's MTU.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn ensure_links(
        &self,
        network: NetworkOrder,
        orders: Arc<Orders>,
    ) -> Result<u32, DataPlaneError> {
        self.request(|done| Request::Ensure { network: Box::new(network), peers: orders, done })
            .await
    }

    /// Removes every object of ours from the kernel and closes every port.
    ///
    /// # Errors
    /// What is left and why.
    pub async fn clear(&self) -> Result<(), DataPlaneError> {
        self.request(|done| Request::Clear { done }).await
    }

    /// Ends the loop, or the process; the kernel keeps what it has.
    pub async fn stop(&self) {
        // Stopped already is as good.
        let _ = self.requests.send(Request::Stop).await;
    }

    async fn hand_over(&self) -> Result<HandedOver, DataPlaneError> {
        self.request(|done| Request::HandOver { done }).await
    }

    async fn request<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Request,
    ) -> Result<T, DataPlaneError> {
        let (done, result) = oneshot::channel();
        self.requests.send(make(done)).await.map_err(|_| DataPlaneError::Stopped)?;
        result.await.map_err(|_| DataPlaneError::Stopped)?.map_err(DataPlaneError::Failed)
    }
}
