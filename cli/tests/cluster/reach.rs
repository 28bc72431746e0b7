//! Where the API is: contexts, TLS, and connections that break.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use orchestrator::api::Cluster as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Command;
use tokio::sync::Notify;

use crate::world::{World, lines, run};

/// Serves a router over TLS until the test ends; the certificate that signs its own goes to a file.
async fn over_tls(world: &World, router: Router) -> SocketAddr {
    let mut issuer = CertificateParams::default();
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let issuer = CertifiedIssuer::self_signed(issuer, key).expect("a certificate");
    world.write("ca.pem", &issuer.pem());
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = server.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(router);
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Lets only requests with a token through.
async fn with_token(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    if shown.is_some_and(|shown| shown == "Bearer s3cret") {
        return next.run(request).await;
    }
    let body = json!({"message": "who are you?"}).to_string();
    (StatusCode::UNAUTHORIZED, body).into_response()
}

/// `swarmctl` with nothing in the environment that says where the API is.
async fn swarmctl(world: &World, line: &str) -> crate::world::Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmctl"));
    command.args(line.split_whitespace()).env_remove("SWARMCTL_HOST");
    run(&mut command, world.folder.path(), "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_has_the_address_the_certificate_and_the_token() {
    let world = World::stopped(1);
    let router = world.router().layer(axum::middleware::from_fn(with_token));
    let address = over_tls(&world, router).await;
    world.write("token", "s3cret\n");
    let flags = format!("-H tcp://{address} --tlscacert ca.pem --token-file token");

    let done = swarmctl(&world, &format!("node ls -q -H tcp://{address} --tlscacert ca.pem")).await;
    assert_eq!((done.code, done.err.as_str()), (1, "swarmctl: who are you?\n"));
    let done = swarmctl(&world, &format!("context create prod {flags} --description shop")).await;
    assert_eq!((done.code, done.out.as_str()), (0, "prod\n"), "{}", done.err);
    let done = swarmctl(&world, "--context prod node ls --format {{.Hostname}}").await;
    assert_eq!((done.code, done.out.as_str()), (0, "m1\nw1\n"), "{}", done.err);
    assert_eq!(swarmctl(&world, "context use prod").await.code, 0);
    let done = swarmctl(&world, "node ls --format {{.Hostname}}").await;
    assert_eq!((done.code, done.out.as_str()), (0, "m1\nw1\n"), "{}", done.err);
    let done = swarmctl(&world, "context ls").await;
    let shown = lines(&done.out);
    assert_eq!(shown[2], format!("prod * shop tcp://{address}"), "{}", done.out);
    // docker keeps its contexts in the same place.
    if let Some(docker) = world.docker("context ls --format {{.Name}}").await {
        assert!(docker.out.lines().any(|name| name == "prod"), "{docker:?}");
    }
    let done = swarmctl(&world, "context rm prod").await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("is in use"), "{}", done.err);
    assert_eq!(swarmctl(&world, "context rm --force prod").await.code, 0);
    let done = swarmctl(&world, "--context prod node ls").await;
    assert_eq!(done.code, 2);
    assert!(done.err.contains("no context \"prod\" (contexts: default)"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_known_gets_nothing() {
    let world = World::stopped(0);
    let address = over_tls(&world, Router::new()).await;
    std::fs::rename(world.path("ca.pem"), world.path("old.pem")).expect("renamed");
    over_tls(&world, Router::new()).await;
    let done = swarmctl(&world, &format!("node ls -H tcp://{address} --tlscacert ca.pem")).await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("is not trusted"), "{}", done.err);
    let done = swarmctl(&world, &format!("node ls -H tcp://{address} --tlscacert nope.pem")).await;
    assert_eq!(done.code, 2);
    assert!(done.err.contains("nope.pem"), "{}", done.err);
    let done = swarmctl(&world, &format!("node ls -H https://{address}")).await;
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--tlscacert"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clusters_root_certificate_is_printed() {
    let world = World::stopped(0);
    let shown = world.ok("ca").await;
    assert!(shown.starts_with("-----BEGIN CERTIFICATE-----\n"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_rotated_and_every_node_waited_for() {
    let world = World::start(2);
    let before = world.ok("ca").await;
    let done = world.run("ca --rotate").await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out, world.ok("ca").await);
    assert_ne!(done.out, before);
    // To one that is given: the first, taken from the cluster itself.
    world.write("root.pem", &before);
    world.write("root.key", "nothing");
    let done = world.run("ca --rotate --ca-cert root.pem --ca-key root.key").await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("not a private key in PEM form"), "{}", done.err);
    for line in ["ca --ca-cert root.pem", "ca --detach", "ca --rotate --ca-key root.key"] {
        assert_eq!(world.run(line).await.code, 2, "{line}");
    }
    let done = world.run("ca --rotate --ca-cert nope.pem --ca-key root.key").await;
    assert!(done.code != 0 && done.err.contains("nope.pem"), "{}", done.err);
    // Nobody waits when nobody is asked to; else for every node.
    let away = world.cluster.state().nodes().last().expect("a node").id;
    world.cluster.unreachable.lock().expect("no panic").push(away);
    let done = world.run("ca --rotate --detach").await;
    assert_eq!((done.code, &*done.out), (0, ""), "{}", done.err);
    assert_eq!(world.get("/swarm").await["RootRotationInProgress"], true);
    let back = async {
        while world.get("/swarm").await["Spec"]["CAConfig"]["ForceRotate"] != 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.get("/swarm").await["RootRotationInProgress"], true);
        world.cluster.unreachable.lock().expect("no panic").clear();
    };
    let (done, ()) = tokio::join!(world.run("ca --rotate"), back);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(world.get("/swarm").await["RootRotationInProgress"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_waited_for_while_the_leader_changes() {
    let world = World::start(1);
    let calls = Arc::new(AtomicU32::new(0));
    // The rotation reads the cluster and writes it; then it looks, and nobody leads for a while.
    let leaderless = 3..6;
    let layer = axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            let refused = leaderless.contains(&call);
            async move {
                if refused {
                    let body = json!({"message": "The swarm does not have a leader."});
                    return (StatusCode::SERVICE_UNAVAILABLE, body.to_string()).into_response();
                }
                next.run(request).await
            }
        },
    );
    let listener = UnixListener::bind(world.path("changing.sock")).expect("a socket");
    let router = world.router().layer(layer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let line = format!("ca --rotate -H unix://{}", world.path("changing.sock").display());
    let done = swarmctl(&world, &line).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out, world.ok("ca").await);
}

/// A frame of the log of a task.
fn frame(time: &str, task: &str, text: &str) -> Vec<u8> {
    let details = format!("com.docker.swarm.node.id=n1,com.docker.swarm.task.id={task}");
    let line = format!("2026-11-21T09:41:{time}Z {details} {text}\n");
    let length = u32::try_from(line.len()).expect("short").to_be_bytes();
    [&[1, 0, 0, 0], &length[..], line.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_logs_go_on_when_the_connection_breaks() {
    let world = World::stopped(0);
    let calls = Arc::new(AtomicU32::new(0));
    let arrived = Arc::new(Notify::new());
    let look_up = {
        let arrived = arrived.clone();
        move || {
            arrived.notify_one();
            std::future::ready((StatusCode::NOT_FOUND, Value::Null.to_string()))
        }
    };
    let logs = move |RawQuery(query): RawQuery| {
        let query = query.unwrap_or_default();
        std::future::ready(match calls.fetch_add(1, Ordering::SeqCst) {
            0 => {
                assert!(query.contains("tail=1"), "{query}");
                let read = [frame("14.000000001", "a", "one"), frame("14.000000002", "b", "two")];
                let arrived = arrived.clone();
                let broken = async move {
                    arrived.notified().await;
                    Err(std::io::Error::other("the manager is gone"))
                };
                let chunks = futures_util::stream::iter([Ok(read.concat())]);
                Body::from_stream(chunks.chain(futures_util::stream::once(broken))).into_response()
            }
            1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => {
                // A minute before the last line, all of it.
                assert!(
                    query.contains("since=1795254014") && query.contains("tail=all"),
                    "{query}"
                );
                let read = [
                    frame("14.000000001", "a", "one"),
                    frame("14.000000002", "b", "two"),
                    frame("14.000000003", "a", "three"),
                ];
                read.concat().into_response()
            }
        })
    };
    let looks = Arc::new(AtomicU32::new(0));
    let service = move || {
        // It is removed while its logs are followed.
        let gone = looks.fetch_add(1, Ordering::SeqCst) > 0;
        std::future::ready(if gone {
            (StatusCode::NOT_FOUND, json!({"message": "gone"}).to_string()).into_response()
        } else {
            axum::Json(json!({"ID": "s1", "Spec": {"Name": "web"}})).into_response()
        })
    };
    let list = async |_: HeaderMap| axum::Json(json!([{"ID": "s1", "Spec": {"Name": "web"}}]));
    let router: Router = Router::new()
        .route("/services", get(list))
        .route("/services/{id}", get(service))
        .route("/services/{id}/logs", get(logs))
        .route("/tasks/{id}", get(look_up));
    let listener = UnixListener::bind(world.path("breaking.sock")).expect("a socket");
    tokio::spawn(async move { axum::serve(listener, router).await });

    let line = format!("logs -f -n 1 web -H unix://{}", world.path("breaking.sock").display());
    let done = swarmctl(&world, &line).await;
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "a@n1 | one\nb@n1 | two\na@n1 | three\n"),
        "{}",
        done.err
    );
    assert_eq!(done.err, "swarmctl: the connection broke; going on where it was\n");
}
