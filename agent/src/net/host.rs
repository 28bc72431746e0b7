//! The data plane of a host and the engine's half of its networks, as the rest of the agent uses them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_core::net::LocalContainer;
use agent_core::net::overlay::bridge_name;
use model::NetworkId;
use model::object::Revision;
use model::wire::orders::{NetworkOrder, Orders};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::process::Program;
use super::{Config, DataPlane};
use crate::config::LogFormat;
use crate::engine::EngineError;
use crate::engine::http::Endpoint;
use crate::networks;
use crate::plane::{LocalTask, Net, NetError, Sent};

/// How often the engine's half of a network that is not ordered any more is looked at while a
/// container still holds it, and otherwise.
const LEFT: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_secs(60);
/// How long the data plane has to make a network; the agent asks again after that.
const ENSURE: Duration = Duration::from_secs(20);
/// How long it has to clear everything away.
const CLEAR: Duration = Duration::from_secs(30);

/// [`Net`] for real: the data plane in its own process, the networks in the engine.
pub struct HostNet {
    engine: Endpoint,
    program: Program,
    plane: Mutex<Option<Running>>,
    orders: watch::Sender<Arc<Orders>>,
    applied: Arc<watch::Sender<Revision>>,
    /// Held while the engine makes a network: tasks that start together want the same one, and the
    /// engine refuses a second of the same subnet.
    making: tokio::sync::Mutex<()>,
}

struct Running {
    advertise: IpAddr,
    plane: DataPlane,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl HostNet {
    /// Nothing runs before [`Net::begin`]. The data plane's socket is put at `socket`.
    #[must_use]
    pub fn new(
        engine: Endpoint,
        program: PathBuf,
        socket: PathBuf,
        log_format: LogFormat,
    ) -> HostNet {
        HostNet {
            engine,
            program: Program { path: program, launcher: Vec::new(), socket, log_format },
            plane: Mutex::new(None),
            orders: watch::Sender::new(Arc::default()),
            applied: Arc::new(watch::Sender::default()),
            making: tokio::sync::Mutex::default(),
        }
    }

    fn plane(&self) -> Option<DataPlane> {
        let running = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.plane.clone())
    }
}

impl Net for HostNet {
    fn begin(&self, advertise: IpAddr) {
        let mut running = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|running| running.advertise == advertise) {
            return;
        }
        let plane = DataPlane::attach(Config::new(advertise), self.program.clone());
        self.orders.send_replace(Arc::default());
        let tasks = vec![
            tokio::spawn(pass_on(plane.applied(), self.applied.clone())),
            tokio::spawn(tell_port_errors(plane.clone())),
            tokio::spawn(remove_unordered(self.engine.clone(), self.orders.subscribe())),
        ];
        *running = Some(Running { advertise, plane, tasks });
    }

    fn ensure_networks(
        &self,
        networks: Vec<NetworkOrder>,
    ) -> Sent<'_, Result<BTreeMap<NetworkId, String>, NetError>> {
        Box::pin(async move {
            let _one_at_a_time = self.making.lock().await;
            let mut names = BTreeMap::new();
            for order in networks {
                let wrong = |message: String| NetError {
                    network: order.name.clone(),
                    message,
                    unanswered: false,
                };
                let unanswered = |message| NetError { unanswered: true, ..wrong(message) };
                let plane = self.plane().ok_or_else(|| {
                    unanswered("the data plane of this host does not run yet".into())
                })?;
                let orders = self.orders.borrow().clone();
                let made = plane.ensure_links(order.clone(), orders);
                let mtu = tokio::time::timeout(ENSURE, made)
                    .await
                    .map_err(|_| unanswered("the data plane does not answer".into()))?
                    .map_err(|error| wrong(error.to_string()))?;
                let bridge = bridge_name(order.id);
                let made = networks::ensure(&self.engine, &order, &bridge, mtu).await;
                let name = made.map_err(|error| match error {
                    EngineError::Refused { message, .. } => wrong(message),
                    unknown => unanswered(unknown.to_string()),
                })?;
                names.insert(order.id, name);
            }
            Ok(names)
        })
    }

    fn apply(&self, orders: Arc<Orders>, local: Vec<LocalTask>) {
        // Of no use there, and the less they are handed round the better.
        let mut public = Orders::clone(&orders);
        public.secrets.clear();
        public.configs.clear();
        for task in public.tasks.values_mut() {
            task.registry_auth = None;
        }
        let public = Arc::new(public);
        self.orders.send_replace(public.clone());
        let Some(plane) = self.plane() else { return };
        plane.set_local(local.into_iter().map(container).collect());
        plane.apply(public);
    }

    fn applied(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    fn remove_all(&self) -> Sent<'_, Result<(), NetError>> {
        Box::pin(async move {
            let wrong =
                |message: String| NetError { network: "all".into(), message, unanswered: false };
            let running = self.plane.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(running) = running else { return Ok(()) };
            for task in &running.tasks {
                task.abort();
            }
            let halves = networks::remove_others(&self.engine, |_| false).await;
            let cleared = tokio::time::timeout(CLEAR, running.plane.clear()).await;
            running.plane.stop().await;
            self.orders.send_replace(Arc::default());
            self.applied.send_replace(Revision::default());
            match halves {
                Ok(0) => {}
                Ok(left) => return Err(wrong(format!("{left} networks are still in use"))),
                Err(error) => return Err(wrong(error.to_string())),
            }
            match cleared {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(wrong(error.to_string())),
                Err(_) => Err(wrong("the data plane does not answer".into())),
            }
        })
    }
}

fn container(task: LocalTask) -> LocalContainer {
    LocalContainer {
        id: task.container,
        task: Some(task.task),
        netns: Some(task.netns).filter(|path| !path.is_empty()),
        names: BTreeSet::new(),
        addresses: task.addresses,
        engine_address: task.engine_address,
        host_network: task.host_network,
        nameservers: Vec::new(),
    }
}

async fn pass_on(mut from: watch::Receiver<Revision>, to: Arc<watch::Sender<Revision>>) {
    while from.changed().await.is_ok() {
        let revision = *from.borrow_and_update();
        to.send_if_modified(|at| std::mem::replace(at, revision) != revision);
    }
}

async fn tell_port_errors(plane: DataPlane) {
    let mut errors = plane.port_errors();
    while errors.changed().await.is_ok() {
        for error in errors.borrow_and_update().iter() {
            let port = error.port.map(|port| port.to_string()).unwrap_or_default();
            warn!(
                port,
                service = error.service,
                message = error.message,
                "a port is not open here"
            );
        }
    }
}

/// The engine's halves of networks that no order names, as soon as no container is on them.
async fn remove_unordered(engine: Endpoint, mut orders: watch::Receiver<Arc<Orders>>) {
    let mut known: Option<BTreeSet<NetworkId>> = None;
    let mut left = 0;
    loop {
        let now = orders.borrow_and_update().clone();
        let wanted: BTreeSet<NetworkId> = now.networks.keys().copied().collect();
        let ordered = now.fence.revision != Revision::default();
        if ordered && (left > 0 || known.as_ref() != Some(&wanted)) {
            left = networks::remove_others(&engine, |id| wanted.contains(&id))
                .await
                .unwrap_or_else(|error| {
                    debug!(%error, "the engine's networks cannot be looked at");
                    1
                });
            known = Some(wanted);
        }
        let pause = if left > 0 { LEFT } else { QUIET };
        match tokio::time::timeout(pause, orders.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            // Somebody may have made one by hand, or a container has gone.
            Err(_) => known = None,
        }
    }
}
