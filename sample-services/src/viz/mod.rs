//! viz: the cluster as a picture, from the Docker API behind a mounted socket.

mod docker;
mod picture;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{Problem, serve};
use crate::pages::{self, Asset};
use crate::settings::{self, Instance};
use docker::EngineError;

pub use docker::Engine;

/// How long a picture is shown to everyone who asks: browsers ask once a second, and however many
/// there are, the manager is asked no more often than twice.
const FRESH: Duration = Duration::from_millis(500);

const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        kind: "text/html; charset=utf-8",
        content: include_str!("../../viz/index.html"),
    },
    Asset {
        path: "/viz.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("../../viz/viz.js"),
    },
    Asset {
        path: "/viz.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("../../viz/viz.css"),
    },
    Asset {
        path: "/favicon.ico",
        kind: "image/svg+xml",
        content: include_str!("../../viz/icon.svg"),
    },
];

struct Viz {
    engine: Engine,
    last: Mutex<Option<(Instant, Value)>>,
}

pub async fn run() -> anyhow::Result<()> {
    let engine = settings::text("DOCKER_HOST", "unix:///var/run/docker.sock").parse()?;
    serve::run(Instance::from_env("viz"), router(engine), 8080).await
}

pub fn router(engine: Engine) -> Router {
    let router = serve::router().route("/ready", get(ready)).route("/cluster.json", get(cluster));
    pages::serve(router, &ASSETS).with_state(Arc::new(Viz { engine, last: Mutex::default() }))
}

/// Without an engine there is still a page to show, which says so.
async fn ready() -> Json<Value> {
    Json(serde_json::json!({"ready": true}))
}

async fn cluster(State(viz): State<Arc<Viz>>) -> Result<Json<Value>, Problem> {
    let mut last = viz.last.lock().await;
    if let Some((at, picture)) = last.as_ref()
        && at.elapsed() < FRESH
    {
        return Ok(Json(picture.clone()));
    }
    let picture = look(&viz.engine).await.map_err(|error| {
        Problem::unavailable(format!("{} cannot be asked", viz.engine), error.to_string())
    })?;
    *last = Some((Instant::now(), picture.clone()));
    Ok(Json(picture))
}

/// Whoever tells about nodes is a manager; who refuses is asked for its own containers.
async fn look(engine: &Engine) -> Result<Value, EngineError> {
    let info = engine.get("/info").await?;
    match engine.get("/nodes").await {
        Ok(nodes) => {
            let (services, tasks) =
                tokio::try_join!(engine.get("/services"), engine.get("/tasks"))?;
            Ok(picture::of_cluster(&info, &nodes, &services, &tasks))
        }
        Err(EngineError::Refused { .. }) => {
            Ok(picture::of_engine(&info, &engine.get("/containers/json").await?))
        }
        Err(error @ (EngineError::Connect { .. } | EngineError::Send(_))) => Err(error),
    }
}
