//! Answers of the socket's own, and the headers that every answer has.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PRAGMA, SERVER};
use http::{HeaderValue, Response, StatusCode};
use model::api::API_VERSION;
use model::spec::Role;
use serde::Serialize;
use serde_json::json;

use crate::engine::http::{Body, full};
use crate::membership::View;

/// An answer.
pub(super) type Answer = Response<Body>;

/// Docker's clients show the message only if the type is exactly this.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

const OURS: &str = concat!("swarmctl/", env!("CARGO_PKG_VERSION"), " (linux)");

/// JSON of any kind.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A text of some type.
pub(super) fn typed(kind: &'static str, text: String) -> Answer {
    let mut response = Response::new(full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An error in Docker's form.
pub(super) fn message(status: StatusCode, text: &str) -> Answer {
    json(status, &json!({"message": text}))
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// `/_ping`: clients ask it before everything else and wait two seconds at most.
pub(super) fn ping(view: &View) -> Answer {
    let mut response = Response::new(full("OK"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert("Builder-Version", HeaderValue::from_static("1"));
    headers.insert("Swarm", HeaderValue::from_static(swarm_state(view)));
    response
}

fn swarm_state(view: &View) -> &'static str {
    match (&view.member, view.role) {
        (None, _) => "inactive",
        (Some(_), Role::Manager) => "active/manager",
        (Some(_), Role::Worker) => "active/worker",
    }
}

/// The headers that Docker's engine puts on every answer.
pub(super) fn finish(mut response: Answer) -> Answer {
    let headers = response.headers_mut();
    // The engine's own version would contradict what the ping said.
    headers.insert("Api-Version", HeaderValue::from_static(API_VERSION));
    headers.entry("Ostype").or_insert(HeaderValue::from_static("linux"));
    headers.entry("Docker-Experimental").or_insert(HeaderValue::from_static("false"));
    headers.entry(SERVER).or_insert(HeaderValue::from_static(OURS));
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}
