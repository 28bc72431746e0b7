//! Sends spans to a collector, and never makes anybody wait for it.
//!
//! One queue and one sender for the program. A collector that is away is tried a few times, then what it
//! should have had is gone; what comes meanwhile fills the queue and is then dropped. Both are counted.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use model::metrics::Counters;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::otlp;
use crate::span::Told;

/// Spans that may wait: some 2 MB. A deployment of a thousand tasks is about 8,000 spans in its burst,
/// of which each host has its own share.
const QUEUE: usize = 8_192;
/// Spans in one request, OpenTelemetry's own default.
const BATCH: usize = 512;
/// How long a span may wait for others to go with it.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take for one request.
const ANSWER: Duration = Duration::from_secs(10);
/// Pauses before a request is tried again; after the last its spans are given up.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// The port of OTLP over HTTP.
const PORT: u16 = 4318;
/// Answers that are read, bytes: they say little.
const MAX_ANSWER: usize = 64 << 10;

/// What became of spans, by program and outcome (`sent`, `dropped`, `failed`).
pub static SPANS: Counters = Counters::new();

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    program: &'static str,
    queue: mpsc::Sender<Item>,
}

enum Item {
    Span(Box<Told>),
    /// Answered once everything before it has been sent or given up.
    Flush(oneshot::Sender<()>),
}

/// Where a collector takes OTLP over HTTP: its base address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

/// What was given names no collector that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("{0:?} is not http://HOST[:PORT][/PATH]")]
    Form(String),
    #[error(
        "{0:?}: traces are sent over plain HTTP only; run a collector on this host or its network that \
         forwards them over TLS"
    )]
    Tls(String),
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` has it: `/v1/traces` is added to send.
    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let wrong = || EndpointError::Form(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(EndpointError::Tls(text.to_owned())),
            Some(_) | None => return Err(wrong()),
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.host().is_empty() || authority.as_str().contains('@') || uri.query().is_some()
        {
            return Err(wrong());
        }
        Ok(Endpoint {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(PORT),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// Begins to send what is told, as `program` on this host. Once in a program, inside of a Tokio runtime.
pub fn start(endpoint: Endpoint, program: &'static str) {
    let (queue, items) = mpsc::channel(QUEUE);
    if EXPORTER.set(Exporter { program, queue }).is_err() {
        return;
    }
    for outcome in ["sent", "dropped", "failed"] {
        SPANS.add(&[program, outcome], 0);
    }
    tracing::info!(%endpoint, "telling traces");
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let resource = vec![
        ("service.name", format!("swarmctl-{program}")),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name", hostname.trim().to_owned()),
    ];
    tokio::spawn(Sender { endpoint, program, resource, is_away: false }.run(items));
}

/// Whether traces are told at all.
#[must_use]
pub fn is_on() -> bool {
    EXPORTER.get().is_some()
}

pub(crate) fn put(told: Told) {
    let Some(exporter) = EXPORTER.get() else { return };
    if exporter.queue.try_send(Item::Span(Box::new(told))).is_err() {
        SPANS.add(&[exporter.program, "dropped"], 1);
    }
}

/// Waits until what was told so far is with the collector, at most so long: before the program ends.
pub async fn flush(limit: Duration) {
    let Some(exporter) = EXPORTER.get() else { return };
    let (done, flushed) = oneshot::channel();
    let all = async {
        if exporter.queue.send(Item::Flush(done)).await.is_ok() {
            // An error means that the sender has ended; then there is nothing to wait for.
            let _ = flushed.await;
        }
    };
    // What is not away by then is lost with the program.
    let _ = timeout(limit, all).await;
}

/// The sender's end of the queue.
struct Sender {
    endpoint: Endpoint,
    program: &'static str,
    resource: Vec<(&'static str, String)>,
    /// The collector did not take the last batch: said once, not for each.
    is_away: bool,
}

impl Sender {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        while let Some(first) = items.recv().await {
            let (spans, flush) = gather(first, &mut items).await;
            if !spans.is_empty() {
                self.send(&spans).await;
            }
            if let Some(done) = flush {
                // Who asked may have given up.
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, spans: &[Told]) {
        let body = Bytes::from(otlp::body(&self.resource, spans).to_string());
        let mut pauses = AGAIN.iter();
        let outcome = loop {
            match timeout(ANSWER, self.post(body.clone())).await {
                Ok(Ok(())) => break Ok(()),
                Ok(Err(Trouble { why, passes: false })) => break Err(why),
                Ok(Err(Trouble { why, passes: true })) => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => break Err(why),
                },
                Err(_) => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => break Err(format!("no answer within {} s", ANSWER.as_secs())),
                },
            }
        };
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        match outcome {
            Ok(()) => {
                SPANS.add(&[self.program, "sent"], count);
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(endpoint = %self.endpoint, "the collector takes traces again");
                }
            }
            Err(why) => {
                SPANS.add(&[self.program, "failed"], count);
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(endpoint = %self.endpoint, why, "the collector does not take traces");
                }
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), Trouble> {
        let passes = |why: String| Trouble { why, passes: true };
        let Endpoint { host, port, path } = &self.endpoint;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream =
            TcpStream::connect((bare, *port)).await.map_err(|error| passes(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| passes(error.to_string()))?;
        let driving = tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{path}/v1/traces"))
            .header(HOST, format!("{host}:{port}"))
            .header(USER_AGENT, concat!("swarmctl/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Trouble { why: error.to_string(), passes: false })?;
        let response =
            sender.send_request(request).await.map_err(|error| passes(error.to_string()))?;
        let status = response.status();
        // What it says is only of use in an error.
        let said = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        driving.abort();
        if status.is_success() {
            return Ok(());
        }
        let said = said.map(|body| body.to_bytes()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).chars().take(200).collect::<String>();
        let why = format!("{status} {}", said.trim());
        // Those that the specification names as worth another try.
        let passes = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Trouble { why, passes })
    }
}

/// Why the collector did not take a request, and whether that may pass.
struct Trouble {
    why: String,
    passes: bool,
}

/// What goes out as one request; and who waits for it.
async fn gather(
    first: Item,
    items: &mut mpsc::Receiver<Item>,
) -> (Vec<Told>, Option<oneshot::Sender<()>>) {
    let mut spans = Vec::new();
    let until = Instant::now() + GATHER;
    let mut next = Some(first);
    loop {
        match next.take() {
            Some(Item::Span(told)) => spans.push(*told),
            Some(Item::Flush(done)) => return (spans, Some(done)),
            None => return (spans, None),
        }
        if spans.len() >= BATCH {
            return (spans, None);
        }
        next = timeout_at(until, items.recv()).await.unwrap_or(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<String, String> {
        text.parse::<Endpoint>().map(|e| e.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn an_endpoint_is_a_base_address_over_plain_http() {
        assert_eq!(told("http://tracing:4318"), Ok("http://tracing:4318".into()));
        assert_eq!(told("http://10.0.0.1"), Ok("http://10.0.0.1:4318".into()));
        assert_eq!(told("http://[::1]:9/otlp/"), Ok("http://[::1]:9/otlp".into()));
        assert!(told("https://x").is_err_and(|why| why.contains("plain HTTP only")));
        for wrong in ["", "tracing:4318", "grpc://x", "http://", "http://a@b", "http://a/?b"] {
            let why = told(wrong).expect_err(wrong);
            assert!(why.contains("is not http://HOST"), "{wrong}: {why}");
        }
    }
}
