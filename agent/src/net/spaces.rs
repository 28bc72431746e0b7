//! The network namespaces of local containers: finds them, loads their rules, serves their DNS.
//!
//! A namespace is found where the engine mounts it, before the container's first instruction runs,
//! and known by the addresses in it. What the agent reports of its containers comes later and only
//! adds to that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_core::net::LocalContainer;
use agent_core::net::local::{Asker, asker};
use agent_core::net::names::Vips;
use agent_core::net::rules;
use agent_core::net::vip::{self, Forget, Removed, VipTable};
use futures_util::{StreamExt, stream};
use model::wire::orders::Orders;
use nix::ifaddrs::getifaddrs;
use tracing::{debug, info, warn};

use super::dns::{self, Directory, Server, Sockets, Who};
use super::handover::Handed;
use super::kernel::netns::{Netns, Threads};
use super::kernel::{KernelError, conntrack, nft};

/// How often a new namespace is looked into while it has no address of ours.
pub const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long that goes on; after that the orders or the periodic pass must say something new.
const YOUNG: Duration = Duration::from_secs(5);
/// Namespaces under work at once.
const AT_ONCE: usize = 4;

/// All namespaces that may hold a container.
#[derive(Debug)]
pub struct Spaces {
    directories: Vec<PathBuf>,
    threads: Threads,
    directory: Arc<Directory>,
    own: u64,
    spaces: BTreeMap<PathBuf, Space>,
    /// Files on which no namespace is mounted yet, and since when.
    empty: BTreeMap<PathBuf, Instant>,
    /// Sockets of an earlier process that are to be used instead of new ones.
    inherited: BTreeMap<Handed, OwnedFd>,
}

/// Which namespaces are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Those that nobody is known to own.
    Unknown,
    All,
}

#[derive(Debug)]
struct Space {
    netns: Netns,
    found: Instant,
    addresses: BTreeSet<Ipv4Addr>,
    /// Of a container on a network of ours.
    served: Option<Served>,
}

#[derive(Debug)]
struct Served {
    server: Option<Server>,
    who: Who,
    table: VipTable,
    /// What is loaded; empty: nothing could be.
    text: String,
    /// Backends whose connections may still have to be forgotten, and how much was so far.
    lingering: BTreeMap<Removed, Option<Forget>>,
}

/// What one pass wants to do in one namespace.
struct Work {
    path: PathBuf,
    netns: Netns,
    asker: Asker,
    table: VipTable,
    old: Option<Served>,
    inherited: Option<Sockets>,
}

impl Spaces {
    /// Looks for namespaces in these directories.
    ///
    /// # Errors
    /// When this process's own namespace cannot be told.
    pub fn new(
        directories: Vec<PathBuf>,
        directory: Arc<Directory>,
        inherited: BTreeMap<Handed, OwnedFd>,
    ) -> io::Result<Spaces> {
        Ok(Spaces {
            directories,
            threads: Threads::default(),
            directory,
            own: Netns::own()?.id(),
            spaces: BTreeMap::new(),
            empty: BTreeMap::new(),
            inherited,
        })
    }

    /// Whether a namespace has appeared lately that nobody is known to own.
    #[must_use]
    pub fn has_young(&self) -> bool {
        self.spaces
            .values()
            .filter(|space| space.served.is_none())
            .map(|space| space.found)
            .chain(self.empty.values().copied())
            .any(|since| since.elapsed() < YOUNG)
    }

    /// Addresses by namespace, for tasks that have none of ours.
    #[must_use]
    pub fn addresses(&self, path: &str) -> Option<&BTreeSet<Ipv4Addr>> {
        self.spaces.get(Path::new(path)).map(|space| &space.addresses)
    }

    /// Whether a path leads to this process's own namespace: the host's.
    #[must_use]
    pub fn is_own(&self, path: &str) -> bool {
        Netns::open(Path::new(path)).is_ok_and(|netns| netns.id() == self.own)
    }

    /// Looks which namespaces are there and what addresses they have.
    pub async fn look(&mut self, local: &[LocalContainer], which: Look) {
        let mut paths: BTreeSet<PathBuf> = local
            .iter()
            .filter_map(|c| c.netns.as_deref())
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect();
        for directory in &self.directories {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
        let mut gone = BTreeSet::new();
        let mut known: BTreeMap<u64, PathBuf> = BTreeMap::new();
        let old: Vec<(PathBuf, u64)> =
            self.spaces.iter().map(|(path, space)| (path.clone(), space.netns.id())).collect();
        for (path, id) in old {
            // The same file may be another namespace by now.
            let same = paths.contains(&path) && Netns::open(&path).is_ok_and(|now| now.id() == id);
            if same {
                known.insert(id, path);
            } else {
                gone.insert(path);
            }
        }
        self.spaces.retain(|path, _| !gone.contains(path));
        self.empty.retain(|path, _| paths.contains(path));
        for path in paths {
            if self.spaces.contains_key(&path) {
                continue;
            }
            // The engine makes the file first and mounts the namespace on it a moment later.
            let Ok(netns) = Netns::open(&path) else {
                self.empty.entry(path).or_insert_with(Instant::now);
                continue;
            };
            self.empty.remove(&path);
            if netns.id() == self.own || known.contains_key(&netns.id()) {
                continue;
            }
            known.insert(netns.id(), path.clone());
            let space =
                Space { netns, found: Instant::now(), addresses: BTreeSet::new(), served: None };
            self.spaces.insert(path, space);
        }
        let threads = self.threads.clone();
        let wanted = |space: &Space| which == Look::All || space.served.is_none();
        let looks: Vec<_> = self
            .spaces
            .iter()
            .filter(|(_, space)| wanted(space))
            .map(|(path, space)| {
                let (path, netns, threads) = (path.clone(), space.netns.clone(), threads.clone());
                async move { (path, threads.inside(&netns, addresses_here).await) }
            })
            .collect();
        let seen: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        for (path, addresses) in seen {
            match (addresses, self.spaces.get_mut(&path)) {
                (Ok(addresses), Some(space)) => space.addresses = addresses,
                (Err(error), _) => {
                    debug!(path = %path.display(), %error, "looking into a namespace")
                }
                (Ok(_), None) => {}
            }
        }
    }

    /// Loads rules and starts DNS wherever something differs from the orders.
    ///
    /// Gives false when something could not be done and should be tried again.
    pub async fn apply(&mut self, orders: &Orders, local: &[LocalContainer]) -> bool {
        let mut work = Vec::new();
        for (path, space) in &mut self.spaces {
            let Some(asker) = asker(orders, local, &space.addresses) else {
                if let Some(old) = space.served.take() {
                    drop(old);
                    let _ =
                        nft::load_inside(&self.threads, &space.netns, rules::nothing("ip")).await;
                }
                continue;
            };
            let table = vip::table(orders, &asker);
            let id = space.netns.id();
            let inherited = self
                .inherited
                .remove(&Handed::DnsUdp { netns: id })
                .zip(self.inherited.remove(&Handed::DnsTcp { netns: id }))
                .map(|(udp, tcp)| Sockets { udp: udp.into(), tcp: tcp.into() });
            work.push(Work {
                path: path.clone(),
                netns: space.netns.clone(),
                asker,
                table,
                old: space.served.take(),
                inherited,
            });
        }
        let passes: Vec<_> = work
            .into_iter()
            .map(|work| {
                let (threads, directory) = (self.threads.clone(), self.directory.clone());
                async move { serve(&threads, directory, orders, work).await }
            })
            .collect();
        let done: Vec<_> = stream::iter(passes).buffer_unordered(AT_ONCE).collect().await;
        let mut whole = true;
        for (path, served, complete) in done {
            whole &= complete;
            if let Some(space) = self.spaces.get_mut(&path) {
                space.served = Some(served);
            }
        }
        whole
    }

    /// Loads every namespace's rules again, whatever was loaded before.
    pub fn distrust(&mut self) {
        for space in self.spaces.values_mut() {
            if let Some(served) = &mut space.served {
                served.text.clear();
            }
        }
    }

    /// Copies of all DNS sockets, for another process to go on with. This one answers no more.
    ///
    /// # Errors
    /// When this process has too many files open.
    pub fn hand_over(&mut self) -> io::Result<Vec<(Handed, OwnedFd)>> {
        let mut sockets = Vec::new();
        for space in self.spaces.values() {
            let netns = space.netns.id();
            if let Some(server) = space.served.as_ref().and_then(|served| served.server.as_ref()) {
                let [udp, tcp] = server.sockets()?;
                sockets.push((Handed::DnsUdp { netns }, udp));
                sockets.push((Handed::DnsTcp { netns }, tcp));
            }
        }
        self.spaces.clear();
        Ok(sockets)
    }

    /// Takes rules and sockets out of every namespace.
    pub async fn clear(&mut self) {
        for (_, space) in std::mem::take(&mut self.spaces) {
            if space.served.is_some() {
                let text = rules::nothing("ip");
                if let Err(error) = nft::load_inside(&self.threads, &space.netns, text).await {
                    warn!(%error, "rules stay in a container");
                }
            }
        }
    }
}

/// Rules first, so that a name is answered only when its address works.
async fn serve(
    threads: &Threads,
    directory: Arc<Directory>,
    orders: &Orders,
    work: Work,
) -> (PathBuf, Served, bool) {
    let Work { path, netns, asker, table, old, inherited } = work;
    let fresh = old.is_none();
    let mut served = old.unwrap_or_else(|| Served {
        server: None,
        who: Who { asker: asker.clone(), vips: Vips::Missing },
        table: VipTable::default(),
        text: String::new(),
        lingering: BTreeMap::new(),
    });
    let mut complete = true;
    let sockets = if inherited.is_some() {
        inherited
    } else if served.server.is_none() {
        match threads.inside(&netns, dns::open).await {
            Ok(sockets) => Some(sockets),
            Err(error) => {
                debug!(path = %path.display(), %error, "no DNS in a container yet");
                complete = false;
                None
            }
        }
    } else {
        None
    };
    let text = rules::container(&table);
    if text != served.text {
        match load(threads, &netns, &text).await {
            Ok(vips) => {
                served.who.vips = vips;
                served.text = text;
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "a container's rules could not be loaded");
                served.who.vips = Vips::Missing;
                complete = false;
            }
        }
    }
    for gone in vip::removed(&served.table, &table) {
        served.lingering.entry(gone).or_insert(None);
    }
    // A backend that came back is in use again.
    served.lingering.retain(|gone, _| {
        !table.services.get(&gone.vip).is_some_and(|b| b.contains(&gone.backend))
    });
    served.table = table;
    served.who.asker = asker;
    forget(threads, &netns, orders, &mut served).await;
    if let Some(server) = &served.server {
        server.set(served.who.clone());
    } else if let Some(sockets) = sockets {
        match Server::start(directory, sockets, served.who.clone()) {
            Ok(server) => served.server = Some(server),
            Err(error) => {
                warn!(path = %path.display(), %error, "no DNS in a container");
                complete = false;
            }
        }
    }
    if fresh && complete {
        info!(path = %path.display(), services = served.table.services.len(), "container wired");
    }
    (path, served, complete)
}

/// With virtual addresses if the kernel can, else with the DNS diversion alone.
async fn load(threads: &Threads, netns: &Netns, text: &str) -> Result<Vips, KernelError> {
    match nft::load_inside(threads, netns, text.to_owned()).await {
        Ok(()) => Ok(Vips::Work),
        Err(KernelError::Rules { message }) => {
            warn!(message, "virtual addresses cannot be translated here, names stand for tasks");
            let least = rules::container(&VipTable::default());
            nft::load_inside(threads, netns, least).await.map(|()| Vips::Missing)
        }
        Err(error) => Err(error),
    }
}

/// Connections to removed backends: the idle ones at once, the rest when the backend has gone.
async fn forget(threads: &Threads, netns: &Netns, orders: &Orders, served: &mut Served) {
    let mut now: BTreeMap<Removed, Forget> = BTreeMap::new();
    for (gone, so_far) in &served.lingering {
        let due = vip::forget(orders, gone.backend);
        if *so_far != Some(due) {
            now.insert(*gone, due);
        }
    }
    if now.is_empty() {
        return;
    }
    let what = now.clone();
    match threads.inside(netns, move || conntrack::forget(&what)).await {
        Ok(count) => debug!(count, "forgot connections to removed backends"),
        Err(error) => {
            debug!(%error, "connections to removed backends could not be forgotten");
            return;
        }
    }
    for (gone, due) in now {
        match due {
            Forget::Idle => {
                served.lingering.insert(gone, Some(due));
            }
            Forget::All => {
                served.lingering.remove(&gone);
            }
        }
    }
}

fn addresses_here() -> io::Result<BTreeSet<Ipv4Addr>> {
    Ok(getifaddrs()
        .map_err(io::Error::from)?
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .filter(|address| !IpAddr::V4(*address).is_loopback())
        .collect())
}
