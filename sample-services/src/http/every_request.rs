//! What happens around every request: correlation id, log line, metrics, headers about the instance.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::settings::Instance;

pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
pub const INSTANCE: HeaderName = HeaderName::from_static("x-instance");
pub const VERSION: HeaderName = HeaderName::from_static("x-version");

/// Longest id taken over from a caller; a longer one is replaced, so that logs stay readable.
const LONGEST_ID: usize = 128;

/// The id that ties together the log lines of all services that worked on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(pub HeaderValue);

impl CorrelationId {
    /// Takes the caller's id when it is short and plain, else makes one.
    pub fn of(headers: &HeaderMap) -> Self {
        let plain = |value: &&HeaderValue| {
            let length = value.len();
            (1..=LONGEST_ID).contains(&length) && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        match headers.get(CORRELATION_ID).filter(plain) {
            Some(value) => Self(value.clone()),
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                Self(HeaderValue::try_from(id).expect("a UUID is plain text"))
            }
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// A route's name for the metrics, set on a response by services that route by themselves.
#[derive(Clone, Copy)]
pub struct RouteName(pub &'static str);

/// The middleware.
pub async fn around(
    State(instance): State<Arc<Instance>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    instance.metrics.begin();
    let correlation = CorrelationId::of(request.headers());
    request.extensions_mut().insert(correlation.clone());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();

    let mut response = next.run(request).await;

    let named = response.extensions().get::<RouteName>().map(|RouteName(name)| *name);
    let route = named.or(matched.as_ref().map(MatchedPath::as_str)).unwrap_or("other");
    let status = response.status().as_u16();
    let took = started.elapsed();
    instance.metrics.end(known_method(&method), route, status, took);
    log(&instance, &correlation, method.as_str(), &path, status, took.as_micros() as u64);

    let headers = response.headers_mut();
    headers.insert(CORRELATION_ID, correlation.0);
    // A gateway passes on what the service behind it said about itself.
    for (name, value) in [(INSTANCE, &instance.host), (VERSION, &instance.version)] {
        if let Ok(value) = HeaderValue::try_from(value)
            && !headers.contains_key(&name)
        {
            headers.insert(name, value);
        }
    }
    if instance.stopping.load(Ordering::Relaxed) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn log(
    instance: &Instance,
    correlation: &CorrelationId,
    method: &str,
    path: &str,
    status: u16,
    us: u64,
) {
    let (service, id) = (instance.service, correlation.as_str());
    match path {
        "/health" | "/ready" | "/metrics" if status < 500 => {
            tracing::debug!(service, correlation_id = id, method, path, status, us, "answered");
        }
        _ => tracing::info!(service, correlation_id = id, method, path, status, us, "answered"),
    }
}

/// Keeps the metrics' labels bounded: anyone may send a method of his own invention.
fn known_method(method: &http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "PUT" | "POST" | "DELETE" | "PATCH" | "OPTIONS") => known,
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_correlation_id_is_kept_and_any_other_replaced() {
        let id = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(CORRELATION_ID, HeaderValue::from_bytes(value).expect("a header value"));
            CorrelationId::of(&headers).as_str().to_owned()
        };
        assert_eq!(id(b"order-17"), "order-17");
        for replaced in [&b""[..], b"a b", "\u{e9}".as_bytes(), &[b'x'; LONGEST_ID + 1]] {
            assert_eq!(id(replaced).len(), 36, "{replaced:?} gives a new UUID");
        }
    }
}
