//! An engine that is none: a small HTTP server on a unix socket that acts like one for what the agent uses.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{broadcast, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// A container of the engine.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: String,
    pub body: Value,
    pub status: &'static str,
    pub exit_code: i64,
    pub health: Option<&'static str>,
}

/// What the engine has; shared with the test.
#[derive(Clone)]
pub struct Engine {
    pub socket: PathBuf,
    pub containers: Arc<Mutex<BTreeMap<String, Made>>>,
    /// Every request that changes something: method and path.
    pub calls: Arc<Mutex<Vec<String>>>,
    /// Images that are here.
    pub images: Arc<Mutex<Vec<String>>>,
    /// Networks.
    pub networks: Arc<Mutex<Vec<Value>>>,
    /// How many bytes each upload had; none of one that broke off.
    pub uploads: Arc<Mutex<Vec<Option<usize>>>>,
    events: broadcast::Sender<String>,
    changed: watch::Sender<u64>,
}

impl Engine {
    pub fn new(socket: &Path) -> Engine {
        let bridge = json!({"Name": "bridge", "Id": "b", "Driver": "bridge", "Scope": "local"});
        Engine {
            socket: socket.to_owned(),
            containers: Arc::default(),
            calls: Arc::default(),
            images: Arc::new(Mutex::new(vec!["web:1".into()])),
            networks: Arc::new(Mutex::new(vec![bridge])),
            uploads: Arc::default(),
            events: broadcast::Sender::new(256),
            changed: watch::Sender::new(0),
        }
    }

    /// Serves until the token is cancelled; then every connection is cut, as when an engine is killed.
    pub fn serve(&self) -> CancellationToken {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).expect("a socket");
        let stop = CancellationToken::new();
        let (engine, stopped) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = stopped.cancelled() => return,
                    accepted = listener.accept() => accepted.expect("a connection").0,
                };
                let (engine, stopped) = (engine.clone(), stopped.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let engine = engine.clone();
                        async move { Ok::<_, Infallible>(engine.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        _ = connection => {}
                    }
                });
            }
        });
        stop
    }

    /// Waits until the containers look as the test wants.
    pub async fn until(&self, what: &str, is: impl Fn(&BTreeMap<String, Made>) -> bool) {
        let mut changed = self.changed.subscribe();
        let seen = async {
            while !is(&self.containers.lock().expect("a lock")) {
                changed.changed().await.expect("the engine lives");
            }
        };
        let limit = std::time::Duration::from_secs(20);
        if tokio::time::timeout(limit, seen).await.is_err() {
            panic!("never: {what}: {:#?}", self.containers.lock().expect("a lock"));
        }
    }

    /// Waits for this many uploads.
    pub async fn uploads(&self, count: usize) -> Vec<Option<usize>> {
        let mut changed = self.changed.subscribe();
        let seen = async {
            loop {
                let uploads = self.uploads.lock().expect("a lock").clone();
                if uploads.len() == count {
                    return uploads;
                }
                changed.changed().await.expect("the engine lives");
            }
        };
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, seen).await.expect("so many uploads")
    }

    pub fn count_calls(&self, part: &str) -> usize {
        self.calls.lock().expect("a lock").iter().filter(|c| c.contains(part)).count()
    }

    /// Changes a container as if by itself, and tells whoever watches.
    pub fn happens(&self, name: &str, action: &str, change: impl FnOnce(&mut Made)) {
        let mut containers = self.containers.lock().expect("a lock");
        let (id, made) = containers.iter_mut().find(|(_, m)| m.name == name).expect("a container");
        change(made);
        let event = event(id, made, action);
        drop(containers);
        self.tell(event);
    }

    fn tell(&self, event: String) {
        self.changed.send_modify(|n| *n += 1);
        let _ = self.events.send(event);
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Reply {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        // The agent asks without a version, clients with one that the engine speaks.
        let path = match uri.path().strip_prefix("/v1.") {
            Some(rest) => rest[rest.find('/').unwrap_or(rest.len())..].to_owned(),
            None => uri.path().to_owned(),
        };
        if method != Method::GET && method != Method::HEAD {
            self.calls.lock().expect("a lock").push(format!("{method} {path}"));
        }
        let words: Vec<&str> = path.split('/').filter(|w| !w.is_empty()).collect();
        match (method.as_str(), &words[..]) {
            ("GET", ["_ping"]) => text(StatusCode::OK, "OK"),
            ("GET", ["version"]) => {
                ok(&json!({"Version": "20.10", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}))
            }
            ("GET", ["info"]) => {
                ok(&json!({"ID": "engine", "Name": "host", "NCPU": 2, "MemTotal": 100,
                "OSType": "linux", "Architecture": "x86_64", "ServerVersion": "20.10",
                "Swarm": {"LocalNodeState": "inactive"}}))
            }
            ("GET", ["images", .., "json"]) => {
                let image = words[1..words.len() - 1].join("/").replace("%3A", ":");
                if self.images.lock().expect("a lock").contains(&image) {
                    ok(&json!({"Id": "sha256:0"}))
                } else {
                    refuse(StatusCode::NOT_FOUND, &format!("No such image: {image}"))
                }
            }
            ("POST", ["images", "create"]) => text(
                StatusCode::OK,
                "{\"status\":\"Pulling\"}\n{\"error\":\"pull access denied\"}\n",
            ),
            ("GET", ["networks", name]) => {
                let networks = self.networks.lock().expect("a lock");
                match networks.iter().find(|network| network["Name"] == *name) {
                    Some(network) => ok(network),
                    None => refuse(StatusCode::NOT_FOUND, &format!("network {name} not found")),
                }
            }
            ("GET", ["networks"]) => ok(&json!(*self.networks.lock().expect("a lock"))),
            ("GET", ["events"]) => {
                let stream = BroadcastStream::new(self.events.subscribe());
                let stream = stream.map(|e| Ok(Frame::data(Bytes::from(e.unwrap_or_default()))));
                Response::new(BodyExt::boxed(StreamBody::new(stream)))
            }
            ("GET", ["containers", "json"]) => {
                let containers = self.containers.lock().expect("a lock");
                let list: Vec<Value> = containers.keys().map(|id| json!({"Id": id})).collect();
                ok(&json!(list))
            }
            ("POST", ["containers", "create"]) => {
                let name = uri.query().unwrap_or("").trim_start_matches("name=").to_owned();
                let bytes = request.body_mut().collect().await.expect("a body").to_bytes();
                let body: Value = serde_json::from_slice(&bytes).expect("JSON");
                let mut containers = self.containers.lock().expect("a lock");
                if containers.values().any(|m| m.name == name) {
                    return refuse(StatusCode::CONFLICT, "name in use");
                }
                let id = format!("{:064x}", containers.len() + 1);
                let made = Made { name, body, status: "created", exit_code: 0, health: None };
                containers.insert(id.clone(), made);
                drop(containers);
                self.changed.send_modify(|n| *n += 1);
                let mut reply = ok(&json!({"Id": id}));
                *reply.status_mut() = StatusCode::CREATED;
                reply
            }
            ("PUT", ["containers", _, "archive"]) => {
                let body = request.body_mut().collect().await;
                let taken = body.ok().map(|body| body.to_bytes().len());
                self.uploads.lock().expect("a lock").push(taken);
                self.changed.send_modify(|n| *n += 1);
                text(StatusCode::OK, "")
            }
            (_, ["containers", id]) | (_, ["containers", id, _]) => {
                let what = words.get(2).copied().unwrap_or("");
                if what == "attach" {
                    return echo(&mut request);
                }
                self.container(&method, id, what)
            }
            _ => refuse(StatusCode::NOT_FOUND, "page not found"),
        }
    }

    fn container(&self, method: &Method, id: &str, what: &str) -> Reply {
        let mut containers = self.containers.lock().expect("a lock");
        let found =
            containers.iter().find(|(k, m)| *k == id || m.name == id).map(|(k, _)| k.clone());
        let Some(id) = found else {
            return refuse(StatusCode::NOT_FOUND, &format!("No such container: {id}"));
        };
        let made = containers.get_mut(&id).expect("just found");
        let (action, status) = match (method.as_str(), what) {
            ("GET", "json") => return ok(&document(&id, made)),
            ("POST", "start") => ("start", "running"),
            ("POST", "stop" | "kill") => {
                made.exit_code = 143;
                ("die", "exited")
            }
            ("DELETE", "") => ("destroy", "removing"),
            _ => return refuse(StatusCode::NOT_FOUND, "page not found"),
        };
        made.status = status;
        let event = event(&id, made, action);
        if action == "destroy" {
            containers.remove(&id);
        }
        drop(containers);
        self.tell(event);
        text(StatusCode::NO_CONTENT, "")
    }
}

fn event(id: &str, made: &Made, action: &str) -> String {
    let attributes = &made.body["Labels"];
    let event = json!({"Type": "container", "Action": action,
                       "Actor": {"ID": id, "Attributes": attributes}});
    format!("{event}\n")
}

fn document(id: &str, made: &Made) -> Value {
    let mut state = json!({"Status": made.status, "ExitCode": made.exit_code, "Pid": 4711});
    if let Some(health) = made.health {
        state["Health"] = json!({"Status": health, "Log": [{"Output": "said"}]});
    }
    json!({"Id": id, "Name": format!("/{}", made.name), "State": state,
           "Config": {"Labels": made.body["Labels"]}, "NetworkSettings": {"SandboxKey": "/netns"}})
}

/// A raw stream that gives back everything it gets, and "bye" once the other side has ended its half.
fn echo(request: &mut Request<Incoming>) -> Reply {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut raw = TokioIo::new(upgrade.await.expect("an upgrade"));
        let mut all = Vec::new();
        raw.read_to_end(&mut all).await.expect("a half-closed stream");
        all.extend_from_slice(b"bye");
        raw.write_all(&all).await.expect("written");
        raw.shutdown().await.expect("ended");
    });
    let mut reply = text(StatusCode::SWITCHING_PROTOCOLS, "");
    reply.headers_mut().insert("Connection", "Upgrade".parse().expect("a value"));
    reply.headers_mut().insert("Upgrade", "tcp".parse().expect("a value"));
    reply
}

fn ok(value: &Value) -> Reply {
    text(StatusCode::OK, &value.to_string())
}

fn refuse(status: StatusCode, message: &str) -> Reply {
    text(status, &json!({"message": message}).to_string())
}

fn text(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(text.to_owned())).boxed());
    *reply.status_mut() = status;
    reply
}
