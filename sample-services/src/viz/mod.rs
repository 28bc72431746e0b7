//! viz: the orchestrator's dashboard, read-only, from the API behind a mounted socket.
//!
//! Published without a password, so it passes on as little as the page needs: three paths, by GET,
//! with parameters that it writes itself. Logs, environment variables, configs and everything that
//! changes the cluster stay behind the socket. Where the socket is not our cluster's but Docker's own,
//! [`lists`] makes the same stream of Docker's lists.

mod docker;
mod lists;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::{Problem, serve};
use crate::pages::{self, Files};
use crate::settings::{self, Instance};
use docker::EngineError;

pub use docker::Engine;

const PAGE: Files = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// Streams at once, two for each reader. The cluster pays for each of them; anyone may ask.
const STREAMS: usize = 256;

/// Events of the cluster, not of the engine that the socket belongs to.
const OF_CLUSTER: &str = "%7B%22scope%22%3A%5B%22swarm%22%5D%7D";

struct Viz {
    engine: Engine,
    streams: Arc<Semaphore>,
}

pub async fn run() -> anyhow::Result<()> {
    let engine = settings::text("DOCKER_HOST", "unix:///var/run/docker.sock").parse()?;
    serve::run(Instance::from_env("viz"), router(engine), 8080).await
}

pub fn router(engine: Engine) -> Router {
    let router = serve::router()
        .route("/ready", get(ready))
        .route("/settings.json", get(settings_of_page))
        .route("/api/watch", get(watch))
        .route("/api/events", get(events))
        .route("/api/explain/{kind}/{id}", get(explain));
    let viz = Viz { engine, streams: Arc::new(Semaphore::new(STREAMS)) };
    pages::serve(router, PAGE).with_state(Arc::new(viz))
}

/// Without an engine there is still a page to show, which says so.
async fn ready() -> Json<Value> {
    Json(json!({"ready": true}))
}

async fn settings_of_page() -> Json<Value> {
    Json(json!({"api": "api/", "readOnly": true, "logs": false}))
}

type Parameters = Query<HashMap<String, String>>;

async fn watch(State(viz): State<Arc<Viz>>, asked: Parameters) -> Result<Response, Problem> {
    let since = number(&asked, "since")?.unwrap_or_else(|| "0".to_owned());
    let permit = viz.stream()?;
    let path = format!("/watch?kinds=node,service,task&view=brief&since={since}");
    match viz.engine.stream(&path).await {
        // Whoever knows no such path is Docker itself.
        Err(EngineError::Refused { status: 404, .. }) => {
            let first = lists::look(&viz.engine).await.map_err(|error| viz.away(&error))?;
            Ok(lists::follow(viz.engine.clone(), first, permit))
        }
        answer => viz.pass_on(answer, permit),
    }
}

async fn events(State(viz): State<Arc<Viz>>, asked: Parameters) -> Result<Response, Problem> {
    let since = number(&asked, "since")?.map(|at| format!("&since={at}")).unwrap_or_default();
    let permit = viz.stream()?;
    let answer = viz.engine.stream(&format!("/events?filters={OF_CLUSTER}{since}")).await;
    viz.pass_on(answer, permit)
}

async fn explain(
    State(viz): State<Arc<Viz>>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let known = matches!(kind.as_str(), "service" | "task" | "node");
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !known || !plain {
        return Err(Problem::not_found(format!("there is no {kind} {id}")));
    }
    let permit = viz.stream()?;
    viz.pass_on(viz.engine.stream(&format!("/explain/{kind}/{id}")).await, permit)
}

/// A parameter that is a number, perhaps with decimals, as it was written.
fn number(asked: &Parameters, name: &'static str) -> Result<Option<String>, Problem> {
    match asked.get(name) {
        None => Ok(None),
        Some(text)
            if (1..=24).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') =>
        {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(Problem::invalid([(name, "must be a number".to_owned())].into())),
    }
}

impl Viz {
    fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Problem::unavailable("too many readers", format!("{STREAMS} streams are open"))
        })
    }

    fn away(&self, error: &EngineError) -> Problem {
        Problem::unavailable(format!("{} cannot be asked", self.engine), error.to_string())
    }

    /// The answer as it comes; refusals that tell the page what to do keep their status.
    fn pass_on(
        &self,
        answer: Result<http::Response<hyper::body::Incoming>, EngineError>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response, Problem> {
        match answer {
            Ok(answer) => {
                Ok(streaming(Body::new(Kept { body: answer.into_body(), _permit: permit })))
            }
            Err(EngineError::Refused { status: 410, message, .. }) => {
                Ok((StatusCode::GONE, Json(json!({"error": message}))).into_response())
            }
            Err(EngineError::Refused { status: 404, message, .. }) => {
                Err(Problem::not_found(message))
            }
            Err(error) => Err(self.away(&error)),
        }
    }
}

/// What the browser is told of every stream.
fn streaming(body: Body) -> Response {
    let about: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (about, body).into_response()
}

/// A body that holds its place among the streams until it ends.
struct Kept {
    body: hyper::body::Incoming,
    _permit: OwnedSemaphorePermit,
}

impl hyper::body::Body for Kept {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }
}
