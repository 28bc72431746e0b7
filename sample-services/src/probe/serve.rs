//! `probe serve`: an HTTP server that tells who answered and fails on request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::serve;
use crate::settings::Instance;

/// Largest answer of `/bytes`.
const MOST_BYTES: usize = 64 << 20;

struct Probe {
    instance: Arc<Instance>,
    failing: AtomicBool,
    answered: AtomicU64,
}

pub async fn run(port: u16, failing: bool) -> anyhow::Result<()> {
    let instance = Instance::from_env("probe");
    let router = router(Arc::clone(&instance), failing);
    println!("probe {} serves on port {port}", instance.host);
    serve::on_port(instance, router, port).await
}

fn router(instance: Arc<Instance>, failing: bool) -> Router {
    let failing = AtomicBool::new(failing);
    let probe = Arc::new(Probe { instance, failing, answered: AtomicU64::new(0) });
    Router::new()
        .route("/", get(about).put(about).post(about))
        .route("/health", get(health))
        .route("/ready", get(health))
        .route("/fail", post(async |State(probe): State<Arc<Probe>>| switch(&probe, true)))
        .route("/recover", post(async |State(probe): State<Arc<Probe>>| switch(&probe, false)))
        .route("/sleep", get(sleep))
        .route("/exit", get(exit).post(exit))
        .route("/bytes", get(bytes))
        .route("/echo", post(async |body: Bytes| body))
        .fallback(serve::nothing_here)
        .with_state(probe)
}

#[derive(Deserialize)]
struct About {
    env: Option<String>,
}

async fn about(
    State(probe): State<Arc<Probe>>,
    Query(wanted): Query<About>,
    request: Request,
) -> Json<Value> {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let headers: BTreeMap<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let mut about = json!({
        "hostname": probe.instance.host,
        "version": probe.instance.version,
        "client": client.map(|client| client.to_string()),
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "headers": headers,
        "answered": probe.answered.fetch_add(1, Ordering::Relaxed) + 1,
    });
    if wanted.env.is_some() {
        about["env"] = json!(std::env::vars().collect::<BTreeMap<_, _>>());
    }
    Json(about)
}

async fn health(State(probe): State<Arc<Probe>>) -> Response {
    let healthy = !probe.failing.load(Ordering::Relaxed);
    let status = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, Json(json!({"healthy": healthy, "hostname": probe.instance.host}))).into_response()
}

fn switch(probe: &Probe, failing: bool) -> Json<Value> {
    probe.failing.store(failing, Ordering::Relaxed);
    println!("/health {} from now on", if failing { "fails" } else { "works" });
    Json(json!({"healthy": !failing, "hostname": probe.instance.host}))
}

#[derive(Deserialize)]
struct Sleep {
    #[serde(default)]
    ms: u64,
}

async fn sleep(State(probe): State<Arc<Probe>>, Query(Sleep { ms }): Query<Sleep>) -> Json<Value> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(json!({"slept_ms": ms, "hostname": probe.instance.host}))
}

#[derive(Deserialize)]
struct Exit {
    #[serde(default)]
    code: u8,
}

async fn exit(Query(Exit { code }): Query<Exit>) -> Json<Value> {
    println!("exits with code {code} as asked");
    tokio::spawn(async move {
        // Long enough for the answer to leave.
        tokio::time::sleep(Duration::from_millis(20)).await;
        std::process::exit(i32::from(code));
    });
    Json(json!({"exit": code}))
}

#[derive(Deserialize)]
struct Length {
    #[serde(default)]
    n: usize,
}

async fn bytes(Query(Length { n }): Query<Length>) -> Vec<u8> {
    vec![b'x'; n.min(MOST_BYTES)]
}
