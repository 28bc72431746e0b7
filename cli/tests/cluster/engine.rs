//! The part of a host's own engine that commands use: volumes, and commands in containers.
//!
//! A command in a container here writes its words to standard output, `warned` to standard error,
//! then what it reads, and ends with code 7.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What the engine remembers.
#[derive(Clone, Default)]
pub struct Engine {
    pub volumes: Arc<Mutex<BTreeMap<String, Value>>>,
    /// Containers that are here.
    pub containers: Arc<Mutex<Vec<String>>>,
    /// Commands that were made, by id.
    pub commands: Arc<Mutex<BTreeMap<String, Value>>>,
}

fn missing(what: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "message": format!("No such {what}") }))).into_response()
}

impl Engine {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/volumes", get(volumes))
            .route("/volumes/create", post(create_volume))
            .route("/volumes/{name}", get(inspect_volume).delete(remove_volume))
            .route("/containers/{id}/exec", post(create_exec))
            .route("/exec/{id}/start", post(start_exec))
            .route("/exec/{id}/json", get(|| async { Json(json!({"ExitCode": 7})) }))
            .with_state(self.clone())
    }
}

async fn volumes(State(engine): State<Engine>) -> Json<Value> {
    let volumes: Vec<Value> = engine.volumes.lock().expect("no panic").values().cloned().collect();
    Json(json!({"Volumes": volumes, "Warnings": null}))
}

async fn create_volume(State(engine): State<Engine>, Json(body): Json<Value>) -> Response {
    let name = body["Name"].as_str().expect("a name").to_owned();
    let volume = json!({
        "Name": name, "Driver": body["Driver"], "Labels": body["Labels"], "Scope": "local",
        "Options": body["DriverOpts"],
    });
    engine.volumes.lock().expect("no panic").insert(name, volume.clone());
    (StatusCode::CREATED, Json(volume)).into_response()
}

async fn inspect_volume(State(engine): State<Engine>, Path(name): Path<String>) -> Response {
    match engine.volumes.lock().expect("no panic").get(&name) {
        Some(volume) => Json(volume.clone()).into_response(),
        None => missing(&format!("volume: {name}")),
    }
}

async fn remove_volume(State(engine): State<Engine>, Path(name): Path<String>) -> Response {
    match engine.volumes.lock().expect("no panic").remove(&name) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => missing(&format!("volume: {name}")),
    }
}

async fn create_exec(
    State(engine): State<Engine>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    if !engine.containers.lock().expect("no panic").contains(&id) {
        return missing(&format!("container: {id}"));
    }
    engine.commands.lock().expect("no panic").insert("e1".to_owned(), body);
    (StatusCode::CREATED, Json(json!({"Id": "e1"}))).into_response()
}

async fn start_exec(
    State(engine): State<Engine>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let command = engine.commands.lock().expect("no panic").get(&id).cloned();
    let command = command.expect("it was made");
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.expect("an upgrade");
        let mut stream = TokioIo::new(upgraded);
        let words: Vec<&str> =
            command["Cmd"].as_array().expect("words").iter().filter_map(Value::as_str).collect();
        stream.write_all(&frame(1, words.join(" ").as_bytes())).await.expect("written");
        stream.write_all(&frame(2, b"warned")).await.expect("written");
        if command["AttachStdin"] == true {
            let mut input = Vec::new();
            stream.read_to_end(&mut input).await.expect("read until the client half-closes");
            stream.write_all(&frame(1, &input)).await.expect("written");
        }
        stream.shutdown().await.expect("closed");
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "tcp")
        .body(Body::empty())
        .expect("a response")
}

fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&[stream, 0, 0, 0][..], &length.to_be_bytes(), bytes].concat()
}
