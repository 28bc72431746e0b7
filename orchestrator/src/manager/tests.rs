//! Whole managers on loopback: a cluster started, hosts let in, certificates renewed.

mod locked;
mod rotated;
mod watching;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use model::NodeId;
use model::object::NodeDescription;
use model::spec::{Availability, Role};
use model::wire::join::{Certificate, JoinReply, JoinRequest, RenewRequest};
use model::wire::start::Start;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Manager, Routes, Settings, StartError, paths};
use crate::ca::{join_token, new_request, new_secret};
use crate::forward;
use crate::log::{Log, Standing, Timing};
use crate::transport::{CallError, Identity, Lane, Pool, Target};

const SOON: Duration = Duration::from_secs(20);

fn settings(folder: &Path, listen: SocketAddr) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        listen,
        advertise: listen.to_string(),
        api_socket: folder.join("manager.sock"),
        timing: Timing::default(),
        snapshot_every: 1000,
        force_new_cluster: false,
    }
}

/// An address that was free a moment ago.
async fn free() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("its address")
}

/// How a manager is served.
type Serve = fn(tempfile::TempDir, SocketAddr, Manager) -> Running;

struct Running {
    folder: tempfile::TempDir,
    listen: SocketAddr,
    log: Log<orchestrator_core::State>,
    /// What a client on this host is answered by.
    local: Router,
    stop: CancellationToken,
    served: JoinHandle<Result<(), StartError>>,
}

impl Running {
    fn serve(folder: tempfile::TempDir, listen: SocketAddr, manager: Manager) -> Running {
        let (log, stop) = (manager.log.clone(), manager.stop.clone());
        let who =
            axum::routing::post(
                |peer: crate::transport::Peer| async move { peer.node.to_string() },
            );
        let node = log.node().to_string();
        let api = Router::new().route("/who", axum::routing::get(async move || node));
        let local = forward::local(log.clone(), manager.pool.clone(), api.clone());
        let routes = Routes {
            nodes: Router::new().route("/session", who),
            managers: forward::managers(log.clone(), api),
            ..Routes::default()
        };
        let served = tokio::spawn(manager.serve(routes));
        Running { folder, listen, log, local, stop, served }
    }

    /// With everything that a manager serves.
    fn whole(folder: tempfile::TempDir, listen: SocketAddr, manager: Manager) -> Running {
        let (log, stop) = (manager.log.clone(), manager.stop.clone());
        let routes = crate::wiring::start(&manager);
        let local = routes.local.clone();
        let served = tokio::spawn(manager.serve(routes));
        Running { folder, listen, log, local, stop, served }
    }

    async fn first() -> Running {
        Running::first_as(Running::serve).await
    }

    async fn first_as(serve: Serve) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = free().await;
        let start = Start {
            description: NodeDescription { hostname: "m1".to_owned(), ..Default::default() },
            ..Start::default()
        };
        let manager = Manager::bootstrap(settings(folder.path(), listen), start).await;
        serve(folder, listen, manager.expect("a cluster"))
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.served.await.expect("no panic").expect("a planned stop");
        self.folder
    }

    fn target(&self) -> Target {
        Target { node: None, address: self.listen.to_string(), lane: Lane::Api }
    }

    /// The token for `role` as a client would be told it.
    fn token(&self, role: Role) -> String {
        let state = self.log.state();
        let cluster = state.state.cluster().expect("a cluster");
        let authority = crate::ca::Authority::new(&cluster.ca).expect("its authority");
        let secret = match role {
            Role::Manager => &cluster.tokens.manager,
            Role::Worker => &cluster.tokens.worker,
        };
        join_token(authority.digest(), secret)
    }

    /// As this host: any certificate will do for asking to join.
    fn pool(&self) -> Arc<Pool> {
        pool(self.identity())
    }

    /// By its files.
    fn identity(&self) -> Identity {
        Identity::load(&paths(self.folder.path())).expect("its identity")
    }
}

fn pool(identity: Identity) -> Arc<Pool> {
    Pool::new(watch::Sender::new(Arc::new(identity)).subscribe())
}

async fn ask<A: serde::de::DeserializeOwned>(
    pool: &Arc<Pool>,
    target: &Target,
    path: &'static str,
    question: &impl serde::Serialize,
) -> Result<A, CallError> {
    let body = Body::from(serde_json::to_vec(question).expect("JSON"));
    let answer = pool.post(target, path, body).await?;
    let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    Ok(serde_json::from_slice(&bytes).expect("the answer's form"))
}

fn join_request(token: String, name: &str, address: &str) -> (String, JoinRequest) {
    let (key, csr_pem) = new_request().expect("a key");
    let request = JoinRequest {
        token,
        csr_pem,
        description: NodeDescription { hostname: name.to_owned(), ..Default::default() },
        availability: Availability::Active,
        manager_address: address.to_owned(),
    };
    (key, request)
}

/// Joins a manager by token and waits until it has a vote.
async fn join_manager(first: &Running, by: &Running) -> Running {
    join_manager_as(Running::serve, first, by).await
}

async fn join_manager_as(serve: Serve, first: &Running, by: &Running) -> Running {
    let listen = free().await;
    let token = first.token(Role::Manager);
    let (key, request) = join_request(token, "m", &listen.to_string());
    let reply: JoinReply = ask(&by.pool(), &by.target(), "/join", &request).await.expect("let in");
    assert_eq!(reply.role, Role::Manager);
    let folder = tempfile::tempdir().expect("a folder");
    let paths = paths(folder.path());
    std::fs::create_dir_all(paths.cert.parent().expect("a folder")).expect("made");
    let Certificate { cert_pem, ca_pem, .. } = &reply.certificate;
    let identity = Identity::new(cert_pem, &key, ca_pem).expect("an identity");
    identity.store(&paths).expect("stored");
    let manager = Manager::open(settings(folder.path(), listen)).await.expect("a manager");
    let new = serve(folder, listen, manager);
    first.log.add_learner(reply.node, &listen.to_string()).await.expect("a learner");
    let mut changes = new.log.watch().1;
    let knows = async {
        while new.log.state().state.node(reply.node).is_none() {
            changes.next().await.expect("a running log");
        }
    };
    timeout(SOON, knows).await.expect("it gets the state in time");
    let promoted = async {
        // The leader hears a moment later how far the learner is.
        while let Err(error) = first.log.promote(reply.node).await {
            use crate::log::MembershipError::{Behind, Newcomer};
            assert!(matches!(error, Behind { .. } | Newcomer { .. }), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, promoted).await.expect("a vote in time");
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_starts_and_comes_back_after_a_stop() {
    let first = Running::first().await;
    let node = first.log.node();
    let cluster = first.log.state().state.cluster().expect("a cluster").id;
    assert!(first.log.state().state.node(node).is_some());
    let listen = first.listen;
    let folder = first.stop().await;
    let again = Manager::bootstrap(settings(folder.path(), listen), Start::default()).await;
    assert!(matches!(again, Err(StartError::InCluster { .. })));
    let manager = Manager::open(settings(folder.path(), listen)).await.expect("the manager");
    let back = Running::serve(folder, listen, manager);
    let read = timeout(SOON, async {
        loop {
            match back.log.read().await {
                Ok(read) => return read,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let read = read.await.expect("a leader in time");
    assert_eq!(read.state.cluster().expect("a cluster").id, cluster);
    assert_eq!(back.log.node(), node);
    back.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_joins_by_token_and_may_do_what_a_worker_may() {
    let first = Running::first().await;
    let (key, request) = join_request(first.token(Role::Worker), "w1", "");
    let reply: JoinReply =
        ask(&first.pool(), &first.target(), "/join", &request).await.expect("let in");
    assert_eq!(reply.role, Role::Worker);
    assert_eq!(reply.managers, [(first.log.node(), first.listen.to_string())].into());
    let state = first.log.state();
    assert_eq!(state.state.node(reply.node).expect("the node").description.hostname, "w1");
    let Certificate { cert_pem, ca_pem, .. } = &reply.certificate;
    let worker = pool(Identity::new(cert_pem, &key, ca_pem).expect("an identity"));
    let answer = worker.post(&first.target(), "/session", Body::empty()).await.expect("let in");
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(body, reply.node.to_string());
    let raft = worker.post(&first.target(), "/raft/vote", Body::from("{}")).await;
    assert!(matches!(raft, Err(CallError::Refused { status, .. }) if status == 403), "{raft:?}");
    let (key, csr_pem) = new_request().expect("a key");
    let renewed: Certificate =
        ask(&worker, &first.target(), "/renew", &RenewRequest { csr_pem }).await.expect("renewed");
    assert_eq!(renewed.role, Role::Worker);
    let renewed = Identity::new(&renewed.cert_pem, &key, &renewed.ca_pem).expect("an identity");
    assert_eq!(renewed.subject.node, reply.node);
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_lets_nobody_in_and_makes_no_node() {
    let first = Running::first().await;
    let digest = first.token(Role::Worker).split('-').nth(2).expect("a digest").to_owned();
    let other = join_token(&digest, &new_secret().expect("a secret"));
    let elsewhere = join_token(&"0".repeat(50), &new_secret().expect("a secret"));
    for (token, expected) in [(other, 403), (elsewhere, 403), ("SWMTKN-1-x".to_owned(), 400)] {
        let (_, request) = join_request(token, "w1", "");
        let answer: Result<JoinReply, _> =
            ask(&first.pool(), &first.target(), "/join", &request).await;
        let refused =
            matches!(answer, Err(CallError::Refused { status, .. }) if status == expected);
        assert!(refused, "{answer:?}");
    }
    let (_, mut request) = join_request(first.token(Role::Worker), "w1", "");
    request.csr_pem = "no request".to_owned();
    let answer: Result<JoinReply, _> = ask(&first.pool(), &first.target(), "/join", &request).await;
    assert!(
        matches!(answer, Err(CallError::Refused { status, .. }) if status == 400),
        "{answer:?}"
    );
    assert_eq!(first.log.state().state.nodes().len(), 1);
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_join_each_other_by_token_also_through_a_follower() {
    let first = Running::first().await;
    let second = join_manager(&first, &first).await;
    let third = join_manager(&first, &second).await;
    let voters =
        |log: &Log<_>| log.members().into_iter().filter(|m| m.standing == Standing::Voter).count();
    assert_eq!(voters(&first.log), 3);
    let nodes: Vec<NodeId> = first.log.state().state.nodes().map(|n| n.id).collect();
    assert_eq!(nodes.len(), 3);
    first.stop().await;
    let mut leadership = second.log.watch_leadership();
    let led = leadership.wait_for(|now| {
        now.leader.as_ref().is_some_and(|l| [second.log.node(), third.log.node()].contains(&l.node))
    });
    timeout(SOON, led).await.expect("another leader in time").expect("a running log");
    third.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_next_leader_while_the_last_one_cannot_be_reached() {
    // On threads of its own, so that all of it can end at once.
    let host = tokio::runtime::Runtime::new().expect("a runtime");
    let first = host.spawn(Running::first()).await.expect("no panic");
    let second = join_manager(&first, &first).await;
    let third = join_manager(&first, &first).await;
    let who = async || {
        let request = axum::extract::Request::get("/who").body(Body::empty()).expect("a request");
        let answer = second.local.clone().oneshot(request).await.expect("never fails");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
    };
    let lost = first.log.node().to_string();
    assert_eq!(who().await, (200, lost.clone()));

    // As when its host loses power: nobody is told, its port is closed.
    first.log.abandon();
    host.shutdown_background();
    let (status, answer) = timeout(SOON, who()).await.expect("in time");
    assert_eq!(status, 200, "{answer}");
    assert_ne!(answer, lost);
    second.stop().await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manager_speaks_of_itself_also_when_nobody_leads() {
    let first = Running::first_as(Running::whole).await;
    let second = join_manager_as(Running::whole, &first, &first).await;
    let info = async |of: &Running| {
        let request = axum::extract::Request::get("/_swarm/info").body(Body::empty());
        let answer = of.local.clone().oneshot(request.expect("a request")).await;
        let answer = answer.expect("never fails");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice::<serde_json::Value>(&body).expect("JSON")
    };
    for manager in [&first, &second] {
        let info = info(manager).await;
        assert_eq!(info["NodeID"], manager.log.node().to_string());
        assert_eq!((&info["Managers"], &info["Error"]), (&2.into(), &"".into()));
    }
    first.stop().await;
    let mut leadership = second.log.watch_leadership();
    let me = second.log.node();
    let nobody = leadership.wait_for(|now| {
        !now.is_leading && now.leader.as_ref().is_none_or(|leader| leader.node == me)
    });
    timeout(SOON, nobody).await.expect("in time").expect("a running log");
    let info = info(&second).await;
    assert_eq!(info["NodeID"], second.log.node().to_string());
    let error = info["Error"].as_str().unwrap_or_default();
    assert!(error.contains("does not have a leader"), "{info}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_manager_goes_on_alone_when_it_is_told_to() {
    let first = Running::first().await;
    let second = join_manager(&first, &first).await;
    second.log.abandon();
    second.stop.cancel();
    let listen = first.listen;
    let folder = first.stop().await;
    let settings = Settings { force_new_cluster: true, ..settings(folder.path(), listen) };
    let manager = Manager::open(settings).await.expect("the manager");
    let alone = Running::serve(folder, listen, manager);
    let mut leadership = alone.log.watch_leadership();
    let leading = leadership.wait_for(|now| now.is_leading);
    timeout(SOON, leading).await.expect("in time").expect("a running log");
    assert_eq!(alone.log.members().len(), 1);
    assert_eq!(alone.log.read().await.expect("a leader").state.nodes().len(), 2);
    alone.stop().await;
}
