//! How hosts get in, and how they keep their certificates: `POST /join`, `POST /renew`; and how
//! managers say which one they use, `POST /trust`.
//!
//! `/join` is the only path that is open to anybody. Its token is judged before anything else is
//! done with the request; a manager that does not lead hands the request to the leader.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use model::object::{Cluster, NodeTrust};
use model::spec::Role;
use model::wire::join::{Certificate, JoinReply, JoinRequest, RenewRequest};
use model::{Millis, NodeId};
use orchestrator_core::State;
use orchestrator_core::command::{Batch, Command, Entry, JoinNode, Response as Outcome};
use tokio::time::timeout;

use super::client::{CallError, Lane, Pool, Target};
use super::peer::{Admission, ManagerPeer, Peer, Refusal, for_managers, for_nodes};
use crate::ca::{
    Authority, CaError, NODE_LIFETIME, Subject, TokenError, check_request, check_token,
};
use crate::log::{Log, ProposeError, ReadError};

/// Largest request, bytes: a certificate request and a host's description.
const MAX_REQUEST: usize = 256 << 10;

/// How long the leader may take over a join that another manager passes on.
const PASS_ON: Duration = Duration::from_secs(10);

/// Lets hosts in and renews their certificates.
#[derive(Clone)]
pub struct Entrance {
    log: Log<State>,
    pool: Arc<Pool>,
}

/// Why a host does not get what it asked for.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("this manager's cluster has not been started")]
    NoCluster,
    /// A worker's certificate tells it to drop its log, which a voter must keep.
    #[error("this node still takes part in the managers' log; ask again when it does not")]
    StillManager,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Refused(#[from] orchestrator_core::Refusal),
    #[error("the leader could not be asked: {0}")]
    Leader(#[from] CallError),
    #[error(transparent)]
    Peer(#[from] Refusal),
}

impl IntoResponse for EntryError {
    fn into_response(self) -> Response {
        let status = match &self {
            EntryError::Token(TokenError::Malformed(_)) | EntryError::Ca(CaError::Request(_)) => {
                StatusCode::BAD_REQUEST
            }
            EntryError::Token(TokenError::OtherCluster | TokenError::Secret) => {
                StatusCode::FORBIDDEN
            }
            EntryError::Peer(refusal) => return refusal.into_response(),
            EntryError::Refused(_) | EntryError::StillManager => StatusCode::CONFLICT,
            EntryError::Ca(CaError::Authority(_) | CaError::Random(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            EntryError::NoCluster
            | EntryError::Read(_)
            | EntryError::Propose(_)
            | EntryError::Leader(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, self.to_string()).into_response()
    }
}

impl Entrance {
    /// The entrance to the cluster of `log`.
    #[must_use]
    pub fn new(log: Log<State>, pool: Arc<Pool>) -> Entrance {
        Entrance { log, pool }
    }

    /// `/join` for anybody, `/renew` for nodes, `/trust` for managers.
    pub fn routes(&self) -> Router {
        let trust = Router::new().route("/trust", post(trust)).with_state(self.clone());
        let renew = Router::new().route("/renew", post(renew)).with_state(self.clone());
        Router::new()
            .route("/join", post(join))
            .with_state(self.clone())
            .merge(for_nodes(renew, admission(self.log.clone())))
            .merge(for_managers(trust, admission(self.log.clone())))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
    }
}

/// Lets in every peer whose node is in the cluster.
///
/// A node that this manager does not know may have joined a moment ago: then the leader is asked,
/// because a node that is told that it was removed cleans up.
pub fn admission(log: Log<State>) -> Admission {
    Arc::new(move |peer: Peer| {
        if log.state().state.node(peer.node).is_some() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let log = log.clone();
        Box::pin(async move {
            let published = log.read().await.map_err(|_| Refusal::Unknown)?;
            published.state.node(peer.node).map(|_| ()).ok_or(Refusal::Removed)
        })
    })
}

async fn join(
    Shared(entrance): Shared<Entrance>,
    Json(request): Json<JoinRequest>,
) -> Result<Response, EntryError> {
    let published = entrance.log.read().await?;
    let cluster = published.state.cluster().ok_or(EntryError::NoCluster)?.clone();
    let authority = Authority::of(&cluster)?;
    let role = check_token(&request.token, authority.digest(), &cluster.tokens)?;
    check_request(&request.csr_pem)?;
    let leadership = entrance.log.leadership();
    match leadership.leader {
        Some(leader) if leader.node != entrance.log.node() => {
            let target =
                Target { node: Some(leader.node), address: leader.address, lane: Lane::Api };
            entrance.pass_on(&target, &request).await
        }
        Some(_) | None => {
            let reply = entrance.let_in(request, role, &cluster, &authority).await?;
            Ok(Json(reply).into_response())
        }
    }
}

async fn renew(
    Shared(entrance): Shared<Entrance>,
    peer: Peer,
    Json(request): Json<RenewRequest>,
) -> Result<Json<Certificate>, EntryError> {
    let published = entrance.log.read().await?;
    let cluster = published.state.cluster().ok_or(EntryError::NoCluster)?;
    let node = published.state.node(peer.node).ok_or(Refusal::Removed)?;
    let authority = Authority::of(cluster)?;
    let role = node.spec.role;
    if role == Role::Worker && entrance.log.members().iter().any(|m| m.node == peer.node) {
        return Err(EntryError::StillManager);
    }
    Ok(Json(certify(&authority, cluster, peer.node, role, &request.csr_pem)?))
}

async fn trust(
    Shared(entrance): Shared<Entrance>,
    ManagerPeer(peer): ManagerPeer,
    Json(trust): Json<NodeTrust>,
) -> Result<Json<()>, EntryError> {
    note_trust(&entrance.log, peer.node, trust).await?;
    Ok(Json(()))
}

/// Writes down, on the leader, which certificate a manager uses.
async fn note_trust(log: &Log<State>, node: NodeId, trust: NodeTrust) -> Result<(), ProposeError> {
    let commands = vec![Command::ManagerTrust { node, trust: Box::new(trust) }];
    log.propose(Entry { at: crate::log::clock(), batch: Batch { commands, base: None } }).await?;
    Ok(())
}

/// Says, to the leader, which certificate this manager uses, unless the cluster knows.
///
/// # Errors
/// When there is no leader that takes it; say it again later.
pub async fn tell_trust(
    log: &Log<State>,
    pool: &Arc<Pool>,
    trust: &NodeTrust,
) -> Result<(), TellError> {
    let known = log.state();
    let Some(node) = known.state.node(log.node()) else { return Ok(()) };
    if node.spec.role == Role::Worker || node.manager_trust.as_ref() == Some(trust) {
        return Ok(());
    }
    match log.leadership().leader {
        Some(leader) if leader.node != log.node() => {
            let target =
                Target { node: Some(leader.node), address: leader.address, lane: Lane::Api };
            let body = serde_json::to_vec(trust).map_err(|e| CallError::broken(&e))?;
            let told = timeout(PASS_ON, pool.post(&target, "/trust", Body::from(body))).await;
            told.unwrap_or(Err(CallError::Timeout { waited: PASS_ON }))?;
        }
        Some(_) => note_trust(log, log.node(), trust.clone()).await?,
        None => {}
    }
    Ok(())
}

/// Why the leader was not told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

impl Entrance {
    /// Makes the node and its certificate.
    async fn let_in(
        &self,
        request: JoinRequest,
        role: Role,
        cluster: &Cluster,
        authority: &Authority,
    ) -> Result<JoinReply, EntryError> {
        let command = Command::JoinNode(Box::new(JoinNode {
            description: request.description,
            role,
            availability: request.availability,
            manager_address: Some(request.manager_address).filter(|a| !a.is_empty()),
        }));
        let batch = Batch { commands: vec![command], base: None };
        let done = self.log.propose(Entry { at: crate::log::clock(), batch }).await?;
        let node = match done.applied.responses.first() {
            Some(Ok(Outcome::Joined { node })) => *node,
            Some(Err(refusal)) => return Err(refusal.clone().into()),
            Some(Ok(_)) | None => return Err(ProposeError::Unknown { waited_ms: 0 }.into()),
        };
        let certificate = certify(authority, cluster, node, role, &request.csr_pem)?;
        let members = self.log.members().into_iter();
        let managers = members.map(|member| (member.node, member.address)).collect();
        tracing::info!(%node, ?role, "a node joined");
        Ok(JoinReply { node, role, certificate, managers })
    }

    /// Hands the request to the leader and its answer back.
    async fn pass_on(
        &self,
        leader: &Target,
        request: &JoinRequest,
    ) -> Result<Response, EntryError> {
        let body = serde_json::to_vec(request).map_err(|e| CallError::broken(&e))?;
        let ask = async {
            let request = http::Request::post("/join")
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Body::from(body))
                .map_err(|e| CallError::broken(&e))?;
            let (head, body) = self.pool.send(leader, request).await?.into_parts();
            let body = body.collect().await.map_err(|e| CallError::broken(&e))?;
            Ok::<_, CallError>((head.status, body.to_bytes()))
        };
        let answer = timeout(PASS_ON, ask).await;
        let (status, body) = answer.unwrap_or(Err(CallError::Timeout { waited: PASS_ON }))?;
        Ok((status, [(http::header::CONTENT_TYPE, "application/json")], body).into_response())
    }
}

fn certify(
    authority: &Authority,
    cluster: &Cluster,
    node: NodeId,
    role: Role,
    csr_pem: &str,
) -> Result<Certificate, EntryError> {
    let lifetime = match cluster.spec.ca_config.node_cert_expiry {
        0 => NODE_LIFETIME,
        nanos => Millis::from_nanos(nanos),
    };
    let subject = Subject { node, role, cluster: cluster.id };
    let cert_pem = authority.sign(csr_pem, subject, crate::log::clock(), lifetime)?;
    Ok(Certificate { cert_pem, ca_pem: authority.roots_pem().to_owned(), role })
}
