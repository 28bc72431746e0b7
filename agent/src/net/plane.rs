//! The data plane's loop: whatever wakes it, it brings kernel, names and routes to what is ordered.
//!
//! Level-triggered. Each pass compares the whole of what should be with what is and does the
//! difference, in the order that loses nothing: ways to new tasks first, then virtual addresses,
//! then names and ingress; ways to old tasks go last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_core::net::LocalContainer;
use agent_core::net::names::Names;
use agent_core::net::overlay::{self, Segment, Step, Underlay};
use agent_core::net::routes::Routes;
use agent_core::net::rules;
use model::NetworkId;
use model::object::Revision;
use model::wire::orders::{NetworkOrder, Orders};
use model::wire::start::DATA_PATH_PORT;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

use super::dns::Directory;
use super::handover::Handed;
use super::ingress::{Ingress, Shared};
use super::kernel::links::Links;
use super::kernel::{KernelError, nft, sysctl};
use super::spaces::{LOOK_AGAIN, Look, Spaces};
use super::watch::{self as wakers, Directories};
use super::{Config, PortError};

/// Everything is read from the kernel again this often, whatever seems to be there.
const RESYNC: Duration = Duration::from_secs(60);
/// Several changes of links in a row are one piece of damage.
const SETTLE: Duration = Duration::from_millis(50);
/// A pass that could not be completed is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// After so many, the revision counts as applied all the same: one broken container must not hold
/// up the whole cluster.
const MOST_TRIES: u32 = 4;
/// How often it is checked that the watched directories are still the same.
const CHECK_DIRECTORIES: Duration = Duration::from_secs(1);

/// What should be.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    pub orders: Arc<Orders>,
    pub local: Arc<Vec<LocalContainer>>,
}

/// What the loop is asked besides.
#[derive(Debug)]
pub enum Request {
    /// Bridge and tunnel of a network, now.
    Ensure {
        network: Box<NetworkOrder>,
        peers: Arc<Orders>,
        done: oneshot::Sender<Result<u32, String>>,
    },
    /// Nothing of ours may be left.
    Clear { done: oneshot::Sender<Result<(), String>> },
    /// Another process goes on: all listening sockets, and what tells when connections have ended.
    HandOver { done: oneshot::Sender<Result<HandedOver, String>> },
    /// End, and leave the kernel as it is.
    Stop,
}

/// What a process gives its successor, and what tells it when its own connections have ended.
pub type HandedOver = (Vec<(Handed, OwnedFd)>, Arc<Shared>);

/// What the loop tells.
#[derive(Debug)]
pub struct Reports {
    pub applied: watch::Sender<Revision>,
    pub port_errors: watch::Sender<Vec<PortError>>,
}

/// The loop and all it keeps.
pub struct Plane {
    config: Config,
    links: Links,
    spaces: Spaces,
    directory: Arc<Directory>,
    ingress: Ingress,
    reports: Reports,
    /// Asked for by [`Request::Ensure`] and not yet in the orders.
    ensured: BTreeMap<NetworkId, Segment>,
    segments: Option<Vec<Segment>>,
    host_rules: String,
    underlay: Option<Underlay>,
    /// The underlay that the log knows of.
    told: Option<Underlay>,
    tries: u32,
    /// Orders by which nothing is done: those before the first, which would take away what an
    /// earlier process left in the kernel, and those that were cleared away.
    void: Arc<Orders>,
}

/// Whether a pass trusts what it did before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Changes,
    Whole,
}

impl Plane {
    /// Opens what the loop needs.
    ///
    /// # Errors
    /// When the kernel gives no netlink socket.
    pub fn new(
        config: Config,
        handed: Vec<(Handed, OwnedFd)>,
        reports: Reports,
    ) -> io::Result<Plane> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let directory = Arc::new(Directory::new(config.resolv_conf.clone()));
        let mut doors = BTreeMap::new();
        let mut dns = BTreeMap::new();
        for (what, socket) in handed {
            match what {
                Handed::Door(door) => {
                    doors.insert(door, socket);
                }
                Handed::DnsUdp { .. } | Handed::DnsTcp { .. } => {
                    dns.insert(what, socket);
                }
            }
        }
        let ingress = Ingress::inheriting(doors);
        let spaces = Spaces::new(config.netns_directories.clone(), directory.clone(), dns)?;
        Ok(Plane {
            config,
            links: Links::new(handle),
            spaces,
            directory,
            ingress,
            reports,
            ensured: BTreeMap::new(),
            segments: None,
            host_rules: String::new(),
            underlay: None,
            told: None,
            tries: 0,
            void: Arc::default(),
        })
    }

    /// Runs until nobody holds the other ends any more.
    ///
    /// # Errors
    /// When namespaces or links cannot be watched.
    pub async fn run(
        mut self,
        mut desired: watch::Receiver<Desired>,
        mut requests: mpsc::Receiver<Request>,
    ) -> io::Result<()> {
        sysctl::prepare_host();
        if let Err(error) = self.links.ensure_transparent_route().await {
            warn!(%error, "clients' addresses cannot be kept");
        }
        let mut directories = Directories::new(&self.config.netns_directories)?;
        let mut damage = wakers::links()?;
        let mut resync = interval(RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        resync.tick().await;
        let mut check = interval(CHECK_DIRECTORIES);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again: Option<Instant> = None;
        loop {
            let look_again = self.spaces.has_young().then(|| Instant::now() + LOOK_AGAIN);
            let wake = [again, look_again].into_iter().flatten().min();
            let pass = tokio::select! {
                changed = desired.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.tries = 0;
                    Pass::Changes
                }
                request = requests.recv() => match request {
                    None => return Ok(()),
                    Some(Request::Stop) => return Ok(()),
                    Some(Request::HandOver { done }) => {
                        let _ = done.send(self.hand_over().map_err(|error| error.to_string()));
                        return Ok(());
                    }
                    Some(Request::Ensure { network, peers, done }) => {
                        let outcome = self.ensure(*network, &peers, &desired).await;
                        let _ = done.send(outcome.map_err(|error| error.to_string()));
                        continue;
                    }
                    Some(Request::Clear { done }) => {
                        self.void = desired.borrow_and_update().orders.clone();
                        let _ = done.send(self.clear().await.map_err(|error| error.to_string()));
                        continue;
                    }
                },
                Some(()) = directories.changed() => Pass::Changes,
                Some(()) = damage.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    while damage.try_recv().is_ok() {}
                    self.segments = None;
                    Pass::Changes
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    Pass::Changes
                }
                _ = check.tick() => {
                    if !directories.refresh() {
                        continue;
                    }
                    Pass::Changes
                }
                _ = resync.tick() => Pass::Whole,
            };
            let now = desired.borrow_and_update().clone();
            let first = now.orders.fence.revision == Revision::default();
            if first || Arc::ptr_eq(&now.orders, &self.void) {
                continue;
            }
            let complete = self.pass(&now, pass).await;
            self.tries = if complete { 0 } else { self.tries + 1 };
            again = (!complete).then(|| Instant::now() + AGAIN);
            if complete || self.tries >= MOST_TRIES {
                let revision = now.orders.fence.revision;
                self.reports
                    .applied
                    .send_if_modified(|at| std::mem::replace(at, revision) != revision);
            }
        }
    }

    /// One pass. False when something should be tried again.
    async fn pass(&mut self, desired: &Desired, pass: Pass) -> bool {
        let Desired { orders, local } = desired;
        let mut complete = true;
        if pass == Pass::Whole {
            self.underlay = None;
            self.segments = None;
            self.host_rules.clear();
            self.spaces.distrust();
            sysctl::prepare_host();
            if let Err(error) = self.links.ensure_transparent_route().await {
                warn!(%error, "clients' addresses cannot be kept");
            }
        }
        self.ensured.retain(|id, _| !orders.networks.contains_key(id));
        let later = match self.overlay(orders).await {
            Ok(later) => later,
            Err(error) => {
                warn!(%error, "the overlay is not complete");
                complete = false;
                Vec::new()
            }
        };
        let which = if pass == Pass::Whole { Look::All } else { Look::Unknown };
        self.spaces.look(local, which).await;
        complete &= self.spaces.apply(orders, local).await;
        self.directory.set(Names::new(orders, local));
        let routes = Routes::new(orders, &self.with_engine_addresses(local));
        let relay = (self.config.advertise, self.port(orders)).into();
        let errors = self.ingress.apply(orders, routes, relay).await;
        self.reports.port_errors.send_if_modified(|old| {
            let changed = *old != errors;
            *old = errors;
            changed
        });
        if !later.is_empty()
            && let Err(error) = self.links.perform(&later).await
        {
            warn!(%error, "old ways stay in the overlay");
            self.segments = None;
            complete = false;
        }
        complete
    }

    /// Rules, links and ways to new tasks. Gives what is to be done once nobody uses the old ones.
    async fn overlay(&mut self, orders: &Orders) -> Result<Vec<Step>, KernelError> {
        let underlay = self.underlay(orders).await?;
        let mut segments = overlay::desired(orders, &underlay);
        segments.extend(self.ensured.values().cloned());
        let peers: BTreeSet<IpAddr> =
            orders.peers.values().filter_map(|peer| peer.address.parse().ok()).collect();
        let text = rules::host(&segments, &peers, underlay.port);
        if text != self.host_rules {
            // Without these rules networks are only as far apart as the engine keeps them.
            match nft::load_here(text.clone()).await {
                Ok(()) => self.host_rules = text,
                Err(error) => warn!(%error, "the host's rules could not be loaded"),
            }
        }
        if self.segments.as_ref() == Some(&segments) {
            return Ok(Vec::new());
        }
        self.segments = None;
        let kernel = self.links.read().await?;
        let steps = overlay::diff(&segments, &kernel, &underlay);
        let (later, first): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(is_removal);
        if !first.is_empty() {
            debug!(steps = first.len(), "mending the overlay");
            self.links.perform(&first).await?;
        }
        self.segments = Some(segments);
        Ok(later)
    }

    async fn underlay(&mut self, orders: &Orders) -> Result<Underlay, KernelError> {
        let port = self.port(orders);
        if let Some(underlay) = self.underlay.filter(|underlay| underlay.port == port) {
            return Ok(underlay);
        }
        let underlay = self.links.underlay(self.config.advertise, port).await?;
        if self.told != Some(underlay) {
            info!(address = %underlay.local, mtu = underlay.mtu, port, "the overlay runs over");
            self.told = Some(underlay);
        }
        self.underlay = Some(underlay);
        Ok(underlay)
    }

    fn port(&self, orders: &Orders) -> u16 {
        match orders.cluster.data_path_port {
            0 => DATA_PATH_PORT,
            port => port,
        }
    }

    /// A task without network of ours is reached where the engine has put it.
    fn with_engine_addresses(&self, local: &[LocalContainer]) -> Vec<LocalContainer> {
        let mut list = local.to_vec();
        for container in &mut list {
            if container.engine_address.is_some() || !container.addresses.is_empty() {
                continue;
            }
            let Some(path) = container.netns.as_deref() else { continue };
            match self.spaces.addresses(path) {
                Some(addresses) => {
                    container.engine_address = addresses.iter().next().copied();
                }
                None => container.host_network |= self.spaces.is_own(path),
            }
        }
        list
    }

    fn hand_over(&mut self) -> io::Result<HandedOver> {
        let mut sockets = self.ingress.hand_over()?;
        sockets.extend(self.spaces.hand_over()?);
        Ok((sockets, self.ingress.shared()))
    }

    /// Gives the network's MTU.
    async fn ensure(
        &mut self,
        network: NetworkOrder,
        peers: &Orders,
        desired: &watch::Receiver<Desired>,
    ) -> Result<u32, KernelError> {
        let orders = desired.borrow().orders.clone();
        let underlay = self.underlay(peers).await?;
        let segment = overlay::segment(&network, peers, &underlay);
        let mtu = segment.mtu;
        if !orders.networks.contains_key(&network.id) {
            self.ensured.insert(network.id, segment.clone());
        }
        let bridge_there = self.segments.as_ref().is_some_and(|have| have.contains(&segment));
        if bridge_there {
            return Ok(mtu);
        }
        // Only this network: the rest has its turn when the orders come.
        let kernel = self.links.read().await?;
        let id = overlay::link_id(network.id);
        let one = kernel.into_iter().filter(|(found, _)| *found == id).collect();
        let steps: Vec<Step> = overlay::diff(&[segment], &one, &underlay)
            .into_iter()
            .filter(|step| !is_removal(step))
            .collect();
        self.links.perform(&steps).await?;
        self.segments = None;
        Ok(mtu)
    }

    /// Takes everything back.
    async fn clear(&mut self) -> Result<(), KernelError> {
        self.ensured.clear();
        self.segments = None;
        self.host_rules.clear();
        self.ingress.clear().await;
        self.spaces.clear().await;
        self.directory.set(Names::default());
        let kernel = self.links.read().await?;
        self.links.perform(&overlay::delete_all(&kernel)).await?;
        self.links.remove_transparent_route().await?;
        match nft::load_here(rules::nothing("inet")).await {
            // No program, no rules.
            Ok(()) | Err(KernelError::NoNft) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Steps that may only be done when nothing is sent that way any more.
fn is_removal(step: &Step) -> bool {
    match step {
        Step::DeleteTunnel { .. }
        | Step::DeleteForward { .. }
        | Step::DeleteNeighbour { .. }
        | Step::DeleteFlood { .. } => true,
        Step::AddBridge { .. }
        | Step::SetBridge { .. }
        | Step::AddAddress { .. }
        | Step::AddVxlan { .. }
        | Step::Enslave { .. }
        | Step::DeleteLink { .. }
        | Step::SetRemote { .. }
        | Step::AddFlood { .. } => false,
    }
}

/// Where the engine mounts namespaces unless told otherwise.
#[must_use]
pub fn engine_directories() -> Vec<PathBuf> {
    vec![PathBuf::from("/var/run/docker/netns")]
}
