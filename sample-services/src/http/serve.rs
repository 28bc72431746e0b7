//! Accepts connections, answers them, and stops without losing a request.
//!
//! Stopping: no new connections (those already waiting in the queue are still taken), every answer
//! says `Connection: close`, a connection that is about to send its request gets a moment for it,
//! requests in flight are finished.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use http::header;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::Problem;
use super::every_request;
use crate::settings::{self, Instance};

/// How long a connection without a request may still send one after the stop signal: a few round
/// trips, for a client that had connected just before.
const LAST_CALL: Duration = Duration::from_millis(200);

/// How long requests in flight may take to finish: within the 10 s that engines wait before a kill.
const FINISH: Duration = Duration::from_secs(8);

/// Pause after a connection could not be accepted, for connections to end and free their files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves on `PORT` (else `default_port`) until SIGTERM or SIGINT.
pub async fn run(instance: Arc<Instance>, router: Router, default_port: u16) -> anyhow::Result<()> {
    on_port(instance, router, settings::port("PORT", default_port)?).await
}

/// Serves on `port` until SIGTERM or SIGINT.
pub async fn on_port(instance: Arc<Instance>, router: Router, port: u16) -> anyhow::Result<()> {
    let [both_families, ipv4] = settings::listen_addresses(port);
    let listener = match TcpListener::bind(both_families).await {
        Ok(listener) => listener,
        Err(_) => {
            TcpListener::bind(ipv4).await.with_context(|| format!("listen on port {port}"))?
        }
    };
    let (service, version) = (instance.service, instance.version.clone());
    tracing::info!(service, version, port, host = instance.host, "listening");
    until(instance, router, listener, stop_signal()?).await;
    tracing::info!(service, "stopped");
    Ok(())
}

/// Serves on `listener` until `stop` is done and the last request is answered.
pub async fn until(
    instance: Arc<Instance>,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let router = standard(router, &instance);
    let (close, closing) = watch::channel(());
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(converse(stream, router.clone(), closing.clone()))),
                // Out of file descriptors or a client that went away: others may still be served.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            () = &mut stop => break,
        }
    }
    instance.stopping.store(true, Ordering::Relaxed);
    while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        drop(tokio::spawn(converse(stream, router.clone(), closing.clone())));
    }
    drop((listener, closing));
    if tokio::time::timeout(LAST_CALL, close.closed()).await.is_err() {
        close.send_replace(());
        if tokio::time::timeout(FINISH, close.closed()).await.is_err() {
            tracing::warn!(
                connections = close.receiver_count(),
                "stopped with requests unfinished"
            );
        }
    }
}

/// One connection, until the client has no more requests or the process stops.
async fn converse(stream: TcpStream, router: Router, mut closing: watch::Receiver<()>) {
    let Ok(peer) = stream.peer_addr() else { return };
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = closing.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection broken");
    }
}

/// A router with what most services share: `/health` (whoever answers is alive) and a JSON answer
/// for paths that are not there.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/health", get(async || axum::Json(serde_json::json!({"healthy": true}))))
        .fallback(nothing_here)
}

pub async fn nothing_here(request: Request) -> Problem {
    Problem::not_found(format!("there is no {}", request.uri().path()))
}

/// Adds what every service has: `/metrics`, a JSON answer to wrong methods, and what happens
/// around every request.
fn standard(router: Router, instance: &Arc<Instance>) -> Router {
    let metrics = {
        let instance = Arc::clone(instance);
        move || {
            let text = instance.metrics.render(instance.service, &instance.version);
            std::future::ready(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
        }
    };
    let around = axum::middleware::from_fn_with_state(Arc::clone(instance), every_request::around);
    router
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(async |request: Request| {
            Problem::wrong_method(request.method())
        })
        .layer(around)
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
