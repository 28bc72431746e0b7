//! Sends one HTTP request on a connection of its own.
//!
//! No pool on purpose: each request then meets the addresses that are right now, and is spread over
//! a service's tasks by whatever spreads connections.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::dial::{DialError, dial};

/// Largest answer read into memory.
const LARGEST_ANSWER: usize = 8 << 20;

/// `http://host[:port]`, the base address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address like http://name:8080")]
pub struct BadBase {
    pub text: String,
}

impl FromStr for Base {
    type Err = BadBase;

    fn from_str(text: &str) -> Result<Self, BadBase> {
        let bad = || BadBase { text: text.to_owned() };
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| bad())?;
        match (uri.scheme_str(), uri.host(), uri.path()) {
            (Some("http"), Some(host), "/" | "") if !host.is_empty() => {
                // A port that is no number counts as none there; the colon gives it away.
                let alone = uri.authority().is_some_and(|authority| authority.as_str() == host);
                let port = uri.port_u16().or(alone.then_some(80)).ok_or_else(bad)?;
                Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
            }
            _ => Err(bad()),
        }
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing was sent: the request may be sent again, whatever it is.
    #[error(transparent)]
    NotSent(#[from] DialError),
    /// Sent, perhaps carried out.
    #[error("the connection broke before the answer ({0})")]
    Broken(hyper::Error),
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("the answer could not be read ({0})")]
    Answer(String),
}

/// Sends the request and returns the answer as soon as its head is there; the body streams.
///
/// # Errors
/// [`SendError`]; no time limit beyond that for connecting.
pub async fn send<B>(base: &Base, request: Request<B>) -> Result<Response<Incoming>, SendError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = dial(&base.host, base.port).await?;
    exchange(stream, &base.to_string(), request).await
}

/// Sends one request over `stream`, which ends with it; `host` is for a request that names none.
///
/// # Errors
/// [`SendError::Broken`]; no time limit.
pub async fn exchange<S, B>(
    stream: S,
    host: &str,
    mut request: Request<B>,
) -> Result<Response<Incoming>, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let headers = request.headers_mut();
    if !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::try_from(host)
    {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(SendError::Broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a service broken");
        }
    });
    sender.send_request(request).await.map_err(SendError::Broken)
}

/// Reads the rest of an answer.
///
/// # Errors
/// [`SendError::Answer`] when it breaks off or is larger than 8 MiB.
pub async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, SendError> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| SendError::Answer(error.to_string()))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Sends the request and reads the whole answer, all within `limit`.
///
/// # Errors
/// [`SendError`], also when the answer is larger than 8 MiB.
pub async fn fetch<B>(
    base: &Base,
    request: Request<B>,
    limit: Duration,
) -> Result<Response<Bytes>, SendError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let all = async { whole(send(base, request).await?).await };
    tokio::time::timeout(limit, all).await.map_err(|_| SendError::Timeout(limit))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Base>().map(|base| base.to_string());
        assert_eq!(read("http://customers:8080"), Ok("customers:8080".into()));
        assert_eq!(read("http://customers:8080/"), Ok("customers:8080".into()));
        assert_eq!(read("customers"), Ok("customers:80".into()));
        assert_eq!(read("customers_db:6379"), Ok("customers_db:6379".into()));
        assert_eq!(read("http://[::1]:81"), Ok("[::1]:81".into()));
        for bad in ["", "https://x", "http://", "http://x/path", "http://x:99999", "a b"] {
            assert_eq!(read(bad), Err(BadBase { text: bad.into() }), "{bad}");
        }
    }
}
