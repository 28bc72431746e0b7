//! The host's page, put together, and the address on which it is given out.
//!
//! Plain HTTP without any key, as exporters are: it is off unless an address is configured, and that
//! should be one that only the monitoring reaches. It answers `/metrics` and, on managers, what Prometheus'
//! service discovery asks for below `/prometheus/`; nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::metrics::merged;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::EngineError;
use crate::engine::http::{Body, Endpoint, full};
use crate::membership::Membership;
use crate::net::process;

/// How long the manager and the data plane may take for their parts.
const PART: Duration = Duration::from_secs(2);
/// How long a client may take to send the head of its request.
const HEAD: Duration = Duration::from_secs(10);
/// After an address could not be had, until it is tried again: it may come with a link.
const AGAIN: Duration = Duration::from_secs(30);

/// The host's page. A program that does not answer in time is missing from it.
pub async fn page(membership: &Membership) -> String {
    let own = super::agent_page(membership);
    let manager = async {
        if !membership.view().borrow().is_manager() {
            return String::new();
        }
        let endpoint = Endpoint::new(membership.api_socket());
        let page = endpoint.call(Method::GET, "/metrics", None, PART).await;
        page.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    let socket = membership.data_plane_socket();
    let (own, manager, data_plane) = tokio::join!(own, manager, data_plane(&socket));
    merged([own.as_str(), manager.as_str(), data_plane.as_str()])
}

async fn data_plane(socket: &Path) -> String {
    let asked = tokio::time::timeout(PART, process::measured(socket)).await;
    asked.ok().and_then(Result::ok).unwrap_or_default()
}

/// Answers at `address` until `stop`.
pub async fn serve(address: SocketAddr, membership: Membership, stop: CancellationToken) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            // Measuring is no reason for a host to be away.
            Err(error) => tracing::error!(%address, %error, "cannot serve metrics"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    };
    tracing::info!(%address, "serving metrics");
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (membership, stop) = (membership.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let membership = membership.clone();
                async move { Ok::<_, std::convert::Infallible>(answer(&membership, &request).await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            tokio::select! {
                // How a client's connection ends is its own affair.
                _ = http.serve_connection(TokioIo::new(stream), service) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn answer(membership: &Membership, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    if path == "/metrics" {
        let mut response = text(StatusCode::OK, page(membership).await);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, http::HeaderValue::from_static(model::metrics::CONTENT_TYPE));
        return response;
    }
    if path.starts_with("/prometheus/") {
        return discovery(membership, request).await;
    }
    let known = "/metrics, /prometheus/nodes and /prometheus/tasks are here\n";
    text(if path == "/" { StatusCode::OK } else { StatusCode::NOT_FOUND }, known.to_owned())
}

async fn discovery(membership: &Membership, request: &Request<Incoming>) -> Response<Body> {
    if !membership.view().borrow().is_manager() {
        let why = "this host is no manager; ask one\n";
        return text(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    }
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let endpoint = Endpoint::new(membership.api_socket());
    match endpoint.call(Method::GET, path, None, PART).await {
        Ok(bytes) => {
            let mut response = Response::new(full(bytes));
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(EngineError::Refused { status, message }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            text(status, format!("{message}\n"))
        }
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
