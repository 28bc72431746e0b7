//! Whether this host is a node of a cluster: makes it one, keeps it one, ends it.
//!
//! [`Membership::init`] starts a cluster, [`Membership::join`] enters one, [`Membership::leave`] leaves;
//! at start [`Membership::resume`] goes on with what the disk says. While the host is a node, a
//! [`node::Node`] runs: session, worker, manager. Read `entry` for how a certificate is got, `node` for
//! what runs, `address` for what other hosts are told.

mod address;
mod entry;
mod node;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_core::worker::Limits;
use model::api::{InitRequest, JoinBody};
use model::spec::Role;
use model::wire::join::{JoinToken, ParseTokenError};
use tokio::sync::{Mutex, watch};

use crate::config::{Config, ConfigError, SocketForTasks, listen_address};
use crate::engine::files::Files;
use crate::engine::{Containers, EngineError};
use crate::ledger::{Ledger, Member};
use crate::plane::Net;
use crate::session::Standing;
use crate::supervise::{Orchestrator, StartError, find_program};
use crate::transport::identity::Certs;
use crate::transport::{Identity, IdentityError, LinkError};

use node::Node;

/// How long `init` and `join` wait until the node is connected. It goes on connecting afterwards.
const CONNECTED: Duration = Duration::from_secs(20);

/// How long the containers of a node that leaves may take to stop.
const EMPTY: Duration = Duration::from_secs(120);

/// Why the host's membership did not change. Nothing was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error(
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one."
    )]
    AlreadyIn,
    #[error("This node is not part of a swarm")]
    NotIn,
    #[error(
        "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
    )]
    ManagerLeaves,
    #[error("invalid join token: {0}. `swarmctl token worker` on a manager prints the right one")]
    Token(#[from] ParseTokenError),
    #[error("give the address of a manager, HOST or HOST:PORT")]
    NoRemote,
    #[error("{0}")]
    Address(String),
    #[error(transparent)]
    Listen(#[from] ConfigError),
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    #[error("{problem}{hint}")]
    Link { problem: LinkError, hint: &'static str },
    #[error("cannot ask the local engine: {0}")]
    Engine(#[from] EngineError),
    #[error("cannot start a manager on this host: {0}")]
    Manager(#[from] StartError),
    #[error("the certificate that was received cannot be used: {0}")]
    Identity(#[from] IdentityError),
    /// Perhaps half done; asking again is safe.
    #[error("cannot write {what}: {why}")]
    Disk { what: &'static str, why: String },
    /// The host has joined; it goes on connecting.
    #[error("this host is now a node of the cluster, but has no session with the leader yet: {0}")]
    NotConnected(String),
}

impl MembershipError {
    /// The HTTP status with which it is answered.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            MembershipError::AlreadyIn
            | MembershipError::NotIn
            | MembershipError::ManagerLeaves
            | MembershipError::NotConnected(_) => 503,
            MembershipError::Token(_)
            | MembershipError::NoRemote
            | MembershipError::Address(_)
            | MembershipError::Listen(_) => 400,
            MembershipError::Unsupported(_) => 501,
            MembershipError::Link { problem, .. } => match problem {
                LinkError::OtherCluster { .. } => 400,
                LinkError::Refused { status: 400 | 403, .. } => 400,
                LinkError::Refused { .. }
                | LinkError::Unreachable { .. }
                | LinkError::Clock { .. }
                | LinkError::NotTrusted { .. }
                | LinkError::Broken { .. } => 503,
            },
            MembershipError::Engine(_)
            | MembershipError::Manager(_)
            | MembershipError::Identity(_)
            | MembershipError::Disk { .. } => 500,
        }
    }
}

/// What everybody may know of this host's membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// None while the host is no node.
    pub member: Option<Member>,
    pub role: Role,
    pub standing: Standing,
}

impl View {
    /// Whether this host's manager answers the swarm part of the API.
    #[must_use]
    pub fn is_manager(&self) -> bool {
        self.member.is_some() && self.role == Role::Manager
    }
}

/// What the parts of a node are made from.
pub(crate) struct Parts {
    pub config: Config,
    pub engine: Arc<dyn Containers>,
    pub net: Arc<dyn Net>,
    pub ledger: Ledger,
    pub files: Files,
    pub certs: Certs,
    pub view: watch::Sender<View>,
}

impl Parts {
    /// What tasks on a manager get that ask for the engine's socket.
    fn socket_for_tasks(&self) -> Option<String> {
        match self.config.socket_for_tasks {
            SocketForTasks::Cluster => Some(self.config.socket.display().to_string()),
            SocketForTasks::Engine => None,
        }
    }

    fn limits(&self) -> Limits {
        Limits { starts: self.config.starts_at_once, ..Limits::default() }
    }

    /// The socket on which this host's manager serves its API.
    pub fn api_socket(&self) -> PathBuf {
        self.config.socket.with_file_name("manager.sock")
    }

    fn orchestrator(&self, member: &Member) -> Result<Orchestrator, MembershipError> {
        let listen = listen_address(&member.listen)?;
        Ok(Orchestrator {
            program: find_program()?,
            data_dir: self.config.data_dir.clone(),
            listen,
            advertise: address::with_port(&member.advertise, listen.port()),
            api_socket: self.api_socket(),
            log_format: self.config.log_format,
            traces: self.config.traces.clone(),
        })
    }
}

/// The host's membership. Clones share it.
#[derive(Clone)]
pub struct Membership {
    parts: Arc<Parts>,
    /// Held while it changes, so that two requests do not.
    node: Arc<Mutex<Option<Node>>>,
}

impl Membership {
    #[must_use]
    pub fn new(config: Config, engine: Arc<dyn Containers>, net: Arc<dyn Net>) -> Membership {
        let data_dir = config.data_dir.clone();
        let parts = Parts {
            config,
            engine,
            net,
            ledger: Ledger::below(&data_dir),
            files: Files::below(&data_dir),
            certs: Certs::below(&data_dir),
            view: watch::Sender::default(),
        };
        Membership { parts: Arc::new(parts), node: Arc::default() }
    }

    /// What everybody may know.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.parts.view.subscribe()
    }

    /// The socket on which this host's manager serves its API.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.parts.api_socket()
    }

    /// The socket on which this host's data plane listens.
    #[must_use]
    pub fn data_plane_socket(&self) -> PathBuf {
        self.parts.config.socket.with_file_name("dataplane.sock")
    }

    /// The local engine, for questions about it.
    #[must_use]
    pub fn engine(&self) -> crate::engine::http::Endpoint {
        crate::engine::http::Endpoint::new(&self.parts.config.engine)
    }

    /// How far names and routes of this host have come.
    #[must_use]
    pub fn applied(&self) -> model::object::Revision {
        *self.parts.net.applied().borrow()
    }

    /// The process of this host's manager, where one runs.
    #[must_use]
    pub fn manager_process(&self) -> Option<u32> {
        let member = self.parts.ledger.member()?;
        self.parts.orchestrator(&member).ok()?.process()
    }

    /// Goes on with what the disk says. A host that is no node stays none.
    ///
    /// # Errors
    /// When it is a node whose certificate cannot be used, or whose manager cannot be started.
    pub async fn resume(&self) -> Result<(), MembershipError> {
        let Some(member) = self.parts.ledger.member() else { return Ok(()) };
        let identity = self.parts.certs.load()?;
        let mut node = self.node.lock().await;
        *node = Some(self.start(member, identity, None)?);
        Ok(())
    }

    /// Starts a cluster with this host as its manager. Gives the node's id.
    ///
    /// # Errors
    /// As [`MembershipError`] says.
    pub async fn init(&self, request: InitRequest) -> Result<String, MembershipError> {
        let mut node = self.node.lock().await;
        if request.force_new_cluster && self.parts.view.borrow().is_manager() {
            return self.go_on_alone(&mut node).await;
        }
        if node.is_some() {
            return Err(MembershipError::AlreadyIn);
        }
        if !request.data_path_addr.is_empty() && request.data_path_addr != request.advertise_addr {
            return Err(MembershipError::Unsupported("a data path address of its own"));
        }
        let (advertise, listen) =
            self.addresses(&request.advertise_addr, &request.listen_addr, None).await?;
        let description = self.describe(&advertise).await?;
        let (member, identity, running) =
            entry::bootstrap(&self.parts, request, description, &advertise, listen).await?;
        let id = member.node.to_string();
        let new = self.start(member, identity, Some(running))?;
        let connected = new.connected(CONNECTED).await;
        *node = Some(new);
        // The cluster exists; that its first session is late is no reason to say otherwise.
        if let Err(why) = connected {
            tracing::warn!(why, "the new cluster's first session is late");
        }
        Ok(id)
    }

    /// This host's manager becomes the only one of its cluster, with the state that it has: for when
    /// most managers are lost for good.
    async fn go_on_alone(&self, node: &mut Option<Node>) -> Result<String, MembershipError> {
        let Some(old) = node.take() else { return Err(MembershipError::NotIn) };
        let member = old.member().clone();
        old.stop().await;
        let alone = self.parts.orchestrator(&member)?.go_on_alone().await;
        let identity = self.parts.certs.load()?;
        // Whether or not it went well, the node is what it was.
        let (running, result) = match alone {
            Ok(running) => (Some(running), Ok(member.node.to_string())),
            Err(error) => (None, Err(error.into())),
        };
        *node = Some(self.start(member, identity, running)?);
        result
    }

    /// Enters a cluster.
    ///
    /// # Errors
    /// As [`MembershipError`] says.
    pub async fn join(&self, request: JoinBody) -> Result<(), MembershipError> {
        let mut node = self.node.lock().await;
        if node.is_some() {
            return Err(MembershipError::AlreadyIn);
        }
        let token: JoinToken = request.join_token.parse()?;
        let remotes: Vec<String> = request
            .remote_addrs
            .iter()
            .filter(|a| !a.is_empty())
            .map(|a| address::with_default_port(a))
            .collect();
        let first = remotes.first().ok_or(MembershipError::NoRemote)?;
        let (advertise, listen) =
            self.addresses(&request.advertise_addr, &request.listen_addr, Some(first)).await?;
        let description = self.describe(&advertise).await?;
        let (member, identity) = entry::join(
            &self.parts,
            &token,
            &remotes,
            description,
            request.availability,
            &advertise,
            listen,
        )
        .await?;
        let new = self.start(member, identity, None)?;
        let connected = new.connected(CONNECTED).await;
        *node = Some(new);
        connected.map_err(MembershipError::NotConnected)
    }

    /// Leaves the cluster: stops and removes the node's containers and networks, tells the leader, forgets.
    ///
    /// # Errors
    /// As [`MembershipError`] says.
    pub async fn leave(&self, force: Force) -> Result<(), MembershipError> {
        let mut node = self.node.lock().await;
        if node.is_none() {
            return Err(MembershipError::NotIn);
        }
        if self.parts.view.borrow().is_manager() && force == Force::No {
            return Err(MembershipError::ManagerLeaves);
        }
        if let Some(node) = node.take() {
            self.clean_up(node).await?;
        }
        Ok(())
    }

    /// Waits until the node has been removed from its cluster, and then cleans up. Never returns.
    pub async fn watch_for_removal(&self) {
        let mut view = self.view();
        while view.wait_for(|v| v.standing == Standing::Removed).await.is_ok() {
            let mut node = self.node.lock().await;
            if let Some(removed) = node.take()
                && let Err(error) = self.clean_up(removed).await
            {
                tracing::error!(%error, "the node was removed; cannot clean up everything");
            }
            self.parts.view.send_if_modified(|v| {
                let stale = v.standing == Standing::Removed;
                if stale {
                    *v = View::default();
                }
                stale
            });
        }
        std::future::pending::<()>().await;
    }

    /// Ends what runs, for the agent's own planned stop. Containers are not touched.
    pub async fn stop(&self) {
        if let Some(node) = self.node.lock().await.take() {
            node.stop().await;
        }
    }

    fn start(
        &self,
        member: Member,
        identity: Identity,
        running: Option<crate::supervise::Running>,
    ) -> Result<Node, MembershipError> {
        Node::start(self.parts.clone(), member, identity, running)
    }

    async fn clean_up(&self, node: Node) -> Result<(), MembershipError> {
        let wrong = |what, why: String| MembershipError::Disk { what, why };
        let member = node.member().clone();
        node.empty(EMPTY).await;
        node.say_goodbye().await;
        node.stop().await;
        if let Err(error) = self.parts.net.remove_all().await {
            tracing::warn!(%error, "cannot remove every network");
        }
        self.parts.files.remove_all();
        if let Ok(orchestrator) = self.parts.orchestrator(&member) {
            orchestrator.wipe();
        }
        self.parts.ledger.forget().map_err(|e| wrong("the ledger", e.to_string()))?;
        self.parts.certs.remove().map_err(|e| wrong("the certificates", e.to_string()))?;
        self.parts.view.send_replace(View::default());
        tracing::info!(node = %member.node, "left the cluster");
        Ok(())
    }

    async fn addresses(
        &self,
        advertise: &str,
        listen: &str,
        towards: Option<&str>,
    ) -> Result<(String, std::net::SocketAddr), MembershipError> {
        let listen = match listen {
            // What the docker CLI sends when nothing was said: the agent's own setting wins.
            "" | "0.0.0.0:2377" => self.parts.config.listen,
            other => listen_address(other)?,
        };
        let wanted = if advertise.is_empty() {
            self.parts.config.advertise.clone().unwrap_or_default()
        } else {
            advertise.to_owned()
        };
        let advertise = address::advertised(&wanted, towards, listen).await;
        Ok((advertise.map_err(MembershipError::Address)?, listen))
    }

    async fn describe(
        &self,
        advertise: &str,
    ) -> Result<model::object::NodeDescription, MembershipError> {
        let info = self.parts.engine.info().await?;
        Ok(crate::engine::describe(&info, &address::hostname(), address::host_of(advertise)))
    }
}

/// Whether a manager may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}
