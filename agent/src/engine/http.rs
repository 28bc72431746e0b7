//! One HTTP request to a local unix socket: the engine's, or the orchestrator's.
//!
//! Each request has a connection of its own, so that an upgrade can take it over and a client that
//! goes away closes it. Nothing here knows what the requests mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// A body of any origin.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The longest answer that is read into memory, bytes.
const MAX_ANSWER: usize = 32 << 20;

/// How long a connection to a local socket may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why an engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nothing was changed: it cannot be reached. Ask again later.
    #[error("the engine at {socket} cannot be reached: {why}")]
    Away { socket: String, why: String },
    /// Perhaps done: no answer in time, or the connection broke. Look before asking again.
    #[error("no answer from the engine: {0}")]
    Silent(String),
    /// Nothing was changed: it said no.
    #[error("{message}")]
    Refused { status: u16, message: String },
}

impl EngineError {
    /// Whether the engine says that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, EngineError::Refused { status: 404, .. })
    }
}

/// A body from bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A local HTTP server behind a unix socket.
#[derive(Clone, Debug)]
pub struct Endpoint {
    socket: PathBuf,
}

impl Endpoint {
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Endpoint {
        Endpoint { socket: socket.into() }
    }

    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends one request over a connection of its own, without any deadline for the answer.
    ///
    /// # Errors
    /// [`EngineError::Away`] or [`EngineError::Silent`]; an answer of any status is no error here.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, EngineError> {
        let away =
            |why: String| EngineError::Away { socket: self.socket.display().to_string(), why };
        let stream = tokio::time::timeout(CONNECT, UnixStream::connect(&self.socket))
            .await
            .map_err(|_| away(String::from("it does not take connections")))?
            .map_err(|e| away(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await
            .map_err(|e| away(e.to_string()))?;
        // Ends when the answer's body and any upgrade of it have been dropped.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(|e| EngineError::Silent(e.to_string()))
    }

    /// Sends JSON (or nothing) and reads the whole answer, within `deadline`.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Bytes, EngineError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "engine")
            .header(http::header::CONNECTION, "close");
        let body = match body {
            Some(value) => {
                request = request.header(http::header::CONTENT_TYPE, "application/json");
                full(value.to_string())
            }
            None => full(Bytes::new()),
        };
        let request = request.body(body).map_err(|e| refused(400, e.to_string()))?;
        let answer = async {
            let response = self.send(request).await?;
            read(response).await
        };
        tokio::time::timeout(deadline, answer)
            .await
            .unwrap_or_else(|_| Err(EngineError::Silent(format!("waited {deadline:?}"))))
    }

    /// [`Endpoint::call`] for an answer in JSON.
    ///
    /// # Errors
    /// As [`EngineError`] says; an answer that is no JSON counts as no answer.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Value, EngineError> {
        let bytes = self.call(method, path, body, deadline).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|e| EngineError::Silent(e.to_string()))
    }
}

/// Reads a whole answer; one that says no becomes an error with the engine's message.
///
/// # Errors
/// [`EngineError::Refused`] for a status from 400 on, [`EngineError::Silent`] for a broken body.
pub async fn read(response: Response<Incoming>) -> Result<Bytes, EngineError> {
    let status = response.status();
    let limited = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let bytes = limited.collect().await.map_err(|e| EngineError::Silent(e.to_string()))?.to_bytes();
    // 304: it is already so (a container that was started, or stopped, before).
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(bytes);
    }
    let message = serde_json::from_slice::<Value>(&bytes)
        .ok()
        .and_then(|v| v.get("message").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned());
    Err(refused(status.as_u16(), message))
}

fn refused(status: u16, message: String) -> EngineError {
    EngineError::Refused { status, message }
}
