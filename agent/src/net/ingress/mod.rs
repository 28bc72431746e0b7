//! Ingress: every published port is open on every node, and leads to all tasks of its service.
//!
//! A user-space proxy, so that a connection that one task does not take goes to the next one
//! unnoticed. A task of this node is dialled directly, one of another node through that node's
//! agent ([`relay`]); both from the client's own address where the way back allows it ([`dial`]).

pub mod dial;
pub mod pump;
pub mod relay;
pub mod tcp;
pub mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_core::net::routes::{PublishedPort, Routes, Transport};
use arc_swap::ArcSwap;
use model::wire::orders::Orders;
use model::{NodeId, TaskId};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::PortError;
use super::handover::Handed;

/// File descriptors that one proxied connection may need: two sockets and two pipes.
const FILES_A_CONNECTION: u64 = 6;
/// Connections when the limit on files is not known or unlimited.
const MOST_CONNECTIONS: usize = 100_000;
/// Connections that wait to be taken, for one port.
const BACKLOG: i32 = 4_096;
/// How long a node that did not answer is asked last.
const SUSPECT: Duration = Duration::from_secs(2);
/// How long a task is dialled from this host's address after the client's did not work.
const PLAIN: Duration = Duration::from_secs(60);

/// The proxy of this node.
#[derive(Debug)]
pub struct Ingress {
    shared: Arc<Shared>,
    open: BTreeMap<Door, Open>,
    /// Sockets of an earlier process that are to be used instead of new ones.
    inherited: BTreeMap<Door, OwnedFd>,
}

/// One listening socket.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Door {
    Published {
        port: PublishedPort,
        family: Family,
    },
    /// Where other agents hand over connections.
    Relay {
        address: IpAddr,
        port: u16,
    },
}

/// The version of IP of a socket.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Family {
    V4,
    V6,
}

#[derive(Debug)]
struct Open {
    task: JoinHandle<()>,
    /// A second hold on the socket, to hand it on.
    socket: Socket,
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    pub routes: ArcSwap<Routes>,
    /// Counts changes of the routes.
    pub changed: watch::Sender<u64>,
    pub identity: ArcSwap<Identity>,
    pub places: Arc<Semaphore>,
    most: usize,
    suspects: Recent<IpAddr>,
    plain: Recent<TaskId>,
}

/// Who this node is to others.
#[derive(Clone, Default)]
pub struct Identity {
    pub node: NodeId,
    pub relay_key: Vec<u8>,
    pub relay_port: u16,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Ingress {
    /// Nothing is open yet; these sockets of an earlier process are used instead of new ones.
    #[must_use]
    pub fn inheriting(inherited: BTreeMap<Door, OwnedFd>) -> Ingress {
        let most = most_connections();
        let shared = Arc::new(Shared {
            most,
            routes: ArcSwap::from_pointee(Routes::default()),
            changed: watch::Sender::new(0),
            identity: ArcSwap::from_pointee(Identity::default()),
            places: Arc::new(Semaphore::new(most)),
            suspects: Recent::new(SUSPECT),
            plain: Recent::new(PLAIN),
        });
        Ingress { shared, open: BTreeMap::new(), inherited }
    }

    /// Opens and closes ports and leads new connections by these routes. Gives the ports that
    /// could not be opened; they are tried again at the next call.
    pub async fn apply(
        &mut self,
        orders: &Orders,
        routes: Routes,
        relay: SocketAddr,
    ) -> Vec<PortError> {
        let mut wanted: BTreeSet<Door> = BTreeSet::new();
        for port in routes.ports.keys() {
            for family in [Family::V4, Family::V6] {
                wanted.insert(Door::Published { port: *port, family });
            }
        }
        wanted.insert(Door::Relay { address: relay.ip(), port: relay.port() });
        let services: BTreeMap<PublishedPort, String> =
            routes.ports.iter().map(|(port, to)| (*port, to.service_name.clone())).collect();

        self.shared.identity.store(Arc::new(Identity {
            node: orders.node.id,
            relay_key: orders.cluster.relay_key.clone().into_bytes(),
            relay_port: relay.port(),
        }));
        if **self.shared.routes.load() != routes {
            crate::metrics::keep_services(|name| services.values().any(|known| known == name));
            self.shared.routes.store(Arc::new(routes));
            self.shared.changed.send_modify(|count| *count += 1);
        }

        let closing: Vec<Door> =
            self.open.keys().filter(|door| !wanted.contains(door)).copied().collect();
        for door in closing {
            self.close(door).await;
        }
        let mut errors = Vec::new();
        for door in wanted {
            if self.open.get(&door).is_some_and(|open| !open.task.is_finished()) {
                continue;
            }
            match self.open_door(door) {
                Ok(open) => {
                    self.open.insert(door, open);
                }
                // No IPv6 on this host: nothing is missing.
                Err(error) if door.is_v6() && is_unsupported(&error) => {}
                Err(error) => errors.push((door, error)),
            }
        }
        self.inherited.clear();
        errors
            .into_iter()
            .map(|(door, error)| match door {
                Door::Published { port, .. } => PortError {
                    port: Some(port),
                    service: services.get(&port).cloned().unwrap_or_default(),
                    message: error.to_string(),
                },
                Door::Relay { .. } => PortError {
                    port: None,
                    service: String::new(),
                    message: format!("relay at {relay}: {error}"),
                },
            })
            .collect()
    }

    /// Copies of all listening sockets, for another process to go on with. This one takes nothing
    /// new; its connections go on.
    ///
    /// # Errors
    /// When this process has too many files open.
    pub fn hand_over(&mut self) -> io::Result<Vec<(Handed, OwnedFd)>> {
        let mut sockets = Vec::new();
        for (door, open) in &self.open {
            sockets.push((Handed::Door(*door), open.socket.try_clone()?.into()));
        }
        for (_, open) in std::mem::take(&mut self.open) {
            open.task.abort();
        }
        Ok(sockets)
    }

    /// What the connections share.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Closes every port. Connections that are open go on.
    pub async fn clear(&mut self) {
        for door in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(door).await;
        }
        self.shared.routes.store(Arc::new(Routes::default()));
        self.shared.changed.send_modify(|count| *count += 1);
    }

    async fn close(&mut self, door: Door) {
        if let Some(open) = self.open.remove(&door) {
            open.task.abort();
            // The socket is closed when its task has gone, not before.
            let _ = open.task.await;
            info!(?door, "port closed");
        }
    }

    fn open_door(&mut self, door: Door) -> io::Result<Open> {
        let socket = match self.inherited.remove(&door) {
            Some(socket) => Socket::from(socket),
            None => listen(door)?,
        };
        let copy = socket.try_clone()?;
        let shared = self.shared.clone();
        let task = match door {
            Door::Published { port, .. } => match port.transport {
                Transport::Tcp => {
                    let listener = tokio::net::TcpListener::from_std(socket.into())?;
                    tokio::spawn(tcp::serve(shared, port, listener))
                }
                Transport::Udp => {
                    let socket = tokio::net::UdpSocket::from_std(socket.into())?;
                    tokio::spawn(udp::serve(shared, port, socket))
                }
            },
            Door::Relay { .. } => {
                let listener = tokio::net::TcpListener::from_std(socket.into())?;
                tokio::spawn(relay::serve(shared, listener))
            }
        };
        info!(?door, "port open");
        Ok(Open { task, socket: copy })
    }
}

impl Door {
    fn address(self) -> SocketAddr {
        match self {
            Door::Published { port, family: Family::V4 } => {
                (Ipv4Addr::UNSPECIFIED, port.port).into()
            }
            Door::Published { port, family: Family::V6 } => {
                (Ipv6Addr::UNSPECIFIED, port.port).into()
            }
            Door::Relay { address, port } => (address, port).into(),
        }
    }

    fn transport(self) -> Transport {
        match self {
            Door::Published { port, .. } => port.transport,
            Door::Relay { .. } => Transport::Tcp,
        }
    }

    fn is_v6(self) -> bool {
        matches!(self, Door::Published { family: Family::V6, .. })
    }
}

fn listen(door: Door) -> io::Result<Socket> {
    let address = door.address();
    let domain = Domain::for_address(address);
    let socket = match door.transport() {
        Transport::Tcp => Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?,
        Transport::Udp => Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?,
    };
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match door.transport() {
        Transport::Tcp => {
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
        }
        Transport::Udp => {
            udp::ask_for_destinations(&socket, address)?;
            socket.bind(&address.into())?;
        }
    }
    Ok(socket)
}

fn is_unsupported(error: &io::Error) -> bool {
    [Some(nix::libc::EAFNOSUPPORT), Some(nix::libc::EADDRNOTAVAIL)].contains(&error.raw_os_error())
}

/// As many as the limit on files allows, after raising that as far as it goes.
fn most_connections() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return MOST_CONNECTIONS };
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        warn!(%error, soft, "the limit on open files stays");
    }
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(soft, |(soft, _)| soft);
    usize::try_from(files / FILES_A_CONNECTION)
        .map_or(MOST_CONNECTIONS, |n| n.min(MOST_CONNECTIONS))
}

impl Shared {
    /// Connections that are open.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// The name of the service that a port belongs to.
    #[must_use]
    pub fn service_at(&self, port: PublishedPort) -> String {
        let routes = self.routes.load();
        routes.ports.get(&port).map_or_else(String::new, |port| port.service_name.clone())
    }

    /// A node that did not answer is asked last for a while.
    pub fn suspect(&self, node: IpAddr) {
        self.suspects.add(node);
    }

    #[must_use]
    pub fn is_suspect(&self, node: IpAddr) -> bool {
        self.suspects.has(&node)
    }

    /// The client's address did not work as source towards this task.
    pub fn use_plain(&self, task: TaskId) {
        self.plain.add(task);
    }

    #[must_use]
    pub fn is_plain(&self, task: TaskId) -> bool {
        self.plain.has(&task)
    }
}

/// Things that happened lately.
#[derive(Debug)]
struct Recent<T> {
    lasts: Duration,
    list: Mutex<BTreeMap<T, Instant>>,
}

impl<T: Ord> Recent<T> {
    fn new(lasts: Duration) -> Recent<T> {
        Recent { lasts, list: Mutex::new(BTreeMap::new()) }
    }

    fn add(&self, what: T) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|_, since| since.elapsed() < self.lasts);
        list.insert(what, Instant::now());
    }

    fn has(&self, what: &T) -> bool {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.get(what).is_some_and(|since| since.elapsed() < self.lasts)
    }
}
