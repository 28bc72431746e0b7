//! Answers that are put together from the engine's and the manager's: info, version, networks, events.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use model::api::{API_VERSION, MIN_API_VERSION, Peer, SwarmInfo};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::reply::{self, Answer, message};
use super::route::{self, Asked};
use super::{Socket, pass, whole};
use crate::engine::EngineError;
use crate::engine::http::{Endpoint, full, read};
use crate::membership::View;
use crate::networks;

/// How long the manager may take for its part of `/info`.
const MANAGER: Duration = Duration::from_secs(1);
/// How long the engine may take for a document.
const ENGINE: Duration = Duration::from_secs(20);
/// How long the engine's versions are believed.
const BELIEVED: Duration = Duration::from_secs(30);
/// Lines of events that may wait for a slow client.
const LINES: usize = 64;

type Range = (Option<(u32, u32)>, Option<(u32, u32)>);

/// What the engine speaks, asked now and then.
#[derive(Default)]
pub(super) struct Versions {
    known: Mutex<Option<(Instant, Range, bool)>>,
}

impl Versions {
    /// The oldest and the newest API version of the engine; nothing while it does not answer.
    pub(super) async fn of(&self, engine: &Endpoint) -> Range {
        self.ask(engine).await.map_or((None, None), |(range, _)| range)
    }

    /// Whether the engine reaches registries through a proxy.
    pub(super) async fn has_proxy(&self, engine: &Endpoint) -> bool {
        self.ask(engine).await.is_some_and(|(_, proxy)| proxy)
    }

    async fn ask(&self, engine: &Endpoint) -> Option<(Range, bool)> {
        let mut known = self.known.lock().await;
        if let Some((at, range, proxy)) = *known
            && at.elapsed() < BELIEVED
        {
            return Some((range, proxy));
        }
        let version = engine.json(Method::GET, "/version", None, ENGINE).await.ok()?;
        let info = engine.json(Method::GET, "/info", None, ENGINE).await.ok()?;
        let number = |key: &str| version.get(key).and_then(Value::as_str).and_then(route::numbers);
        let proxy = ["HttpProxy", "HttpsProxy"]
            .iter()
            .any(|key| info.get(key).and_then(Value::as_str).is_some_and(|p| !p.is_empty()));
        let range = (number("MinAPIVersion"), number("ApiVersion"));
        *known = Some((Instant::now(), range, proxy));
        Some((range, proxy))
    }
}

impl Socket {
    /// The path with the version that the engine speaks.
    pub(super) async fn path_for_engine(&self, asked: &Asked) -> String {
        let (min, max) = self.versions.of(&self.engine).await;
        route::for_engine(asked, min, max)
    }

    /// The engine's `/info` with the cluster in it.
    pub(super) async fn info(&self, asked: &Asked) -> Result<Answer, Answer> {
        let path = self.path_for_engine(asked).await;
        let view = self.membership.view().borrow().clone();
        let (info, swarm) = tokio::join!(
            self.engine.json(Method::GET, &path, None, ENGINE),
            self.swarm_info(&view)
        );
        let mut info = info.unwrap_or_else(|error| {
            // Whether this host is a node can be told without an engine.
            json!({"ID": "", "Warnings": [format!("WARNING: the engine does not answer: {error}")]})
        });
        info["Swarm"] = serde_json::to_value(swarm).unwrap_or_default();
        Ok(reply::json(StatusCode::OK, &info))
    }

    async fn swarm_info(&self, view: &View) -> SwarmInfo {
        let Some(member) = &view.member else {
            return SwarmInfo {
                local_node_state: String::from("inactive"),
                ..SwarmInfo::default()
            };
        };
        let mut info = SwarmInfo {
            node_id: member.node.to_string(),
            node_addr: member.advertise.clone(),
            local_node_state: String::from("active"),
            control_available: view.is_manager(),
            ..SwarmInfo::default()
        };
        if let Ok(manager) = self.manager() {
            match manager.json(Method::GET, "/_swarm/info", None, MANAGER).await {
                Ok(answer) => match serde_json::from_value(answer) {
                    Ok(full) => return full,
                    Err(error) => info.error = error.to_string(),
                },
                Err(error) => info.error = format!("the manager on this host: {error}"),
            }
        } else if let crate::session::Standing::Trouble(why) = &view.standing {
            info.error.clone_from(why);
        }
        let managers = member.managers.iter();
        let peer = |addr: &String| Peer { node_id: String::new(), addr: addr.clone() };
        info.remote_managers = Some(managers.map(peer).collect());
        info
    }

    /// The engine's `/version` with the API versions that are spoken here.
    pub(super) async fn version(&self, asked: &Asked) -> Result<Answer, Answer> {
        let path = self.path_for_engine(asked).await;
        let answer = self.engine.json(Method::GET, &path, None, ENGINE).await;
        let mut version = answer.unwrap_or_else(|_| json!({"Os": "linux", "Version": ""}));
        version["ApiVersion"] = json!(API_VERSION);
        version["MinAPIVersion"] = json!(MIN_API_VERSION);
        let own = json!({"Name": "swarmctl", "Version": env!("CARGO_PKG_VERSION"), "Details": {}});
        match version.get_mut("Components").and_then(Value::as_array_mut) {
            Some(components) => components.push(own),
            None => version["Components"] = json!([own]),
        }
        Ok(reply::json(StatusCode::OK, &version))
    }

    /// The engine's networks and the cluster's; the engine's halves of the cluster's are not shown.
    pub(super) async fn networks(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let path = self.path_for_engine(asked).await;
        let (parts, _) = request.into_parts();
        let response = pass::send(&self.engine, &path, parts, full(Bytes::new())).await?;
        let local = document(response).await?;
        let mut all: Vec<Value> = match local {
            Value::Array(list) => list.into_iter().filter(|n| !networks::is_half(n)).collect(),
            _ => Vec::new(),
        };
        match self.manager() {
            Ok(manager) => match manager.json(Method::GET, &asked.path, None, ENGINE).await {
                Ok(Value::Array(list)) => all.extend(list),
                Ok(_) => {}
                // As in Docker: whoever lists networks gets the local ones whatever the cluster says.
                Err(error) => {
                    tracing::warn!(%error, "cannot list the cluster's networks");
                    all.extend(self.parts(asked).await);
                }
            },
            Err(_) => all.extend(self.parts(asked).await),
        }
        Ok(reply::json(StatusCode::OK, &all))
    }

    /// Those of the cluster's networks that this host has a part in and a list asks for: what a
    /// worker knows of them.
    async fn parts(&self, asked: &Asked) -> Vec<Value> {
        let halves = networks::halves(&self.engine).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list the cluster's networks on this host");
            std::collections::BTreeMap::new()
        });
        let filters = route::query(&asked.path, "filters").unwrap_or_default();
        let parts = halves.into_values().map(networks::as_overlay);
        parts.filter(|network| networks::fits(network, &filters)).collect()
    }

    /// An overlay is the cluster's, everything else the engine's.
    pub(super) async fn create_network(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let (parts, body) = request.into_parts();
        let bytes = whole(body).await?;
        let asks = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
        let text = |key: &str| asks.get(key).and_then(Value::as_str).unwrap_or("");
        if text("Driver") == "overlay" || text("Scope") == "swarm" {
            let manager = self.manager()?;
            return pass::send_whole(&manager, &asked.path, parts, bytes).await;
        }
        pass::send_whole(&self.engine, &self.path_for_engine(asked).await, parts, bytes).await
    }

    /// One network: the engine's if it has one of that name that is its own, else the cluster's.
    pub(super) async fn network(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let cluster_only = route::query(&asked.path, "scope").is_some_and(|s| s == "swarm");
        let bare = asked.path.split('?').next().unwrap_or("");
        let look = self.engine.json(Method::GET, bare, None, ENGINE).await;
        let local = match look {
            Ok(network) => Some(network),
            Err(EngineError::Refused { status: 404, .. }) => None,
            Err(error) => return Err(pass::away(&error)),
        };
        let half = local.as_ref().is_some_and(networks::is_half);
        if local.is_some() && !half && !cluster_only {
            return self.to_engine(asked, request).await;
        }
        let is_get = request.method() == Method::GET;
        match self.manager() {
            Ok(manager) => {
                let answer = pass::on(&manager, &asked.path, request).await;
                let silent = match &answer {
                    Ok(answer) => answer.status() == StatusCode::SERVICE_UNAVAILABLE,
                    Err(_) => true,
                };
                // Without a quorum a manager knows what a worker knows.
                match local {
                    Some(local) if half && silent && is_get => {
                        Ok(reply::json(StatusCode::OK, &networks::as_overlay(local)))
                    }
                    _ => answer,
                }
            }
            // A worker knows the cluster's networks that it has a part in.
            Err(_) if half && is_get => {
                Ok(reply::json(StatusCode::OK, &networks::as_overlay(local.unwrap_or_default())))
            }
            Err(refusal) if half => Err(refusal),
            Err(refusal) => {
                let name = bare.trim_start_matches("/networks/");
                let named = |network: &Value| {
                    !name.is_empty()
                        && network["Id"].as_str().is_some_and(|id| id.starts_with(name))
                };
                match self.parts(asked).await.into_iter().find(named) {
                    Some(part) if is_get => Ok(reply::json(StatusCode::OK, &part)),
                    Some(_) => Err(refusal),
                    None => {
                        Err(message(StatusCode::NOT_FOUND, &format!("network {name} not found")))
                    }
                }
            }
        }
    }

    /// The engine's events and the cluster's in one stream.
    pub(super) async fn events(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> Result<Answer, Answer> {
        let Ok(manager) = self.manager() else { return self.to_engine(asked, request).await };
        let path = self.path_for_engine(asked).await;
        let (parts, _) = request.into_parts();
        let nothing = || full(Bytes::new());
        let (engine, cluster) = tokio::join!(
            pass::send(&self.engine, &path, parts.clone(), nothing()),
            pass::send(&manager, &asked.path, parts, nothing()),
        );
        let engine = engine?;
        if !engine.status().is_success() {
            return Ok(engine.map(pass::boxed));
        }
        let cluster = match cluster {
            Ok(cluster) if cluster.status().is_success() => Some(cluster.into_body()),
            Ok(_) | Err(_) => None,
        };
        let (sender, receiver) = mpsc::channel(LINES);
        for body in std::iter::once(engine.into_body()).chain(cluster) {
            tokio::spawn(lines(body, sender.clone()));
        }
        drop(sender);
        let stream = ReceiverStream::new(receiver).map(|line| Ok(Frame::data(line)));
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(stream)));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }
}

/// Sends whole lines only, so that two streams do not cut each other's objects.
async fn lines(mut body: Incoming, sender: mpsc::Sender<Bytes>) {
    let mut rest = BytesMut::new();
    loop {
        let frame = tokio::select! {
            () = sender.closed() => return,
            frame = body.frame() => frame,
        };
        let Some(Ok(frame)) = frame else { break };
        let Ok(bytes) = frame.into_data() else { continue };
        rest.extend_from_slice(&bytes);
        if let Some(end) = rest.iter().rposition(|b| *b == b'\n') {
            let whole = rest.split_to(end + 1).freeze();
            if sender.send(whole).await.is_err() {
                return;
            }
        }
    }
    if !rest.is_empty() {
        // The client may have gone.
        let _ = sender.send(rest.freeze()).await;
    }
}

/// Reads an answer as JSON; a refusal becomes ours.
async fn document(response: Response<Incoming>) -> Result<Value, Answer> {
    match read(response).await {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| message(StatusCode::BAD_GATEWAY, &format!("the engine's answer: {e}"))),
        Err(EngineError::Refused { status, message: text }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            Err(message(status, &text))
        }
        Err(error) => Err(pass::away(&error)),
    }
}
