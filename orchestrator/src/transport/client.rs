//! Connections from this manager to others: one HTTP/2 connection a peer and lane, kept and shared.
//!
//! A connection is made when it is first needed, on a task of its own, so that a caller who gives
//! up does not undo the work; everybody who waits gets the same result. A connection whose peer no
//! longer answers pings is dropped, and the next call makes another.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::NodeId;
use model::spec::Role;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::identity::Identity;
use crate::ca::{host_name, role_unit};

/// How long a connection may take, TLS included. Short, so that a peer is found again soon after
/// it comes back: the wait between two attempts of TCP itself doubles.
const CONNECT: Duration = Duration::from_secs(1);

/// How much of a refusal's text is kept.
const MAX_REFUSAL: usize = 4096;

/// What a connection is for. Raft has its own, so that nothing bulky stands before a heartbeat; so
/// have streams of containers, so that one nobody reads does not stand before requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Raft,
    Api,
    Streams,
}

/// A manager to talk to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Who must answer; `None` when any manager may.
    pub node: Option<NodeId>,
    /// `host:port`.
    pub address: String,
    pub lane: Lane,
}

/// Why a call to another manager failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent.
    #[error("{address} cannot be reached: {why}")]
    Unreachable { address: String, why: String },
    /// Perhaps done there.
    #[error("the connection broke: {why}")]
    Broken { why: String },
    /// Perhaps done there.
    #[error("no answer after {waited:?}")]
    Timeout { waited: Duration },
    /// Refused there.
    #[error("refused ({status}): {why}")]
    Refused { status: StatusCode, why: String },
}

impl CallError {
    /// A [`CallError::Broken`] with the whole chain of `error`.
    pub fn broken(error: &(dyn Error + 'static)) -> CallError {
        CallError::Broken { why: chain(error) }
    }
}

/// The connections.
pub struct Pool {
    identity: watch::Receiver<Arc<Identity>>,
    slots: Mutex<BTreeMap<Target, Slot>>,
}

type Slot = watch::Sender<Connection>;

#[derive(Clone)]
enum Connection {
    None,
    Dialling,
    Open(SendRequest<Body>),
    Failed(CallError),
}

impl Pool {
    /// Connections made as `identity`, the newest whenever one is made.
    #[must_use]
    pub fn new(identity: watch::Receiver<Arc<Identity>>) -> Arc<Pool> {
        Arc::new(Pool { identity, slots: Mutex::default() })
    }

    /// Sends `request` and gives the response as soon as its head is here, whatever its status.
    ///
    /// # Errors
    /// See [`CallError`]; never [`CallError::Refused`] or [`CallError::Timeout`]: how long to wait
    /// is the caller's choice.
    pub async fn send(
        self: &Arc<Self>,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, CallError> {
        let mut connection = self.connection(target).await?;
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        // The authority is for form only: who answers was settled by the certificate.
        *request.uri_mut() = Uri::builder()
            .scheme("https")
            .authority("manager")
            .path_and_query(path)
            .build()
            .map_err(|e| CallError::broken(&e))?;
        connection.send_request(request).await.map_err(|e| CallError::broken(&e))
    }

    /// Waits until a connection to `target` is open. Nothing is sent.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn reach(self: &Arc<Self>, target: &Target) -> Result<(), CallError> {
        self.connection(target).await.map(|_| ())
    }

    /// Posts `body` to `path`; an answer of any other status than 200 is an error.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post(
        self: &Arc<Self>,
        target: &Target,
        path: &'static str,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| CallError::broken(&e))?;
        let response = self.send(target, request).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let body = http_body_util::Limited::new(response.into_body(), MAX_REFUSAL).collect().await;
        let why = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
        Err(CallError::Refused { status, why: why.unwrap_or_default() })
    }

    /// The open connection to `target`; makes one, or waits for the one being made.
    async fn connection(self: &Arc<Self>, target: &Target) -> Result<SendRequest<Body>, CallError> {
        let mut slot = self.slot(target);
        loop {
            let state = slot.borrow_and_update().clone();
            match state {
                Connection::Open(connection) => return Ok(connection),
                Connection::Failed(error) => return Err(error),
                Connection::None | Connection::Dialling => {
                    if slot.changed().await.is_err() {
                        let why = "the pool has been closed".to_owned();
                        return Err(CallError::Unreachable {
                            address: target.address.clone(),
                            why,
                        });
                    }
                }
            }
        }
    }

    /// A view of the slot of `target`, in which a connection is open or being made.
    fn slot(self: &Arc<Self>, target: &Target) -> watch::Receiver<Connection> {
        let mut slots = self.slots();
        let slot =
            slots.entry(target.clone()).or_insert_with(|| watch::Sender::new(Connection::None));
        let usable = match &*slot.borrow() {
            Connection::Open(connection) => !connection.is_closed(),
            Connection::Dialling => true,
            Connection::None | Connection::Failed(_) => false,
        };
        if !usable {
            slot.send_replace(Connection::Dialling);
            let identity = self.identity.borrow().clone();
            let (told, target) = (slot.clone(), target.clone());
            tokio::spawn(async move {
                let state = match timeout(CONNECT, dial(&identity, &target)).await {
                    Ok(Ok(connection)) => Connection::Open(connection),
                    Ok(Err(why)) => failed(&target, why),
                    Err(_) => failed(&target, format!("no connection within {CONNECT:?}")),
                };
                told.send_replace(state);
            });
        }
        slot.subscribe()
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Target, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(target: &Target, why: String) -> Connection {
    Connection::Failed(CallError::Unreachable { address: target.address.clone(), why })
}

async fn dial(identity: &Identity, target: &Target) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(&target.address).await.map_err(|e| chain(&e))?;
    stream.set_nodelay(true).map_err(|e| chain(&e))?;
    let name = match target.node {
        Some(node) => host_name(node),
        None => role_unit(Role::Manager).to_owned(),
    };
    let name = ServerName::try_from(name).map_err(|e| chain(&e))?;
    let config = identity.client_config(target.lane).map_err(|e| chain(&e))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| chain(&e))?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_while_idle(true);
    match target.lane {
        // A dead peer's connection is replaced within two seconds, and batches are not cut small.
        Lane::Raft => builder
            .keep_alive_interval(Duration::from_millis(500))
            .keep_alive_timeout(Duration::from_millis(1500))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20),
        Lane::Api | Lane::Streams => builder
            .keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(4))
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(4 << 20),
    };
    let (connection, run) = builder.handshake(TokioIo::new(stream)).await.map_err(|e| chain(&e))?;
    let address = target.address.clone();
    tokio::spawn(async move {
        if let Err(error) = run.await {
            tracing::debug!(address, error = chain(&error), "a connection to a manager ended");
        }
    });
    Ok(connection)
}

/// The error and its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string does not fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
