//! The TLS port: accepts connections, learns who is calling, hands requests to the routes.
//!
//! A connection that announces Raft moves to Raft's threads before its handshake, so that its
//! heartbeats do not queue behind anything else that this program does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::identity::{ALPN_RAFT, Identity, subject_of};
use super::peer::Peer;

/// How long a handshake may take. Generous: a thousand agents may come back at once.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes at once; the others wait in the kernel's queue.
const HANDSHAKES: usize = 256;

/// How long open requests may go on when the server stops.
const GRACE: Duration = Duration::from_millis(500);

/// Streams at once on one connection: a session, and logs and execs beside it.
const STREAMS: u32 = 1024;

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{address} cannot be listened on")]
    Listen { address: SocketAddr, source: io::Error },
}

/// The port, bound but not yet served.
pub struct Server {
    listener: TcpListener,
}

struct Shared {
    identity: watch::Receiver<Arc<Identity>>,
    router: Router,
    raft: Option<Handle>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Binds `address`.
    ///
    /// # Errors
    /// When it is taken or not this host's.
    pub async fn bind(address: SocketAddr) -> Result<Server, ServeError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        Ok(Server { listener })
    }

    /// The bound address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves `router` as `identity` until `stop`; Raft's connections on the threads of `raft`.
    ///
    /// A request finds the [`Peer`] in its extensions when the caller showed a certificate.
    pub async fn serve(
        self,
        identity: watch::Receiver<Arc<Identity>>,
        router: Router,
        raft: Option<Handle>,
        stop: CancellationToken,
    ) {
        let connections = TaskTracker::new();
        let shared = Arc::new(Shared { identity, router, raft, stop, connections });
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let accepted = tokio::select! {
                () = shared.stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // No file descriptor, no memory: what is open goes on, and may free some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(permit) = handshakes.clone().acquire_owned().await else { break };
            let task = shared.clone();
            shared.connections.spawn(async move {
                let ended = timeout(HANDSHAKE, task.clone().shake_hands(stream)).await;
                drop(permit);
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a connection was refused"),
                    Err(_) => tracing::debug!("a handshake took too long"),
                }
            });
        }
        drop(self.listener);
        shared.connections.close();
        // What still runs then is cut off; its callers try another manager.
        let _ = timeout(GRACE, shared.connections.wait()).await;
    }
}

fn announces_raft(start: &StartHandshake<TcpStream>) -> bool {
    start.client_hello().alpn().into_iter().flatten().any(|name| name == ALPN_RAFT)
}

impl Shared {
    /// Reads the client's greeting, and goes on where the connection belongs.
    async fn shake_hands(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let is_raft = announces_raft(&start);
        let config = self.identity.borrow().server_config();
        match &self.raft {
            Some(raft) if is_raft => {
                let StartHandshake { accepted, io, .. } = start;
                let io = io.into_std()?;
                let shared = self.clone();
                let moved = async move {
                    let io = TcpStream::from_std(io)?;
                    shared.greet(StartHandshake::from_parts(accepted, io), config).await
                };
                raft.spawn(moved).await.map_err(io::Error::other)?
            }
            Some(_) | None => self.greet(start, config).await,
        }
    }

    /// Ends the handshake, learns who it is, and serves on a task of this runtime.
    async fn greet(
        self: Arc<Self>,
        start: StartHandshake<TcpStream>,
        config: Arc<ServerConfig>,
    ) -> io::Result<()> {
        let stream = start.into_stream(config).await?;
        let own = self.identity.borrow().subject;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = match certificate.map(subject_of) {
            None => None,
            Some(Ok(subject)) if subject.cluster == own.cluster => Some(Peer::from(subject)),
            Some(Ok(subject)) => {
                return Err(io::Error::other(format!("of another cluster: {}", subject.cluster)));
            }
            Some(Err(why)) => return Err(io::Error::other(format!("its certificate: {why}"))),
        };
        self.connections.spawn(self.clone().serve(stream, peer));
        Ok(())
    }

    async fn serve(self: Arc<Self>, stream: TlsStream<TcpStream>, peer: Option<Peer>) {
        let with_peer =
            self.router.clone().map_request(move |mut request: axum::extract::Request<_>| {
                if let Some(peer) = peer {
                    request.extensions_mut().insert(peer);
                }
                request
            });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .max_concurrent_streams(STREAMS);
        let is_manager = peer.is_some_and(|p| p.role == model::spec::Role::Manager);
        if is_manager {
            builder.initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20);
        } else {
            // Many agents, small frames.
            builder.initial_stream_window_size(64 << 10).initial_connection_window_size(256 << 10);
        }
        let service = TowerToHyperService::new(with_peer);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match timeout(GRACE, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
