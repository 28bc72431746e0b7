//! Asks a Docker Engine (or whatever speaks its API) by GET, without a version in the path.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
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
    Refused { path: &'static str, status: u16, message: String },
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
    /// # Errors
    /// [`EngineError`] for no answer, or one that is not 200.
    pub async fn get(&self, path: &'static str) -> Result<Value, EngineError> {
        let request = Request::get(path).body(Empty::<Bytes>::new());
        let request = request.expect("the paths asked for are constants");
        let answer = match self {
            Self::Tcp(base) => client::fetch(base, request, LIMIT).await?,
            Self::Socket(socket) => {
                let connected = UnixStream::connect(socket).await;
                let stream = connected.map_err(|error| EngineError::Connect {
                    path: socket.display().to_string(),
                    reason: error.kind().to_string(),
                })?;
                let all = async {
                    client::whole(client::exchange(stream, "docker", request).await?).await
                };
                let late = |_| SendError::Timeout(LIMIT);
                tokio::time::timeout(LIMIT, all).await.map_err(late)??
            }
        };
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if answer.status() != 200 {
            let message = body["message"].as_str().unwrap_or("no reason given").trim().to_owned();
            return Err(EngineError::Refused { path, status: answer.status().as_u16(), message });
        }
        Ok(body)
    }
}
