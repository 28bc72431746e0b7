//! Lists in parts: `limit=N` gives at most N objects, in the order of their ids, and a header
//! `X-Swarmctl-Continue` when there are more; `continue=` with its value gives what follows.
//!
//! Every part is of the state at its time: what is created meanwhile behind the place where a client
//! is comes with a later part, nothing comes twice. Without `limit` a list is whole, as Docker's.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::error::{ApiError, json};
use super::request::Params;

/// The id after which the next part begins.
const CONTINUE: HeaderName = HeaderName::from_static("x-swarmctl-continue");

/// The part of a list that the client asks for. `all` is in the order of ids.
pub(super) fn list<T: Serialize>(
    params: &Params,
    all: impl Iterator<Item = T>,
    id: impl Fn(&T) -> &str,
) -> Result<Response, ApiError> {
    let (limit, after) = (params.text("limit"), params.text("continue"));
    if !params.has("limit") && after.is_empty() {
        return Ok(json(StatusCode::OK, &all.collect::<Vec<_>>()));
    }
    let limit = match limit.parse() {
        Ok(0) | Err(_) if params.has("limit") => {
            return Err(ApiError::bad_request(format!("limit: {limit:?} is no number above 0")));
        }
        Ok(limit) => limit,
        Err(_) => usize::MAX,
    };
    let mut rest = all.filter(|object| id(object) > after).peekable();
    let part: Vec<T> = rest.by_ref().take(limit).collect();
    let mut response = json(StatusCode::OK, &part);
    if rest.peek().is_some()
        && let Some(last) = part.last().and_then(|last| HeaderValue::from_str(id(last)).ok())
    {
        response.headers_mut().insert(CONTINUE, last);
    }
    Ok(response)
}
