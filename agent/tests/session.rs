//! The session against a simulated manager, over real TLS: hello, heartbeats, orders, reports, streams.

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::engine::Docker;
use agent::ledger::Ledger;
use agent::orders::Desk;
use agent::session::{Session, Standing, spawn};
use agent::transport::Identity;
use agent::transport::identity::joining;
use agent::transport::link::{Link, LinkError};
use agent::worker::Reports;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::lifecycle::TaskState;
use model::object::{NodeDescription, Revision};
use model::wire::frame::{Decoder, encode};
use model::wire::join::digest_text;
use model::wire::orders::{Fence, Orders};
use model::wire::session::{FromAgent, FromManager, StreamHead, StreamRequest, TaskReport};
use model::{ClusterId, Id, Millis, NodeId, TaskId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use support::Engine;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

const NODE: NodeId = NodeId(Id(7));

/// A certificate authority.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pem: String,
}

impl Ca {
    fn new() -> Ca {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let cert = params.self_signed(&key).expect("a root");
        let (der, pem) = (cert.der().to_vec(), cert.pem());
        Ca { issuer: Issuer::new(params, key), der, pem }
    }

    fn digest(&self) -> String {
        digest_text(&Sha256::digest(&self.der).into())
    }

    fn sign(&self, node: NodeId, unit: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params =
            CertificateParams::new(vec![String::from("swarm-manager")]).expect("a name");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, node.to_string());
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        params.distinguished_name.push(DnType::OrganizationName, ClusterId::default().to_string());
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    fn identity(&self) -> Identity {
        let (cert, key) = self.sign(NODE, "swarm-worker");
        Identity::new(&cert.pem(), &key.serialize_pem(), &self.pem).expect("an identity")
    }
}

/// One request of an agent, with both ends of its stream.
struct Call {
    path: String,
    incoming: Incoming,
    outgoing: mpsc::Sender<Result<Bytes, Broken>>,
}

/// How a manager's answer may end without having come to its end.
#[derive(Debug, thiserror::Error)]
#[error("broken off")]
struct Broken;

impl Call {
    async fn send(&self, frame: &FromManager) {
        let bytes = Bytes::from(encode(frame).expect("a frame"));
        self.outgoing.send(Ok(bytes)).await.expect("the agent listens");
    }

    /// The next frame that `wanted` takes; others pass by.
    async fn next<T>(
        &mut self,
        decoder: &mut Decoder<FromAgent>,
        wanted: impl Fn(FromAgent) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                while let Some(frame) = decoder.next_frame().expect("frames") {
                    if let Some(found) = wanted(frame) {
                        return found;
                    }
                }
                let part = self.incoming.frame().await.expect("more").expect("a stream");
                decoder.push(&part.into_data().expect("data"));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), search).await.expect("the frame comes")
    }
}

/// A manager's port; gives each request to the test.
async fn manager(ca: &Ca) -> (SocketAddr, mpsc::Receiver<Call>) {
    let (cert, key) = ca.sign(NodeId(Id(1)), "swarm-manager");
    let chain = vec![cert.der().clone(), ca.der.clone().into()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (calls, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, calls) = (acceptor.clone(), calls.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request: Request<Incoming>| {
                    let calls = calls.clone();
                    async move { Ok::<_, Infallible>(answer(request, calls).await) }
                });
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, receiver)
}

async fn answer(
    request: Request<Incoming>,
    calls: mpsc::Sender<Call>,
) -> Response<BoxBody<Bytes, Broken>> {
    let (outgoing, receiver) = mpsc::channel(8);
    let path = request.uri().path().to_owned();
    if calls.send(Call { path, incoming: request.into_body(), outgoing }).await.is_err() {
        return Response::new(Empty::new().map_err(|never| match never {}).boxed());
    }
    let stream = ReceiverStream::new(receiver).map(|bytes| bytes.map(Frame::data));
    Response::new(BodyExt::boxed(StreamBody::new(stream)))
}

/// An agent's session and what it is connected with.
struct Agent {
    desk: Arc<Desk>,
    reports: Reports,
    applied: watch::Sender<Revision>,
    standing: watch::Receiver<Standing>,
    leaving: CancellationToken,
    _description: watch::Sender<NodeDescription>,
    _identity: watch::Sender<Arc<Identity>>,
    engine: Engine,
    _stop: tokio_util::sync::DropGuard,
    _home: tempfile::TempDir,
}

fn start(ca: &Ca, managers: &[SocketAddr]) -> Agent {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let identity = watch::Sender::new(Arc::new(ca.identity()));
    let mut description = NodeDescription { hostname: "w1".into(), ..NodeDescription::default() };
    description.engine.version = "20.10".into();
    let description = watch::Sender::new(description);
    let (desk, reports) = (Desk::open(Ledger::below(home.path())), Reports::default());
    let (applied, standing) = (watch::Sender::default(), watch::Sender::default());
    let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
    let agent = Agent {
        desk: desk.clone(),
        reports: reports.clone(),
        standing: standing.subscribe(),
        leaving: leaving.clone(),
        _stop: stop.clone().drop_guard(),
        applied: applied.clone(),
        _description: description.clone(),
        _identity: identity.clone(),
        engine: engine.clone(),
        _home: home,
    };
    let session = Session {
        identity: identity.subscribe(),
        desk,
        reports,
        applied: applied.subscribe(),
        description: description.subscribe(),
        engine: Arc::new(Docker::new(&engine.socket)),
        managers: managers.iter().map(SocketAddr::to_string).collect(),
        standing,
        leaving,
        main: tokio::runtime::Handle::current(),
    };
    spawn(session, stop).expect("a thread");
    agent
}

/// Takes the session's request, its hello, and welcomes it.
async fn welcome(calls: &mut mpsc::Receiver<Call>) -> (Call, Decoder<FromAgent>) {
    let mut call = calls.recv().await.expect("a session");
    assert_eq!(call.path, "/session");
    let mut decoder = Decoder::default();
    let hostname = call
        .next(&mut decoder, |frame| match frame {
            FromAgent::Hello { description, .. } => Some(description.hostname),
            _ => None,
        })
        .await;
    assert_eq!(hostname, "w1");
    let (heartbeat, silence) = (Millis(100), Millis(10_000));
    call.send(&FromManager::Welcome { node: NODE, term: 1, heartbeat, silence }).await;
    (call, decoder)
}

fn orders(revision: u64) -> Orders {
    let fence = Fence { term: 1, revision: Revision(revision) };
    let mut orders = Orders { fence, ..Orders::default() };
    orders.node.id = NODE;
    orders
}

#[tokio::test]
async fn orders_come_down_heartbeats_and_reports_go_up_until_acknowledged() {
    let ca = Ca::new();
    let (address, mut calls) = manager(&ca).await;
    let agent = start(&ca, &[address]);
    let (mut call, mut decoder) = welcome(&mut calls).await;
    call.send(&FromManager::Orders { orders: Box::new(orders(5)) }).await;
    agent
        .desk
        .latest()
        .wait_for(|o| o.as_ref().is_some_and(|o| o.fence == orders(5).fence))
        .await
        .expect("taken");
    let delta = Box::new(orders(9).delta_to(&orders(10)));
    call.send(&FromManager::Delta { delta }).await;
    call.next(&mut decoder, |f| (f == FromAgent::Resend).then_some(())).await;
    let delta = Box::new(orders(5).delta_to(&orders(6)));
    call.send(&FromManager::Delta { delta }).await;
    agent
        .desk
        .latest()
        .wait_for(|o| o.as_ref().is_some_and(|o| o.fence == orders(6).fence))
        .await
        .expect("taken");
    agent.applied.send_replace(Revision(6));
    call.next(&mut decoder, |frame| match frame {
        FromAgent::Heartbeat { applied: Revision(6), .. } => Some(()),
        _ => None,
    })
    .await;
    let report = TaskReport {
        task: TaskId(Id(3)),
        state: TaskState::Running,
        at: Timestamp(1),
        message: String::new(),
        error: String::new(),
        container: None,
        ports: Vec::new(),
    };
    agent.reports.put(vec![report.clone()]);
    let statuses = |frame| match frame {
        FromAgent::Statuses { seq, statuses } => Some((seq, statuses)),
        _ => None,
    };
    let (first, sent) = call.next(&mut decoder, statuses).await;
    assert_eq!(sent, std::slice::from_ref(&report));
    let (second, again) = call.next(&mut decoder, statuses).await;
    assert!(second > first && again == [report], "sent again until it is acknowledged");
    call.send(&FromManager::StatusAck { seq: second }).await;
    agent.leaving.cancel();
    call.next(&mut decoder, |f| (f == FromAgent::Leaving).then_some(())).await;
    let seq =
        call.next(&mut decoder, |f| {
            if let FromAgent::Heartbeat { seq, .. } = f { Some(seq) } else { None }
        })
        .await;
    call.send(&FromManager::HeartbeatAck { seq }).await;
    agent.standing.clone().wait_for(|s| *s == Standing::Left).await.expect("left");
}

#[tokio::test]
async fn a_manager_that_does_not_lead_sends_the_agent_on() {
    let ca = Ca::new();
    let (follower, mut asked) = manager(&ca).await;
    let (leader, mut calls) = manager(&ca).await;
    let agent = start(&ca, &[follower]);
    let call = asked.recv().await.expect("a session");
    let managers = [(NodeId(Id(1)), leader.to_string())].into();
    call.send(&FromManager::NotLeader { leader: Some(leader.to_string()), managers }).await;
    let (_call, _) = welcome(&mut calls).await;
    let connected = Standing::Connected(leader.to_string());
    agent.standing.clone().wait_for(|s| *s == connected).await.expect("connected");
}

#[tokio::test]
async fn a_stream_carries_the_engines_answer() {
    let ca = Ca::new();
    let (address, mut calls) = manager(&ca).await;
    let _agent = start(&ca, &[address]);
    let (session, _) = welcome(&mut calls).await;
    let request =
        StreamRequest { method: "GET".into(), path: "/_ping".into(), headers: Vec::new() };
    session.send(&FromManager::Open { stream: 42, request }).await;
    let mut call = calls.recv().await.expect("a stream");
    assert_eq!(call.path, "/stream/42");
    let mut decoder = Decoder::<StreamHead>::default();
    let mut head = None;
    while let Some(part) = call.incoming.frame().await {
        decoder.push(&part.expect("a stream").into_data().expect("data"));
        if head.is_none() {
            head = decoder.next_frame().expect("a head");
        }
    }
    assert_eq!(head.expect("a head").status, 200);
    assert_eq!(decoder.into_rest(), b"OK");
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_no_shorter_one_to_the_engine() {
    let ca = Ca::new();
    let (address, mut calls) = manager(&ca).await;
    let agent = start(&ca, &[address]);
    let (session, _) = welcome(&mut calls).await;
    let chunk = Bytes::from(vec![7; 16 << 10]);
    for (stream, header, breaks) in [
        (1, ("transfer-encoding", "chunked".to_owned()), false),
        (2, ("transfer-encoding", "chunked".to_owned()), true),
        (3, ("content-length", (100 * chunk.len()).to_string()), false),
        (4, ("content-length", (200 * chunk.len()).to_string()), true),
    ] {
        let headers = vec![(header.0.to_owned(), header.1)];
        let path = "/containers/1/archive?path=/".to_owned();
        let request = StreamRequest { method: "PUT".into(), path, headers };
        session.send(&FromManager::Open { stream, request }).await;
        let call = calls.recv().await.expect("a stream");
        for _ in 0..100 {
            call.outgoing.send(Ok(chunk.clone())).await.expect("it is taken");
        }
        if breaks {
            call.outgoing.send(Err(Broken)).await.expect("it is taken");
        }
        drop(call.outgoing);
        let uploads = agent.engine.uploads(usize::try_from(stream).expect("small")).await;
        let expected = (!breaks).then_some(100 * chunk.len());
        assert_eq!(uploads.last(), Some(&expected), "stream {stream}");
    }
}

#[tokio::test]
async fn a_node_that_was_removed_stops_asking() {
    let ca = Ca::new();
    let (address, mut calls) = manager(&ca).await;
    let agent = start(&ca, &[address]);
    let (call, _) = welcome(&mut calls).await;
    call.send(&FromManager::Removed).await;
    agent.standing.clone().wait_for(|s| *s == Standing::Removed).await.expect("removed");
}

#[tokio::test]
async fn a_joining_host_trusts_the_root_of_its_token_only() {
    let ca = Ca::new();
    let (address, _calls) = manager(&ca).await;
    let address = address.to_string();
    assert!(Link::open(&address, joining(&ca.digest())).await.is_ok());
    let error = Link::open(&address, joining(&Ca::new().digest())).await.err();
    assert_eq!(error, Some(LinkError::OtherCluster { address }));
}
