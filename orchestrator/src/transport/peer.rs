//! Who is calling, by the certificate of the connection; and the doors that let in by role.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use model::spec::Role;
use model::{ClusterId, NodeId};

use crate::ca::Subject;

/// The host at the other end of a connection. Its certificate has been verified: signed by this
/// cluster's root, valid now, of this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub node: NodeId,
    /// The role in its certificate: what it was when that was signed.
    pub role: Role,
    pub cluster: ClusterId,
}

/// A peer whose certificate is a manager's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagerPeer(pub Peer);

/// Why a peer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a certificate of this cluster is needed")]
    NoCertificate,
    #[error("only managers may ask this")]
    NotManager,
    #[error("the node has been removed from the cluster")]
    Removed,
    /// Ask again, or another manager.
    #[error("this manager cannot find out now whether the node is in the cluster")]
    Unknown,
}

/// Judges a peer by what the cluster knows of it now, beyond what its certificate said.
pub type Admission = Arc<dyn Fn(Peer) -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

/// Takes every peer at its certificate's word.
#[must_use]
pub fn anybody() -> Admission {
    Arc::new(|_| Box::pin(std::future::ready(Ok(()))))
}

impl From<Subject> for Peer {
    fn from(Subject { node, role, cluster }: Subject) -> Self {
        Peer { node, role, cluster }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Refusal::NoCertificate => StatusCode::UNAUTHORIZED,
            Refusal::NotManager => StatusCode::FORBIDDEN,
            Refusal::Removed => StatusCode::GONE,
            Refusal::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Peer>().copied().ok_or(Refusal::NoCertificate)
    }
}

impl<S: Sync> FromRequestParts<S> for ManagerPeer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let peer = Peer::from_request_parts(parts, state).await?;
        match peer.role {
            Role::Manager => Ok(ManagerPeer(peer)),
            Role::Worker => Err(Refusal::NotManager),
        }
    }
}

/// `router` for hosts of the cluster only: those with a certificate that `admission` lets in.
pub fn for_nodes(router: Router, admission: Admission) -> Router {
    router.layer(from_fn_with_state(admission, admit_node))
}

/// `router` for managers only.
pub fn for_managers(router: Router, admission: Admission) -> Router {
    router.layer(from_fn_with_state(admission, admit_manager))
}

async fn admit_node(
    State(admission): State<Admission>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    match admission(peer).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn admit_manager(
    State(admission): State<Admission>,
    ManagerPeer(peer): ManagerPeer,
    request: Request,
    next: Next,
) -> Response {
    match admission(peer).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}
