//! One manager, put together: identity, log, TLS port, API socket; from start to planned stop.
//!
//! [`Manager::bootstrap`] starts a cluster, [`Manager::open`] takes part in one. What is served
//! beside Raft and joining comes in as [`Routes`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use model::NodeId;
use model::object::Revision;
use model::spec::Role;
use model::wire::start::{CA_CERT, DATA_PATH_PORT, MANAGER_FOLDER, NODE_CERT, NODE_KEY, Start};
use orchestrator_core::State;
use orchestrator_core::command::{Batch, Bootstrap, Command, Entry, JoinNode, first_node};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ca::{Authority, CaError, NODE_LIFETIME, Subject, new_request, new_root, new_secrets};
use crate::lock::{self, Unlocked};
use crate::log::seal::{DATA_KEY, is_locked, random, write_secret};
use crate::log::{self, Log, OpenError, ProposeError, Timing, clock};
use crate::transport::{
    Entrance, Identity, IdentityError, Paths, Pool, ServeError, Server, admission, anybody,
    for_managers, for_nodes, tell_trust,
};

/// How often the certificate's files are looked at: the rotation of the authority waits until every
/// manager uses its new one.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_millis(500);

/// How long a new cluster may take until its first entry is written.
const FIRST_ENTRY: Duration = Duration::from_secs(20);

/// Where and how a manager runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shared with the host's agent.
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    /// `host:port` at which other hosts reach `listen`.
    pub advertise: String,
    /// The API's unix socket.
    pub api_socket: PathBuf,
    pub timing: Timing,
    pub snapshot_every: u64,
    /// Go on alone with the state that is here, whoever else had a vote.
    pub force_new_cluster: bool,
}

/// What is served beside Raft and joining.
#[derive(Default)]
pub struct Routes {
    /// On the TLS port, for every node of the cluster: sessions and their streams.
    pub nodes: Router,
    /// On the TLS port, for managers: what one manager hands to another.
    pub managers: Router,
    /// On the local socket: the API.
    pub local: Router,
}

/// Why a manager does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{} is a manager's folder already; this host is part of a cluster", folder.display())]
    InCluster { folder: PathBuf },
    #[error("this host's certificate is a {0:?}'s, not a manager's", .role)]
    NotManager { role: Role },
    #[error("this host has no certificate; it must join a cluster or start one")]
    Identity(#[from] IdentityError),
    #[error("the log does not open")]
    Open(#[from] OpenError),
    #[error("the port cannot be served")]
    Serve(#[from] ServeError),
    #[error("{} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the certificate authority cannot be made")]
    Ca(#[from] CaError),
    #[error("the cluster's first entry was not written")]
    First(#[from] ProposeError),
    #[error("the cluster cannot be started so")]
    Refused(#[from] orchestrator_core::Refusal),
    #[error("the manager's log has stopped; see the messages before this one")]
    LogStopped,
}

/// A manager whose log is open.
pub struct Manager {
    pub log: Log<State>,
    /// Connections to the other managers.
    pub pool: Arc<Pool>,
    /// Ends everything when cancelled.
    pub stop: CancellationToken,
    identity: watch::Sender<Arc<Identity>>,
    settings: Settings,
    server: Server,
    /// What opened the data key, and who gave it.
    unlocked: Option<Unlocked>,
}

impl Manager {
    /// Starts a cluster with this host as its only manager.
    ///
    /// If it is interrupted, the next start of the manager completes it.
    ///
    /// # Errors
    /// See [`StartError`]; nothing has been made when it is [`StartError::InCluster`].
    pub async fn bootstrap(settings: Settings, start: Start) -> Result<Manager, StartError> {
        let folder = settings.data_dir.join(MANAGER_FOLDER);
        if folder.exists() && !first_entry_file(&folder).exists() {
            return Err(StartError::InCluster { folder });
        }
        if !first_entry_file(&folder).exists() {
            prepare(&settings, &folder, start)?;
        }
        Manager::open(settings).await
    }

    /// Takes part in the cluster that this host belongs to; waits for the key if it is locked.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(settings: Settings) -> Result<Manager, StartError> {
        let identity = Identity::load(&paths(&settings.data_dir))?;
        let subject = identity.subject;
        if subject.role != Role::Manager {
            return Err(StartError::NotManager { role: subject.role });
        }
        let identity = watch::Sender::new(Arc::new(identity));
        let folder = settings.data_dir.join(MANAGER_FOLDER);
        let key_file = folder.join(DATA_KEY);
        let unlocked = if is_locked(&key_file).map_err(OpenError::from)? {
            let socket = listen_local(&settings.api_socket)?;
            let in_file = |source| StartError::File { path: settings.api_socket.clone(), source };
            Some(lock::wait(socket, &key_file, subject.node).await.map_err(in_file)?)
        } else {
            None
        };
        // Before the log is opened: a port in use must not cost more than this message.
        let server = Server::bind(settings.listen).await?;
        let pool = Pool::new(identity.subscribe());
        let alone = settings.force_new_cluster.then(|| settings.advertise.clone());
        let config = log::Config {
            node: subject.node,
            folder: folder.clone(),
            timing: settings.timing,
            snapshot_every: settings.snapshot_every,
            unlock: unlocked.as_ref().map(|unlocked| unlocked.key.clone()),
            alone,
        };
        let log = Log::open(config, pool.clone()).await?;
        complete_bootstrap(&log, &folder, &settings.advertise).await?;
        if log.is_new().await {
            tracing::info!(node = %subject.node, "waiting for the leader to add this manager");
        }
        let stop = CancellationToken::new();
        Ok(Manager { log, pool, stop, identity, settings, server, unlocked })
    }

    /// This host's node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.log.node()
    }

    /// Serves until [`Manager::stop`] is cancelled or the log ends; then stops in order.
    ///
    /// # Errors
    /// [`StartError::LogStopped`] when the log ended by itself.
    pub async fn serve(self, routes: Routes) -> Result<(), StartError> {
        let socket = listen_local(&self.settings.api_socket)?;
        let router = compose(&self.log, &self.pool, routes.nodes, routes.managers);
        let closing = CancellationToken::new();
        let port = tokio::spawn(self.server.serve(
            self.identity.subscribe(),
            router,
            self.log.runtime(),
            closing.clone(),
        ));
        let local = tokio::spawn({
            let closing = closing.clone();
            async move {
                let until = closing.cancelled_owned();
                axum::serve(socket, routes.local).with_graceful_shutdown(until).await
            }
        });
        let follow = tokio::spawn(follow_certificate(
            paths(&self.settings.data_dir),
            self.identity,
            (self.log.clone(), self.pool.clone()),
            closing.clone(),
        ));
        let (key, told) = self.unlocked.map(|unlocked| (unlocked.key, unlocked.told)).unzip();
        let lock = tokio::spawn(lock::follow(
            self.log.clone(),
            self.settings.data_dir.join(MANAGER_FOLDER).join(DATA_KEY),
            key,
            closing.clone(),
        ));
        tracing::info!(listen = %self.settings.listen, node = %self.log.node(), "serving");
        if let Some(told) = told {
            // Whoever gave the key may have gone.
            let _ = told.send(());
        }
        let planned = tokio::select! {
            () = self.stop.cancelled() => true,
            () = self.log.ended() => false,
        };
        // The port stays open meanwhile: the others answer the last messages over it.
        self.log.stop().await;
        closing.cancel();
        let _ = (port.await, follow.await, lock.await);
        // Open answers on the socket (events, logs) never end by themselves.
        local.abort();
        // The next start makes it anew; an old one only misleads.
        let _ = fs::remove_file(&self.settings.api_socket);
        if planned { Ok(()) } else { Err(StartError::LogStopped) }
    }
}

/// Everything on the TLS port.
fn compose(log: &Log<State>, pool: &Arc<Pool>, nodes: Router, managers: Router) -> Router {
    // Raft takes any manager of the cluster at its certificate's word: a state that lags behind
    // must not keep out the leader that would bring it up to date.
    let known = admission(log.clone());
    Router::new()
        .merge(Entrance::new(log.clone(), pool.clone()).routes())
        .merge(for_managers(log.routes(), anybody()))
        .merge(for_managers(managers, known.clone()))
        .merge(for_nodes(nodes, known))
}

fn paths(data_dir: &Path) -> Paths {
    Paths {
        cert: data_dir.join(NODE_CERT),
        key: data_dir.join(NODE_KEY),
        ca: data_dir.join(CA_CERT),
    }
}

/// Holds the first entry until it is in the log: what a start that was interrupted goes on with.
fn first_entry_file(folder: &Path) -> PathBuf {
    folder.join("first-entry.json")
}

/// Draws everything random of the cluster's life, and certifies this host.
fn prepare(settings: &Settings, folder: &Path, start: Start) -> Result<(), StartError> {
    let now = clock();
    let mut seed = [0; 8];
    let mut relay_key = [0; 32];
    random(&mut seed).map_err(CaError::from)?;
    random(&mut relay_key).map_err(CaError::from)?;
    let seed = u64::from_be_bytes(seed);
    let ca = new_root(now)?;
    let bootstrap = Bootstrap {
        seed,
        spec: start.spec.clone(),
        ca: ca.clone(),
        tokens: new_secrets().map_err(CaError::from)?,
        address_pools: start.address_pools,
        subnet_size: start.subnet_size,
        data_path_port: match start.data_path_port {
            0 => DATA_PATH_PORT,
            port => port,
        },
        relay_key: data_encoding::HEXLOWER.encode(&relay_key),
        unlock_key: start
            .spec
            .encryption_config
            .auto_lock_managers
            .then(lock::new_key)
            .transpose()
            .map_err(CaError::from)?,
        node: JoinNode {
            description: start.description,
            role: Role::Manager,
            availability: start.availability,
            manager_address: Some(settings.advertise.clone()),
        },
    };
    let commands = vec![Command::Bootstrap(Box::new(bootstrap))];
    let entry = Entry { at: now, batch: Batch { commands, base: None } };
    // What the cluster will be called is for `apply` to say.
    let mut state = State::default();
    let applied = state.apply(Revision(1), &entry);
    if let Some(Err(refusal)) = applied.responses.into_iter().next() {
        return Err(refusal.into());
    }
    let cluster = state.cluster().map_or_else(Default::default, |cluster| cluster.id);
    let subject = Subject { node: first_node(seed), role: Role::Manager, cluster };
    let (key, request) = new_request()?;
    let authority = Authority::new(&ca)?;
    let cert = authority.sign(&request, subject, now, NODE_LIFETIME)?;
    let identity = Identity::new(&cert, &key, authority.roots_pem())?;
    let paths = paths(&settings.data_dir);
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::File { path, source }
    };
    for path in [folder, paths.cert.parent().unwrap_or(folder)] {
        fs::create_dir_all(path).map_err(in_file(path))?;
    }
    identity.store(&paths).map_err(in_file(&paths.cert))?;
    let file = first_entry_file(folder);
    let text = serde_json::to_vec(&entry).map_err(io::Error::from).map_err(in_file(&file))?;
    write_secret(&file, &text).map_err(in_file(&file))
}

/// Puts the first entry into a log that has been prepared but not begun.
async fn complete_bootstrap(
    log: &Log<State>,
    folder: &Path,
    advertise: &str,
) -> Result<(), StartError> {
    let file = first_entry_file(folder);
    let in_file = |source| StartError::File { path: file.clone(), source };
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(in_file(e)),
    };
    let entry: Entry = serde_json::from_slice(&text).map_err(io::Error::from).map_err(in_file)?;
    if log.is_new().await {
        log.bootstrap(advertise).await?;
    }
    let mut leadership = log.watch_leadership();
    let leading = leadership.wait_for(|now| now.is_leading);
    match tokio::time::timeout(FIRST_ENTRY, leading).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Err(StartError::LogStopped),
    }
    if log.state().state.cluster().is_none() {
        let done = log.propose(entry).await?;
        if let Some(Err(refusal)) = done.applied.responses.first() {
            return Err(refusal.clone().into());
        }
    }
    fs::remove_file(&file).map_err(in_file)
}

fn listen_local(path: &Path) -> Result<UnixListener, StartError> {
    let in_file = |source| StartError::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(in_file)?;
    }
    // The data directory is locked by the open log, so whoever made this socket is gone.
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(in_file(e)),
    }
    let listener = UnixListener::bind(path).map_err(in_file)?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path, owner_only).map_err(in_file)?;
    Ok(listener)
}

/// Takes a renewed certificate into use, and tells the leader which one is used.
async fn follow_certificate(
    paths: Paths,
    identity: watch::Sender<Arc<Identity>>,
    (log, pool): (Log<State>, Arc<Pool>),
    closing: CancellationToken,
) {
    // A file that took another's place is another file, however fast the clock.
    let changed = || fs::metadata(&paths.cert).ok().map(|m| (m.modified().ok(), m.ino()));
    // None yet: it may have been renewed while this manager waited for its key.
    let mut seen = None;
    loop {
        let now = changed();
        if now != seen {
            match Identity::load(&paths) {
                Ok(new) => {
                    if !new.is(&identity.borrow()) {
                        tracing::info!("the certificate has been renewed");
                        identity.send_replace(Arc::new(new));
                    }
                    seen = now;
                }
                // Half of the files have been written: look again.
                Err(error) => tracing::warn!(%error, "the renewed certificate does not read"),
            }
        }
        let used = identity.borrow().trust.clone();
        if let Err(error) = tell_trust(&log, &pool, &used).await {
            tracing::debug!(%error, "the leader has not heard which certificate is used");
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(LOOK_AT_CERTIFICATE) => {}
        }
    }
}

#[cfg(test)]
mod tests;
