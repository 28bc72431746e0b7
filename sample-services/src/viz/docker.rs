//! Asks a Docker Engine (or whatever speaks its API) by GET, without a version in the path.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::http::client::{self, BadBase, Base, SendError};

/// One question; a manager answers in milliseconds.
const LIMIT: Duration = Duration::from_secs(3);

/// Where the engine listens: `unix:///path` or `tcp://host:port`.
#[derive(Clone, Debug)]
pub enum Engine {
    Socket(PathBuf),
    Tcp(Base),
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("no connection to {path} ({reason})")]
    Connect { path: String, reason: String },
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("GET {path} was answered with {status}: {message}")]
    Refused { path: String, status: u16, message: String },
}

impl FromStr for Engine {
    type Err = BadBase;

    fn from_str(text: &str) -> Result<Self, BadBase> {
        match text.strip_prefix("unix://") {
            Some(path) => Ok(Self::Socket(PathBuf::from(path))),
            None => text.strip_prefix("tcp://").unwrap_or(text).parse().map(Self::Tcp),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "the engine at {}", path.display()),
            Self::Tcp(base) => write!(f, "the engine at {base}"),
        }
    }
}

impl Engine {
    /// The whole answer.
    ///
    /// # Errors
    /// [`EngineError`] for no answer, or one that is not 200.
    pub async fn get(&self, path: &str) -> Result<Value, EngineError> {
        let all = async {
            let answer = self.stream(path).await?;
            let body = client::whole(answer).await?.into_body();
            Ok(serde_json::from_slice(&body).unwrap_or_default())
        };
        tokio::time::timeout(LIMIT, all).await.map_err(|_| SendError::Timeout(LIMIT))?
    }

    /// The answer as soon as its head is there; the body streams.
    ///
    /// # Errors
    /// [`EngineError`] for no answer, or one that is not 200.
    pub async fn stream(&self, path: &str) -> Result<Response<Incoming>, EngineError> {
        let request = Request::get(path).body(Empty::<Bytes>::new());
        let request = request.expect("the paths asked for are made here, of plain characters");
        let head = async {
            match self {
                Self::Tcp(base) => Ok(client::send(base, request).await?),
                Self::Socket(socket) => {
                    let connected = UnixStream::connect(socket).await;
                    let stream = connected.map_err(|error| EngineError::Connect {
                        path: socket.display().to_string(),
                        reason: error.kind().to_string(),
                    })?;
                    Ok::<_, EngineError>(client::exchange(stream, "docker", request).await?)
                }
            }
        };
        let late = |_| SendError::Timeout(LIMIT);
        let answer = tokio::time::timeout(LIMIT, head).await.map_err(late)??;
        if answer.status() == 200 {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let body = tokio::time::timeout(LIMIT, client::whole(answer)).await.map_err(late)??;
        let body: Value = serde_json::from_slice(body.body()).unwrap_or_default();
        let message = body["message"].as_str().unwrap_or("no reason given").trim().to_owned();
        let path = path.split('?').next().unwrap_or_default().to_owned();
        Err(EngineError::Refused { path, status, message })
    }
}
