//! The socket: the Docker Engine API of this host, with the cluster in it.
//!
//! The swarm part goes to the manager of this host, everything else to the engine, byte for byte: streams,
//! upgrades and half-closed connections included. A few answers are put together from both. Read `route`
//! for who answers what, `pass` for how requests are handed on, `merge` for answers made of two, `attach`
//! for whom the cluster's networks are, `tcp` for clients elsewhere.

mod attach;
mod merge;
mod pass;
mod reply;
pub mod route;
mod tcp;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::api::{InitRequest, JoinBody};
use model::json::{self, Readable};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::http::{Body, Endpoint};
use crate::engine::image::Images;
use crate::membership::{Force, Membership, MembershipError};

use reply::{Answer, message};
use route::{Asked, Who};
use tcp::Door;
pub use tcp::{TcpError, TcpServer};

/// The largest body that is read here instead of being passed on, bytes.
const MAX_BODY: usize = 4 << 20;
/// How long open requests may go on when the agent stops.
const GRACE: Duration = Duration::from_millis(500);
/// How long the engine may take to say whether it has a container.
const LOOK: Duration = Duration::from_secs(10);
/// How long a client may take to send what is not read any more.
const DRAIN: Duration = Duration::from_secs(5);
/// Groups whose members may use the socket, the first that exists.
const GROUPS: [&str; 2] = ["swarmctl", "docker"];

/// Docker's text on a host that is no node.
const NOT_IN_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
/// Docker's text on a worker.
const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";

/// What the socket hands requests to.
pub struct Socket {
    engine: Endpoint,
    membership: Membership,
    images: Images,
    versions: merge::Versions,
}

impl Socket {
    #[must_use]
    pub fn new(engine: &Path, membership: Membership) -> Arc<Socket> {
        Arc::new(Socket {
            engine: Endpoint::new(engine),
            membership,
            images: Images::default(),
            versions: merge::Versions::default(),
        })
    }

    /// The manager of this host; Docker's refusal when there is none.
    fn manager(&self) -> Result<Endpoint, Answer> {
        let view = self.membership.view().borrow().clone();
        if view.is_manager() {
            Ok(Endpoint::new(self.membership.api_socket()))
        } else {
            let text = if view.member.is_some() { WORKER } else { NOT_IN_SWARM };
            Err(message(StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }

    /// Answers requests until `stop`.
    pub async fn serve(self: Arc<Self>, listener: UnixListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors: others will be closed.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            connections.spawn(self.clone().connection(stream, Door::Open, stop.clone()));
        }
        connections.close();
        // Streams (logs, exec) would go on for ever.
        let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    }

    async fn connection<S>(self: Arc<Self>, stream: S, door: Door, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let socket = self.clone();
        let door = Arc::new(door);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (socket, door) = (socket.clone(), door.clone());
            async move {
                Ok::<_, std::convert::Infallible>(match door.check(request.headers_mut()) {
                    Ok(()) => socket.answer(request).await,
                    Err(refusal) => {
                        drain(request).await;
                        refusal
                    }
                })
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.preserve_header_case(true).timer(TokioTimer::new());
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a client's connection ended");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let asked = match route::asked(request.uri()) {
            Ok(asked) => asked,
            Err(error) => {
                drain(request).await;
                return reply::finish(message(StatusCode::BAD_REQUEST, &error.to_string()));
            }
        };
        let who = route::who(request.method(), &asked.path);
        let result = self.dispatch(who, &asked, request).await;
        reply::finish(result.unwrap_or_else(|refusal| refusal))
    }

    /// The answer; a refusal is one too.
    async fn dispatch(
        &self,
        who: Who,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        match who {
            Who::Ping => Ok(reply::ping(&self.membership.view().borrow())),
            Who::Info => self.info(asked).await,
            Who::Version => self.version(asked).await,
            Who::Events => self.events(asked, request).await,
            Who::Init => {
                let body: InitRequest = read(request).await?;
                let node = changed(self.membership.init(body).await)?;
                Ok(reply::json(StatusCode::OK, &node))
            }
            Who::Join => {
                let body: JoinBody = read(request).await?;
                changed(self.membership.join(body).await)?;
                Ok(reply::empty(StatusCode::OK))
            }
            Who::Leave => {
                let force = route::is_yes(route::query(&asked.path, "force"));
                let force = if force { Force::Yes } else { Force::No };
                changed(self.membership.leave(force).await)?;
                Ok(reply::empty(StatusCode::OK))
            }
            Who::Networks => self.networks(asked, request).await,
            Who::NetworkCreate => self.create_network(asked, request).await,
            Who::NetworkConnect => self.connect_network(asked, request).await,
            Who::ContainerCreate => self.create_container(asked, request).await,
            Who::Network => self.network(asked, request).await,
            Who::Distribution => self.distribution(asked, request).await,
            Who::Container => match self.manager() {
                Ok(manager) if !self.has(&asked.path).await => {
                    pass::on(&manager, &asked.path, request).await
                }
                Ok(_) | Err(_) => self.to_engine(asked, request).await,
            },
            Who::Exec => match self.manager() {
                Ok(manager) => pass::on(&manager, &asked.path, request).await,
                Err(_) => self.to_engine(asked, request).await,
            },
            Who::Metrics => {
                let page = crate::metrics::serve::page(&self.membership).await;
                Ok(reply::typed(model::metrics::CONTENT_TYPE, page))
            }
            Who::Manager => match self.manager() {
                Ok(manager) => pass::on(&manager, &asked.path, request).await,
                Err(refusal) => {
                    drain(request).await;
                    Err(refusal)
                }
            },
            Who::Engine => self.to_engine(asked, request).await,
        }
    }

    /// Whether this host's engine has the container that a path names, or cannot say.
    async fn has(&self, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or("");
        let id = path.split('/').filter(|w| !w.is_empty()).nth(1).unwrap_or("");
        let look = format!("/containers/{id}/json");
        let found = self.engine.call(http::Method::GET, &look, None, LOOK).await;
        !matches!(found, Err(error) if error.is_not_found())
    }

    /// Hands a request to the engine, in a version that it speaks.
    async fn to_engine(&self, asked: &Asked, request: Request<Incoming>) -> Result<Answer, Answer> {
        let path = self.path_for_engine(asked).await;
        pass::on(&self.engine, &path, request).await
    }

    /// Clients pin images by asking this first, and wait for it: an unreachable registry is answered at once.
    async fn distribution(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let path = asked.path.split('?').next().unwrap_or("");
        let image = path.trim_start_matches("/distribution/").trim_end_matches("/json");
        let wish = crate::engine::ImageWish { image: image.to_owned(), ..Default::default() };
        let registry = wish.registry();
        if !self.versions.has_proxy(&self.engine).await && !self.images.reaches(&registry).await {
            let text = format!("registry {registry} cannot be reached from this host");
            return Err(message(StatusCode::SERVICE_UNAVAILABLE, &text));
        }
        self.to_engine(asked, request).await
    }
}

/// Reads to its end what is refused without being looked at: a client that still writes when the
/// connection is closed may not see the answer.
async fn drain(request: Request<Incoming>) {
    let mut body = Limited::new(request.into_body(), MAX_BODY);
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    // A client that takes longer is refused all the same.
    let _ = tokio::time::timeout(DRAIN, read).await;
}

/// Reads a JSON body.
async fn read<T: Readable>(request: Request<Incoming>) -> Result<T, Answer> {
    let bytes = whole(request.into_body()).await?;
    json::read(&bytes)
        .map_err(|e| message(StatusCode::BAD_REQUEST, &format!("the request's body: {e}")))
}

async fn whole(body: Incoming) -> Result<Bytes, Answer> {
    let body = Limited::new(body, MAX_BODY).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|e| message(StatusCode::BAD_REQUEST, &format!("the request's body: {e}")))
}

fn changed<T>(result: Result<T, MembershipError>) -> Result<T, Answer> {
    result.map_err(|error| {
        let status = StatusCode::from_u16(error.status());
        message(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &error.to_string())
    })
}

/// Opens the socket's file: for root, and for the members of a group if there is one.
///
/// # Errors
/// Those of the file system; and when another agent serves the socket.
pub async fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if UnixStream::connect(path).await.is_ok() {
        let text = "another program serves this socket; does an agent run already?";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    crate::disk::remove(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    if let Some(group) = GROUPS.iter().find_map(|name| group_id(&groups, name)) {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    Ok(listener)
}

/// A group's number by `/etc/group`. Not asked of the C library: a static program crashes when that
/// loads the modules of the name service.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\ndockers:x:7:\ndocker:x:998:ann,bob\nbad:x\n";
        assert_eq!(group_id(groups, "docker"), Some(998));
        assert_eq!(group_id(groups, "swarmctl"), None);
        assert_eq!(group_id(groups, "bad"), None);
    }
}
