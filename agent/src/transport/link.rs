//! A connection to one manager: TCP, TLS, HTTP/2; and why there is none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;

use super::identity::{MANAGER_NAME, NO_MATCH};
use crate::engine::http::{Body, full};

/// How long a manager may take to accept a connection and to shake hands.
const CONNECT: Duration = Duration::from_secs(3);

/// A dead peer is noticed after so long, whatever is sent.
const PING: Duration = Duration::from_secs(5);

/// The largest answer to a question, bytes.
const MAX_ANSWER: usize = 4 << 20;

/// Why a manager did not serve. Nothing was changed, except after [`LinkError::Broken`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("manager {address} cannot be reached: {why}")]
    Unreachable { address: String, why: String },
    #[error(
        "remote CA does not match fingerprint: {address} belongs to another cluster than the join token"
    )]
    OtherCluster { address: String },
    #[error(
        "the certificate of manager {address} is {what} by this host's clock: set the clocks of both hosts (for example with NTP), then try again"
    )]
    Clock { address: String, what: &'static str },
    #[error("manager {address} is not trusted: {why}")]
    NotTrusted { address: String, why: String },
    /// The request may have been carried out.
    #[error("the connection to manager {address} broke: {why}")]
    Broken { address: String, why: String },
    /// The manager said no.
    #[error("{message}")]
    Refused { status: u16, message: String },
}

/// An open connection.
#[derive(Clone)]
pub struct Link {
    address: String,
    sender: SendRequest<Body>,
}

impl Link {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// As [`LinkError`] says.
    pub async fn open(address: &str, tls: Arc<ClientConfig>) -> Result<Link, LinkError> {
        let unreachable = |why: String| LinkError::Unreachable { address: address.to_owned(), why };
        tokio::time::timeout(CONNECT, shake_hands(address, tls))
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("no answer in {CONNECT:?}"))))
    }

    /// True once the connection is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one request; an answer of any status is no error.
    ///
    /// # Errors
    /// [`LinkError::Broken`].
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, LinkError> {
        let broken = |why: String| LinkError::Broken { address: self.address.clone(), why };
        self.sender.ready().await.map_err(|e| broken(e.to_string()))?;
        self.sender.send_request(request).await.map_err(|e| broken(e.to_string()))
    }

    /// `POST`s JSON and reads JSON.
    ///
    /// # Errors
    /// As [`LinkError`] says.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        path: &str,
        question: &Q,
    ) -> Result<A, LinkError> {
        let address = self.address.clone();
        let broken = |why: String| LinkError::Broken { address: address.clone(), why };
        let body = serde_json::to_vec(question).map_err(|e| broken(e.to_string()))?;
        let response = self.send(post(path, full(body))).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
        let bytes = body.collect().await.map_err(|e| broken(e.to_string()))?.to_bytes();
        if status != StatusCode::OK {
            return Err(refusal(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|e| broken(format!("its answer: {e}")))
    }
}

/// A `POST` to a manager.
#[must_use]
pub fn post(path: &str, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    let uri = format!("https://{MANAGER_NAME}{path}");
    *request.uri_mut() = uri.parse().expect("our own paths are valid");
    request
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    request
}

/// What a manager said no with: its JSON message, or its text.
#[must_use]
pub fn refusal(status: StatusCode, bytes: &Bytes) -> LinkError {
    let json = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let message = json
        .as_ref()
        .and_then(|v| v.get("message"))
        .and_then(|v| v.as_str())
        .map_or_else(|| String::from_utf8_lossy(bytes).trim().to_owned(), str::to_owned);
    LinkError::Refused { status: status.as_u16(), message }
}

async fn shake_hands(address: &str, tls: Arc<ClientConfig>) -> Result<Link, LinkError> {
    let unreachable = |why: String| LinkError::Unreachable { address: address.to_owned(), why };
    let stream = super::resolve::connect(address).await.map_err(|e| unreachable(e.to_string()))?;
    // A frame is sent whole; waiting for more would only delay a heartbeat.
    stream.set_nodelay(true).map_err(|e| unreachable(e.to_string()))?;
    let name = ServerName::try_from(MANAGER_NAME).expect("a valid DNS name");
    let stream = TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(|error| untrusted(address, &error))?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a manager ended");
        }
    });
    Ok(Link { address: address.to_owned(), sender })
}

fn untrusted(address: &str, error: &std::io::Error) -> LinkError {
    let address = address.to_owned();
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let clock = |what| LinkError::Clock { address: address.clone(), what };
    match inner {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => clock("not valid yet"),
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => clock("not valid any more"),
        Some(rustls::Error::General(text)) if text == NO_MATCH => {
            LinkError::OtherCluster { address }
        }
        Some(rustls) => LinkError::NotTrusted { address, why: rustls.to_string() },
        None => LinkError::Unreachable { address, why: error.to_string() },
    }
}
