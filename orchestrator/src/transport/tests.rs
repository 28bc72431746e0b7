//! The TLS port, tried with every kind of certificate.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use model::spec::Role;
use model::{ClusterId, Id, Millis, NodeId, Timestamp};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{
    CallError, Identity, Lane, Peer, Pool, Server, Target, anybody, for_managers, for_nodes,
};
use crate::ca::{Authority, NODE_LIFETIME, Subject, new_request, new_root};
use crate::log::clock;

const CLUSTER: ClusterId = ClusterId(Id(5));

fn authority() -> Authority {
    Authority::new(&new_root(clock()).expect("a root")).expect("its own root")
}

fn node(number: u128) -> NodeId {
    NodeId(Id(number))
}

/// Certificate and key, PEM.
fn certified(
    authority: &Authority,
    subject: Subject,
    at: Timestamp,
    lifetime: Millis,
) -> (String, String) {
    let (key, request) = new_request().expect("a key");
    (authority.sign(&request, subject, at, lifetime).expect("signed"), key)
}

fn subject(number: u128, role: Role) -> Subject {
    Subject { node: node(number), role, cluster: CLUSTER }
}

fn identity(authority: &Authority, subject: Subject) -> Arc<Identity> {
    let (cert, key) = certified(authority, subject, clock(), NODE_LIFETIME);
    Arc::new(Identity::new(&cert, &key, authority.roots_pem()).expect("an identity"))
}

/// Ends a port.
struct Stop {
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Stop {
    async fn now(self) {
        self.stop.cancel();
        self.served.await.expect("served to the end");
    }
}

/// A manager's port: `/open` for anybody, `/node` for nodes, `/manager` for managers.
async fn port(authority: &Authority) -> (Target, Stop) {
    let server = Server::bind("127.0.0.1:0".parse().expect("an address")).await.expect("bound");
    let address = server.local_addr().expect("its address").to_string();
    let who = |peer: Peer| async move { peer.node.to_string() };
    let router = Router::new()
        .route("/open", post(|| async { "open" }))
        .merge(for_nodes(Router::new().route("/node", post(who)), anybody()))
        .merge(for_managers(Router::new().route("/manager", post(who)), anybody()));
    let own = identity(authority, subject(1, Role::Manager));
    let stop = CancellationToken::new();
    let identity = watch::Sender::new(own).subscribe();
    let served = tokio::spawn(server.serve(identity, router, None, stop.clone()));
    (Target { node: Some(node(1)), address, lane: Lane::Api }, Stop { stop, served })
}

fn pool(identity: Arc<Identity>) -> Arc<Pool> {
    Pool::new(watch::Sender::new(identity).subscribe())
}

async fn status(
    pool: &Arc<Pool>,
    target: &Target,
    path: &'static str,
) -> Result<StatusCode, CallError> {
    match pool.post(target, path, Body::empty()).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(CallError::Refused { status, .. }) => Ok(status),
        Err(other) => Err(other),
    }
}

/// A request over a connection with any certificate, or none; trusts `root` only.
async fn raw(
    target: &Target,
    root: &Authority,
    certificate: Option<(String, String)>,
    path: &str,
) -> Result<StatusCode, String> {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from_pem_slice(root.roots_pem().as_bytes()).expect("a certificate");
    roots.add(der).expect("a root");
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![cert], key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(&target.address).await.map_err(|e| e.to_string())?;
    let name = ServerName::try_from("swarm-manager").expect("a name");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| e.to_string())?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut send, run) =
        hyper::client::conn::http2::handshake(executor, io).await.map_err(|e| e.to_string())?;
    tokio::spawn(run);
    let request = Request::post(format!("https://manager{path}")).body(Body::empty());
    let response = send.send_request(request.expect("a request")).await;
    response.map(|r| r.status()).map_err(|e| e.to_string())
}

#[tokio::test]
async fn each_door_lets_in_whom_it_should() {
    let authority = authority();
    let (target, stop) = port(&authority).await;
    let manager = pool(identity(&authority, subject(2, Role::Manager)));
    let worker = pool(identity(&authority, subject(3, Role::Worker)));
    for (who, path, expected) in [
        (&manager, "/open", StatusCode::OK),
        (&manager, "/node", StatusCode::OK),
        (&manager, "/manager", StatusCode::OK),
        (&worker, "/open", StatusCode::OK),
        (&worker, "/node", StatusCode::OK),
        (&worker, "/manager", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(status(who, &target, path).await.expect("an answer"), expected, "{path}");
    }
    stop.now().await;
}

#[tokio::test]
async fn without_a_certificate_only_the_open_door_is_open() {
    let authority = authority();
    let (target, stop) = port(&authority).await;
    for (path, expected) in [
        ("/open", StatusCode::OK),
        ("/node", StatusCode::UNAUTHORIZED),
        ("/manager", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(raw(&target, &authority, None, path).await, Ok(expected), "{path}");
    }
    stop.now().await;
}

#[tokio::test]
async fn a_certificate_of_another_root_is_refused_even_at_the_open_door() {
    let (authority, other) = (authority(), authority());
    let (target, stop) = port(&authority).await;
    let foreign = certified(&other, subject(2, Role::Manager), clock(), NODE_LIFETIME);
    assert!(raw(&target, &authority, Some(foreign), "/open").await.is_err());
    stop.now().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = authority();
    let (target, stop) = port(&authority).await;
    let long_ago = clock() - Millis::from_secs(100 * 24 * 3600);
    let expired = certified(&authority, subject(2, Role::Manager), long_ago, NODE_LIFETIME);
    assert!(raw(&target, &authority, Some(expired), "/open").await.is_err());
    stop.now().await;
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused() {
    let authority = authority();
    let (target, stop) = port(&authority).await;
    let elsewhere = Subject { cluster: ClusterId(Id(6)), ..subject(2, Role::Manager) };
    let elsewhere = certified(&authority, elsewhere, clock(), NODE_LIFETIME);
    assert!(raw(&target, &authority, Some(elsewhere), "/open").await.is_err());
    stop.now().await;
}

#[tokio::test]
async fn a_manager_talks_to_nobody_but_the_node_it_means() {
    let (authority, other) = (authority(), authority());
    let (target, stop) = port(&authority).await;
    let own = pool(identity(&authority, subject(2, Role::Manager)));
    let wrong_node = Target { node: Some(node(9)), ..target.clone() };
    let answer = status(&own, &wrong_node, "/open").await;
    assert!(matches!(answer, Err(CallError::Unreachable { .. })), "{answer:?}");
    let stranger = pool(identity(&other, subject(2, Role::Manager)));
    let answer = status(&stranger, &target, "/open").await;
    assert!(matches!(answer, Err(CallError::Unreachable { .. })), "{answer:?}");
    stop.now().await;
}

#[tokio::test]
async fn a_pool_connects_again_when_its_peer_comes_back() {
    let authority = authority();
    let (target, stop) = port(&authority).await;
    let own = pool(identity(&authority, subject(2, Role::Manager)));
    assert_eq!(status(&own, &target, "/open").await.expect("an answer"), StatusCode::OK);
    stop.now().await;
    let (back, stop) = port(&authority).await;
    assert!(status(&own, &target, "/open").await.is_err(), "nobody is there");
    assert_eq!(status(&own, &back, "/open").await.expect("an answer"), StatusCode::OK);
    stop.now().await;
}
