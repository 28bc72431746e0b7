//! The api-gateway: `/Customers`, `/Products` and `/Invoices` go to their services, all else to the
//! web page. Used where there is no nginx; `nginx` does the same in nginx's words.
//!
//! Each request gets a connection of its own to an address looked up just then, so it meets the
//! tasks that are there now. What was certainly not sent is tried again; what may have been sent
//! only when repeating it does no harm. Bodies stream through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request};
use hyper::body::{Body as _, Incoming};

use crate::http::client::{self, Base, SendError};
use crate::http::dial::{DialError, dial};
use crate::http::every_request::{CORRELATION_ID, CorrelationId, RouteName};
use crate::http::{Problem, serve};
use crate::settings::{self, Instance};

/// How long to look for a task that takes the request: longer than a task's start or move within
/// the same host, shorter than a person's patience.
const LOOK: Duration = Duration::from_secs(3);

/// First wait between two looks; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(25);

/// How long a request that can be repeated waits for its answer's head before it is repeated: a host
/// that lost its power says nothing.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// How long any other request waits for its answer's head.
const ANSWER: Duration = Duration::from_secs(30);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const GATEWAY: HeaderName = HeaderName::from_static("x-gateway");

/// Headers about one connection, not about the message (RFC 9110, 7.6.1).
const OF_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Where each service is.
pub struct Routes {
    pub customers: Base,
    pub products: Base,
    pub invoices: Base,
    pub webapp: Base,
}

struct Gateway {
    routes: Routes,
    instance: Arc<Instance>,
}

pub async fn run() -> anyhow::Result<()> {
    let routes = Routes::from_env()?;
    let instance = Instance::from_env("api-gateway");
    serve::run(Arc::clone(&instance), router(instance, routes), 80).await
}

pub fn router(instance: Arc<Instance>, routes: Routes) -> Router {
    serve::router()
        .route("/ready", get(async || axum::Json(serde_json::json!({"ready": true}))))
        .fallback(pass)
        .with_state(Arc::new(Gateway { routes, instance }))
}

impl Routes {
    /// From `CUSTOMERS_API`, `PRODUCTS_API`, `INVOICES_API`, `WEBAPP`.
    ///
    /// # Errors
    /// The variable that is no base address.
    pub fn from_env() -> anyhow::Result<Routes> {
        let base = |name, default| -> anyhow::Result<Base> {
            settings::text(name, default).parse().with_context(|| format!("variable {name}"))
        };
        Ok(Routes {
            customers: base("CUSTOMERS_API", "http://customers:8080")?,
            products: base("PRODUCTS_API", "http://products:8080")?,
            invoices: base("INVOICES_API", "http://invoices:8080")?,
            webapp: base("WEBAPP", "http://webapp:80")?,
        })
    }

    /// The service that a path belongs to: by its first segment.
    fn of(&self, path: &str) -> (&'static str, &Base) {
        match path.split('/').nth(1) {
            Some("Customers") => ("customers", &self.customers),
            Some("Products") => ("products", &self.products),
            Some("Invoices") => ("invoices", &self.invoices),
            _ => ("webapp", &self.webapp),
        }
    }
}

async fn pass(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (name, base) = gateway.routes.of(request.uri().path());
    let mut response = match forward(&gateway.instance, name, base, request).await {
        Ok(answer) => {
            let (mut head, body) = answer.into_parts();
            strip(&mut head.headers);
            Response::from_parts(head, Body::new(body))
        }
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(RouteName(name));
    if let Ok(host) = HeaderValue::try_from(&gateway.instance.host) {
        response.headers_mut().insert(GATEWAY, host);
    }
    response
}

async fn forward(
    instance: &Instance,
    name: &'static str,
    base: &Base,
    request: Request,
) -> Result<http::Response<Incoming>, Problem> {
    let (head, body) = request.into_parts();
    let started = Instant::now();
    let repeatable = body.is_end_stream() && is_safe(&head.method);
    let mut body = Some(body);
    let mut wait = FIRST_WAIT;
    let mut limit = if repeatable { FIRST_ANSWER } else { ANSWER };
    loop {
        let outgoing = outgoing_head(&head);
        let sent = match dial(&base.host, base.port).await {
            Err(error) => Err(SendError::NotSent(error)),
            Ok(stream) => {
                // Taken by the one attempt that may send it; a repeatable request has none.
                let body = body.take().unwrap_or_else(Body::empty);
                let exchange = client::exchange(stream, "", Request::from_parts(outgoing, body));
                let late = |_| Err(SendError::Timeout(limit));
                tokio::time::timeout(limit, exchange).await.unwrap_or_else(late)
            }
        };
        let error = match sent {
            Ok(answer) => {
                instance.metrics.called(name, "ok");
                return Ok(answer);
            }
            Err(error) => error,
        };
        instance.metrics.called(name, "failed");
        match &error {
            SendError::NotSent(error) if started.elapsed() + wait < LOOK => {
                report(name, error, "not sent, trying again");
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            _ if repeatable && limit == FIRST_ANSWER => {
                report(name, &error, "no answer, asking again");
                limit = ANSWER;
            }
            _ => return Err(problem(name, &error)),
        }
    }
}

fn report(upstream: &str, error: &dyn std::error::Error, action: &'static str) {
    tracing::warn!(upstream, error = error.to_string(), action, "call failed");
}

fn problem(name: &str, error: &SendError) -> Problem {
    match error {
        SendError::NotSent(DialError::Name { .. } | DialError::Connect { .. }) => {
            Problem::unavailable(format!("{name} cannot be reached"), error.to_string())
        }
        SendError::Broken(_) | SendError::Timeout(_) | SendError::Answer(_) => {
            Problem::bad_gateway(
                format!("{name} was asked but gave no answer; the request may have taken effect"),
                error.to_string(),
            )
        }
    }
}

/// Asking changes nothing, so asking twice does not either. `PUT` is not among them: each one makes
/// a new customer, product or invoice here.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The request's head as the service gets it.
fn outgoing_head(head: &request::Parts) -> request::Parts {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let (mut out, ()) = http::Request::new(()).into_parts();
    out.method = head.method.clone();
    out.uri = path.parse().unwrap_or_default();
    out.headers = head.headers.clone();
    strip(&mut out.headers);
    if let Some(ConnectInfo(peer)) = head.extensions.get::<ConnectInfo<SocketAddr>>() {
        let ip = peer.ip().to_canonical();
        let before = head.headers.get(FORWARDED_FOR).and_then(|list| list.to_str().ok());
        let list = before.map_or_else(|| ip.to_string(), |before| format!("{before}, {ip}"));
        if let Ok(list) = HeaderValue::try_from(list) {
            out.headers.insert(FORWARDED_FOR, list);
        }
    }
    out.headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = head.headers.get(header::HOST) {
        out.headers.insert(FORWARDED_HOST, host.clone());
    }
    if let Some(CorrelationId(id)) = head.extensions.get() {
        out.headers.insert(CORRELATION_ID, id.clone());
    }
    out
}

/// Takes out what concerns the connection, also what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_of_the_path_chooses_the_service() {
        let base = |host: &str| Base { host: host.to_owned(), port: 80 };
        let routes = Routes {
            customers: base("c"),
            products: base("p"),
            invoices: base("i"),
            webapp: base("w"),
        };
        for (path, name) in [
            ("/Customers", "customers"),
            ("/Customers/1", "customers"),
            ("/Products/", "products"),
            ("/Invoices", "invoices"),
            ("/", "webapp"),
            ("/Customersx", "webapp"),
            ("/static/Customers", "webapp"),
        ] {
            assert_eq!(routes.of(path).0, name, "{path}");
        }
    }

    #[test]
    fn headers_of_the_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Hop"), ("x-hop", "1"), ("upgrade", "h2c"), ("accept", "a/b")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
    }
}
