//! Hands a request for the API to the leader: here, if this manager leads, else over the TLS port.
//!
//! Whole requests travel, not commands, so that reads, waits and streams need no second form. A
//! request that comes from another manager is never handed on again.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use model::api::ErrorBody;
use orchestrator_core::State;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tower::ServiceExt as _;

use crate::api::containers::is_of_container;
use crate::log::{Leader, Leadership, Log};
use crate::transport::{CallError, Lane, Pool, Target};

/// How long a request waits for a leader: longer than an election takes.
const LEADER_WAIT: Duration = Duration::from_secs(5);

/// Between two tries to reach a leader that cannot be reached.
const AGAIN: Duration = Duration::from_millis(50);

/// In front of paths on the TLS port.
const PREFIX: &str = "/api";

/// What this manager says of itself, also when nobody leads.
const INFO: &str = "/_swarm/info";

const NO_LEADER: &str = "The swarm does not have a leader. It's possible that too few managers are \
    online. Make sure more than half of the managers are online.";

/// For clients on this host: answers here or hands on.
pub fn local(log: Log<State>, pool: Arc<Pool>, api: Router) -> Router {
    Router::new().fallback(move |request: Request| {
        let (log, pool, api) = (log.clone(), pool.clone(), api.clone());
        async move {
            // Of a container's node, which any manager can ask; or of this manager itself.
            let path = request.uri().path();
            if path == INFO || is_of_container(path) {
                return answer(api, request).await;
            }
            let deadline = Instant::now() + LEADER_WAIT;
            let mut request = request;
            loop {
                let leader = match find(&log, &pool, deadline).await {
                    Leads::Here => return answer(api, request).await,
                    Leads::There(leader) => leader,
                    // Time enough for another to be elected, had there been managers enough.
                    Leads::Unreached(leader, error) => {
                        let why = silent(&leader, &error);
                        return unavailable(format!("{NO_LEADER} ({why})"));
                    }
                    Leads::Nobody => return unavailable(NO_LEADER.to_owned()),
                };
                let (sent, spare) = split_spare(request);
                match (hand_on(&pool, &leader, sent).await, spare) {
                    (Ok(response), _) => return response,
                    (Err(_), Some(spare)) if Instant::now() + AGAIN < deadline => {
                        request = spare;
                        sleep(AGAIN).await;
                    }
                    (Err(error), _) => return unavailable(lost(&leader, &error)),
                }
            }
        }
    })
}

/// With it, the same request once more if it may be asked twice: it changes nothing, so a leader
/// that goes before it has answered is no matter.
fn split_spare(request: Request) -> (Request, Option<Request>) {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe || !request.body().is_end_stream() {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let spare = Request::from_parts(parts.clone(), Body::empty());
    (Request::from_parts(parts, body), Some(spare))
}

/// For other managers: answers here, or says that another leads.
pub fn managers(log: Log<State>, api: Router) -> Router {
    let leading = Router::new().fallback(move |request: Request| {
        let (log, api) = (log.clone(), api.clone());
        async move {
            // A leader that has just been elected is not sure yet.
            let mut leadership = log.watch_leadership();
            let sure = leadership.wait_for(|now| now.is_leading);
            let leads = matches!(timeout(LEADER_WAIT, sure).await, Ok(Ok(_)));
            if leads { answer(api, request).await } else { unavailable(NO_LEADER.to_owned()) }
        }
    });
    Router::new().nest_service(PREFIX, leading)
}

/// Who is to answer a request.
enum Leads {
    Here,
    /// A connection to it is open.
    There(Leader),
    Unreached(Leader, CallError),
    Nobody,
}

/// Finds the leader and connects to it. While the one that is known cannot be reached, nothing has
/// been sent, so the next one is waited for.
async fn find(log: &Log<State>, pool: &Arc<Pool>, deadline: Instant) -> Leads {
    let mut leadership = log.watch_leadership();
    let mut unreached = None;
    loop {
        let known = |now: &Leadership| now.is_leading || elsewhere(now, log).is_some();
        let now = match timeout_at(deadline, leadership.wait_for(known)).await {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) | Err(_) => return unreached.unwrap_or(Leads::Nobody),
        };
        let leader = match elsewhere(&now, log) {
            Some(leader) if !now.is_leading => leader,
            _ => return Leads::Here,
        };
        let target = target(&leader);
        let another = |now: &Leadership| {
            now.is_leading || now.leader.as_ref().is_some_and(|l| l.node != leader.node)
        };
        let reached = tokio::select! {
            reached = timeout_at(deadline, pool.reach(&target)) => Some(reached),
            _ = leadership.wait_for(another) => None,
        };
        match reached {
            Some(Ok(Ok(()))) => return Leads::There(leader),
            Some(Ok(Err(error))) if Instant::now() + AGAIN < deadline => {
                unreached = Some(Leads::Unreached(leader.clone(), error));
                // Until somebody else leads; or it is back.
                let _ = timeout(AGAIN, leadership.wait_for(another)).await;
            }
            Some(Ok(Err(error))) => return Leads::Unreached(leader, error),
            Some(Err(_)) => return unreached.unwrap_or(Leads::Nobody),
            // Another leads by now.
            None => {}
        }
    }
}

fn target(leader: &Leader) -> Target {
    Target { node: Some(leader.node), address: leader.address.clone(), lane: Lane::Api }
}

fn silent(leader: &Leader, error: &CallError) -> String {
    format!("the leading manager at {} does not answer: {error}", leader.address)
}

fn elsewhere(now: &Leadership, log: &Log<State>) -> Option<Leader> {
    now.leader.clone().filter(|leader| leader.node != log.node())
}

async fn answer(api: Router, request: Request) -> Response {
    match api.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn hand_on(
    pool: &Arc<Pool>,
    leader: &Leader,
    mut request: Request,
) -> Result<Response, CallError> {
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let Ok(uri) = format!("{PREFIX}{path}").parse::<Uri>() else {
        return Ok((StatusCode::BAD_REQUEST, "no such path").into_response());
    };
    *request.uri_mut() = uri;
    // Of this connection, not of the request: HTTP/2 refuses them.
    for name in [header::CONNECTION, header::HOST, header::TRANSFER_ENCODING, header::UPGRADE] {
        request.headers_mut().remove(name);
    }
    *request.version_mut() = axum::http::Version::HTTP_2;
    let mut response = pool.send(&target(leader), request).await?;
    *response.version_mut() = axum::http::Version::HTTP_11;
    Ok(response.map(Body::new))
}

fn lost(leader: &Leader, error: &CallError) -> String {
    match error {
        CallError::Unreachable { .. } | CallError::Refused { .. } => silent(leader, error),
        CallError::Broken { .. } | CallError::Timeout { .. } => format!(
            "the connection to the leading manager at {} broke ({error}); the request may have \
             been carried out",
            leader.address
        ),
    }
}

fn unavailable(message: String) -> Response {
    let body = serde_json::to_vec(&ErrorBody { message }).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
