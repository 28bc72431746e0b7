//! `/containers/{id}/…` and `/exec/{id}/…` of containers that run on other nodes: the request is
//! carried out by the engine of the container's node, raw streams included.
//!
//! A host's agent asks here only for containers that its own engine does not have. Every manager
//! answers by itself. A container is named by its id, the first 12 digits of it or more, or its name.
//! An exec's id is given to clients with its node behind it (`abc….node`), so that every manager,
//! also one that leads only since, knows where it is.
//!
//! Deliberately absent: lists. `docker ps` shows the containers of one host, as it always did.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream;
use hyper_util::rt::TokioIo;
use model::NodeId;
use model::object::Task;
use model::wire::session::StreamRequest;
use orchestrator_core::state;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::cluster::{NodeStream, RequestBody, StreamError};
use super::error::ApiError;
use super::{Api, render};

/// Digits of an id that name a container: what `docker ps` shows.
const SHORT_ID: usize = 12;

/// Largest chunk on its way to an engine, bytes.
const CHUNK: usize = 32 << 10;

/// The largest answer to the creation of an exec, bytes.
const MAX_CREATED: usize = 64 << 10;

/// Headers of one connection, not of the request or answer.
const OF_CONNECTION: [HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE];

/// Whether a path (with or without a version) is of one container or exec.
pub(crate) fn is_of_container(path: &str) -> bool {
    let mut words = path.split('/').filter(|w| !w.is_empty());
    let first = match words.next() {
        Some(version) if version.starts_with('v') && version.contains('.') => words.next(),
        first => first,
    };
    matches!(first, Some("containers" | "exec")) && words.next().is_some()
}

pub(super) async fn of_container(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    of_container_below(State(api), Path((id, String::new())), request).await
}

pub(super) async fn of_container_below(
    State(api): State<Api>,
    Path((id, rest)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (node, container) = find(&api, &id).await?;
    let creates_exec = rest == "exec" && request.method() == Method::POST;
    let answer = carry_out(&api, node, &format!("/containers/{container}"), &rest, request).await?;
    if creates_exec && answer.status() == StatusCode::CREATED {
        return with_node(answer, node).await;
    }
    Ok(answer)
}

pub(super) async fn of_exec(
    State(api): State<Api>,
    Path((id, rest)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let none = || ApiError::new(StatusCode::NOT_FOUND, format!("No such exec instance: {id}"));
    let (exec, node) = id.rsplit_once('.').ok_or_else(none)?;
    let node: NodeId = node.parse().map_err(|_| none())?;
    if !is_hex(exec) || api.0.cluster.state().node(node).is_none() {
        return Err(none());
    }
    carry_out(&api, node, &format!("/exec/{exec}"), &rest, request).await
}

/// The node and the whole id of a container.
async fn find(api: &Api, id: &str) -> Result<(NodeId, String), ApiError> {
    // What this manager knows may be a moment old; without a leader it is all there is.
    let mut found = search(&api.0.cluster.state(), id)?;
    if found.is_none()
        && let Ok(state) = api.read().await
    {
        found = search(&state, id)?;
    }
    found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, format!("No such container: {id}")))
}

fn search(state: &state::State, id: &str) -> Result<Option<(NodeId, String)>, ApiError> {
    let place = |task: &Task| {
        let container = task.status.container.as_ref().filter(|c| !c.id.is_empty())?;
        Some((task.node?, container.id.clone()))
    };
    // A name ends in the id of the task.
    if let Some((_, task)) = id.rsplit_once('.') {
        let task = task.parse().ok().and_then(|task| state.task(task));
        return Ok(task.filter(|t| render::task_name(state, t) == id).and_then(|t| place(t)));
    }
    if id.len() < SHORT_ID {
        return Ok(None);
    }
    let mut found = state.tasks_with_container(id).filter_map(|task| place(task));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => {
            Err(ApiError::bad_request(format!("Multiple IDs found with provided prefix: {id}")))
        }
        (found, _) => Ok(found),
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Has the node's engine answer the request.
async fn carry_out(
    api: &Api,
    node: NodeId,
    what: &str,
    rest: &str,
    mut request: Request,
) -> Result<Response, ApiError> {
    let upgrade =
        request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let Sent { header: length, body } = match upgrade {
        // What follows it on the way up is the raw stream: its end has to be known.
        Some(_) => Sent::whole(body).await?,
        None => Sent::streamed(&head.headers, body),
    };
    let mut path = what.to_owned();
    if !rest.is_empty() {
        path.push('/');
        path.push_str(rest);
    }
    if let Some(query) = head.uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let method = head.method.to_string();
    let headers = headers_for_engine(&head.headers, length, upgrade.is_some());
    let asked = StreamRequest { method, path, headers };
    let opened = api.0.cluster.open_stream(node, asked, body).await;
    let stream = opened.map_err(|error| cannot_reach(api, node, &error))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(stream.head.status)
        .map_err(|_| ApiError::new(StatusCode::BAD_GATEWAY, "the node's engine gave no status"))?;
    for (name, value) in &stream.head.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
        else {
            continue;
        };
        if !OF_CONNECTION.contains(&name) {
            response.headers_mut().append(name, value);
        }
    }
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    match upgrade {
        Some(client) if switches => {
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
            tokio::spawn(joined(client, stream));
        }
        _ => {
            *response.body_mut() = Body::from_stream(stream.body);
        }
    }
    Ok(response)
}

/// A request's body, and the header that says where it ends.
struct Sent {
    header: (HeaderName, String),
    body: RequestBody,
}

impl Sent {
    async fn whole(body: Body) -> Result<Sent, ApiError> {
        let bytes = super::front::whole(body).await?;
        let header = (header::CONTENT_LENGTH, bytes.len().to_string());
        Ok(Sent { header, body: stream::iter([Ok(bytes)]).boxed() })
    }

    fn streamed(headers: &HeaderMap, body: Body) -> Sent {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let header = match length {
            Some(length) => (header::CONTENT_LENGTH, length.to_owned()),
            None if axum::body::HttpBody::is_end_stream(&body) => {
                (header::CONTENT_LENGTH, "0".to_owned())
            }
            None => (header::TRANSFER_ENCODING, "chunked".to_owned()),
        };
        let body = body.into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other));
        Sent { header, body: body.boxed() }
    }
}

/// What the engine is told: the client's headers but for those of its connection.
fn headers_for_engine(
    from: &HeaderMap,
    (length, value): (HeaderName, String),
    upgrades: bool,
) -> Vec<(String, String)> {
    let kept = from
        .iter()
        .filter(|(name, _)| !OF_CONNECTION.contains(name) && *name != header::CONTENT_LENGTH);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: Vec<(String, String)> =
        kept.map(|(name, value)| (name.to_string(), text(value))).collect();
    headers.push((length.to_string(), value));
    if upgrades {
        headers.push((header::CONNECTION.to_string(), "Upgrade".to_owned()));
        headers.push((header::UPGRADE.to_string(), "tcp".to_owned()));
    }
    headers
}

fn cannot_reach(api: &Api, node: NodeId, error: &StreamError) -> ApiError {
    let state = api.0.cluster.state();
    let host =
        state.node(node).map_or_else(|| node.to_string(), |n| n.description.hostname.clone());
    let why = match error {
        StreamError::NotConnected if api.0.cluster.members().leader.is_none() => {
            super::cluster::NO_LEADER.to_owned()
        }
        error => error.to_string(),
    };
    ApiError::unavailable(format!("the container runs on {host}, which cannot be asked now: {why}"))
}

/// Bytes between client and engine until both have ended; the end of one way leaves the other open.
async fn joined(client: hyper::upgrade::OnUpgrade, stream: NodeStream) {
    let NodeStream { input, body: mut output, .. } = stream;
    // The client may have gone before it could switch.
    let Ok(client) = client.await else { return };
    let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
    let inward = async {
        loop {
            let mut buffer = bytes::BytesMut::with_capacity(CHUNK);
            match from_client.read_buf(&mut buffer).await {
                Ok(0) => break,
                Ok(_) if input.send(buffer.freeze()).await.is_ok() => {}
                // A broken connection is no end of input: both ways end.
                Ok(_) | Err(_) => return,
            }
        }
        drop(input);
        std::future::pending::<()>().await;
    };
    let outward = async {
        while let Some(Ok(bytes)) = output.next().await {
            if to_client.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The client may have closed it already.
        let _ = to_client.shutdown().await;
    };
    // The engine's end is the end: an exec is over when its command is.
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}

/// The answer to the creation of an exec, with the node behind the exec's id.
async fn with_node(answer: Response, node: NodeId) -> Result<Response, ApiError> {
    let broken = |why: String| ApiError::new(StatusCode::BAD_GATEWAY, why);
    let (mut head, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_CREATED).await;
    let bytes = bytes.map_err(|e| broken(format!("the node's stream ended: {e}")))?;
    let mut made: Value = serde_json::from_slice(&bytes)
        .map_err(|e| broken(format!("the engine's answer is no JSON: {e}")))?;
    if let Some(id) = made.get("Id").and_then(Value::as_str) {
        made["Id"] = Value::String(format!("{id}.{node}"));
    }
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Body::from(made.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_container_are_told_from_lists() {
        for path in
            ["/containers/x/json", "/v1.41/containers/x", "/exec/y/start", "/v1.24/exec/y/json"]
        {
            assert!(is_of_container(path), "{path}");
        }
        for path in ["/containers", "/v1.41/containers", "/services/containers/x", "/v1.41/", "/"] {
            assert!(!is_of_container(path), "{path}");
        }
    }
}
