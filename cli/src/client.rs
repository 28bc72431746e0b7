//! Calls the API: one request, one answer, over a unix socket or TCP.
//!
//! A new connection for each call: a command makes few, and the socket is local. What the server
//! refuses comes back as [`CallError::Refused`] with its own message.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::{Endpoint, Token};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the head of an answer may take. Joining a cluster and large stacks take their time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a call gave no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent.
    #[error("{0:?} is no address of an API (unix:///path or tcp://host:port); nothing was changed")]
    Address(String),
    /// Nothing was sent.
    #[error("{host} is not trusted: {reason}; nothing was changed")]
    Untrusted { host: String, reason: String },
    /// Nothing was sent.
    #[error("cannot connect to {host}: {reason}; nothing was changed\n{}", way_out(host, *kind))]
    Unreachable { host: String, reason: String, kind: std::io::ErrorKind },
    /// No answer in time: the request may have been carried out.
    #[error(
        "{host} took the request and did not answer in {waited_s} s; it may have been carried out: look before you try again"
    )]
    Silent { host: String, waited_s: u64 },
    /// The connection broke: the request may have been carried out.
    #[error(
        "the connection to {host} broke before the answer was complete; the request may have been carried out"
    )]
    Broken {
        host: String,
        #[source]
        source: hyper::Error,
    },
    /// The server's own words.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    /// The server answered something else than this version understands.
    #[error("the answer to {what} is not understood")]
    Malformed {
        what: String,
        #[source]
        source: serde_json::Error,
    },
}

impl CallError {
    /// True when the server says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, CallError::Refused { status: StatusCode::NOT_FOUND, .. })
    }
}

/// The address of an API.
#[derive(Clone, Debug)]
pub struct Client {
    host: String,
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    token: Option<Token>,
}

#[derive(Clone, Debug)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl Client {
    /// From `unix:///path` or `tcp://host:port`, with nothing to prove.
    ///
    /// # Errors
    /// [`CallError::Address`] for any other form.
    pub fn new(host: &str) -> Result<Client, CallError> {
        let tcp = ["tcp://", "http://", "https://"].iter().find_map(|it| host.strip_prefix(it));
        let address = if let Some(path) = host.strip_prefix("unix://") {
            Address::Unix(PathBuf::from(path))
        } else if let Some(rest) = tcp
            && let rest = rest.trim_end_matches('/')
            && rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            Address::Tcp(rest.to_owned())
        } else {
            return Err(CallError::Address(host.to_owned()));
        };
        Ok(Client { host: host.to_owned(), address, tls: None, token: None })
    }

    /// With what the endpoint says that proves server and client.
    ///
    /// # Errors
    /// [`CallError::Address`], and when a file is not what it should be.
    pub fn at(endpoint: &Endpoint) -> anyhow::Result<Client> {
        let client = Client::new(&endpoint.host)?;
        Ok(Client { tls: endpoint.tls()?, token: endpoint.token.clone(), ..client })
    }

    /// The address as it was given.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `GET`, an object or list back.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let answer = self.send(Method::GET, path, &[], Bytes::new()).await?;
        self.read(path, answer).await
    }

    /// `POST` with a body, an object back; an empty answer reads as JSON's null.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, CallError> {
        self.post_with(path, &[], body).await
    }

    /// [`Client::post`] with further headers.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn post_with<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &B,
    ) -> Result<T, CallError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|source| CallError::Malformed { what: format!("POST {path}"), source })?;
        let answer = self.send(Method::POST, path, headers, Bytes::from(bytes)).await?;
        self.read(path, answer).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn delete(&self, path: &str) -> Result<(), CallError> {
        self.send(Method::DELETE, path, &[], Bytes::new()).await.map(drop)
    }

    /// `DELETE`, an object back.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn delete_for<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let answer = self.send(Method::DELETE, path, &[], Bytes::new()).await?;
        self.read(path, answer).await
    }

    /// Sends a request; the answer's body is the caller's to read. A refusal is an error.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        let broken = |source| CallError::Broken { host: self.host.clone(), source };
        let mut request = Request::builder().method(method).uri(path).header("host", "swarmctl");
        // Our own words and states, not those that docker knows.
        request = request.header(model::api::EXACT_STATES_HEADER, "exact");
        if let (Some(token), Some(_)) = (&self.token, &self.tls) {
            request = request.header("authorization", format!("Bearer {}", token.0));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(Full::new(body)).map_err(|_| CallError::Address(path.to_owned()))?;
        let answer = match &self.address {
            Address::Unix(path) => {
                let stream = self.connected(tokio::net::UnixStream::connect(path)).await?;
                self.exchange(stream, request).await?
            }
            Address::Tcp(address) => {
                let stream = self.connected(tokio::net::TcpStream::connect(address)).await?;
                match &self.tls {
                    None => self.exchange(stream, request).await?,
                    Some(tls) => {
                        let stream = self.proved(stream, address, tls).await?;
                        self.exchange(stream, request).await?
                    }
                }
            }
        };
        if answer.status().is_success() || answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        Err(CallError::Refused { status, message: message_of(status, &bytes) })
    }

    async fn connected<S>(
        &self,
        connect: impl Future<Output = std::io::Result<S>>,
    ) -> Result<S, CallError> {
        let unreachable =
            |reason, kind| CallError::Unreachable { host: self.host.clone(), reason, kind };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unreachable(plain(&error), error.kind())),
            Err(_) => {
                let reason = format!("no answer in {} s", CONNECT_TIMEOUT.as_secs());
                Err(unreachable(reason, std::io::ErrorKind::TimedOut))
            }
        }
    }

    async fn proved(
        &self,
        stream: tokio::net::TcpStream,
        address: &str,
        tls: &Arc<ClientConfig>,
    ) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, CallError> {
        let untrusted = |reason: String| CallError::Untrusted { host: self.host.clone(), reason };
        let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|error| untrusted(error.to_string()))?;
        let connect = tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream);
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(untrusted(error.to_string())),
            Err(_) => Err(untrusted(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    /// One request over a fresh connection, which lives on for as long as the answer's body is read.
    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CallError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let answer = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection.with_upgrades());
            sender.send_request(request).await
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => {
                answer.map_err(|source| CallError::Broken { host: self.host.clone(), source })
            }
            Err(_) => Err(CallError::Silent {
                host: self.host.clone(),
                waited_s: ANSWER_TIMEOUT.as_secs(),
            }),
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        answer: Response<Incoming>,
    ) -> Result<T, CallError> {
        let bytes = answer
            .into_body()
            .collect()
            .await
            .map_err(|source| CallError::Broken { host: self.host.clone(), source })?
            .to_bytes();
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text)
            .map_err(|source| CallError::Malformed { what: path.to_owned(), source })
    }
}

/// An error without the number of the system's.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// What to do about an address that cannot be reached.
fn way_out(host: &str, kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    match kind {
        PermissionDenied => "run it as root, or as a member of the socket's group",
        NotFound | ConnectionRefused if host.starts_with("unix://") => {
            "is the agent running on this host? another host: -H tcp://host:port, or SWARMCTL_HOST"
        }
        _ => "is the address right, and does it listen there? another one: -H, or SWARMCTL_HOST",
    }
}

/// Docker's error body, or what there is instead.
fn message_of(status: StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Error {
        message: String,
    }
    match serde_json::from_slice::<Error>(body) {
        Ok(error) => error.message,
        Err(_) if body.is_empty() => format!("the server answered {status} and no reason"),
        Err(_) => format!("the server answered {status}: {}", String::from_utf8_lossy(body).trim()),
    }
}

/// Percent-encodes one value of a query.
#[must_use]
pub fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A `filters=` query value: key to values.
#[must_use]
pub fn filters(pairs: &[(&str, &str)]) -> String {
    let mut map = std::collections::BTreeMap::<&str, std::collections::BTreeMap<&str, bool>>::new();
    for (key, value) in pairs {
        map.entry(key).or_default().insert(value, true);
    }
    encoded(&serde_json::to_string(&map).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_shown() {
        let status = StatusCode::NOT_FOUND;
        assert_eq!(
            message_of(status, br#"{"message":"service web not found"}"#),
            "service web not found"
        );
        assert_eq!(message_of(status, b""), "the server answered 404 Not Found and no reason");
    }

    #[test]
    fn filters_are_docker_s_map_form() {
        assert_eq!(
            filters(&[("name", "web"), ("name", "db")]),
            encoded(r#"{"name":{"db":true,"web":true}}"#)
        );
    }

    #[test]
    fn an_address_of_another_form_is_refused() {
        for wrong in ["ftp://x", "tcp://host", "host:2375", "tcp://host:port", ""] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
        assert!(Client::new("tcp://[::1]:2375/").is_ok());
        assert!(Client::new("unix:///run/x.sock").is_ok());
    }
}
