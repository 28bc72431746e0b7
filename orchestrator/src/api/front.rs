//! What every request passes first: the API version in its path, error bodies, common headers.

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use model::api::{API_VERSION, EXACT_STATES_HEADER, MIN_API_VERSION};
use tower::ServiceExt as _;

use super::encode::Wishes;
use super::error::{self, ApiError};
use crate::traces;

/// Serves `inner` with and without a version in front of its paths.
pub(super) fn serve(inner: Router) -> Router {
    Router::new().fallback(move |request: Request| {
        let inner = inner.clone();
        async move { answer(inner, request).await }
    })
}

async fn answer(inner: Router, request: Request) -> Response {
    let ours = is_own_client(request.headers());
    let wishes = Wishes::of(request.method(), request.headers());
    let mut span = traces::request(request.method(), request.uri().path(), request.headers());
    let response = match prepare(request).await {
        Ok(request) => telemetry::within(span.causes(), run(inner, request)).await,
        Err(error) => error.into_response(),
    };
    span.set("http.response.status_code", u64::from(response.status().as_u16()));
    if let Some(refused) = response.extensions().get::<ApiError>() {
        span.fail(&*refused.message);
    }
    let mut response = match response.extensions().get::<ApiError>() {
        Some(refused) => error::body(refused, !ours),
        None => wishes.grant(response).await,
    };
    let headers = response.headers_mut();
    headers.insert("api-version", HeaderValue::from_static(API_VERSION));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("server", HeaderValue::from_static(SERVER));
    response
}

/// The request with its body read and without a version in its path.
///
/// The body is read whatever comes of the request: a client that is still writing when it is
/// answered sees a broken pipe instead of the answer.
/// A long one for a container's engine, or one of no known length, is passed on as it comes.
async fn prepare(request: Request) -> Result<Request, ApiError> {
    let (mut head, mut body) = request.into_parts();
    let is_short = body.size_hint().upper().is_some_and(|length| length <= SHORT_BODY);
    if is_short || !super::containers::is_of_container(head.uri.path()) {
        body = Body::from(whole(body).await?);
    }
    if let Some(uri) = strip_version(&head.uri)? {
        head.uri = uri;
    }
    Ok(Request::from_parts(head, body))
}

/// All of a body, within the limit.
pub(super) async fn whole(body: Body) -> Result<axum::body::Bytes, ApiError> {
    axum::body::to_bytes(body, MAX_BODY).await.map_err(|e| {
        let message = format!("the body cannot be read (at most {MAX_BODY} bytes): {e}");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })
}

/// Largest body, bytes: a stack with many configs.
const MAX_BODY: usize = 64 << 20;

/// Longest body that is read before it is passed on, bytes: what a client says of an exec.
const SHORT_BODY: u64 = 1 << 20;

const SERVER: &str = concat!("swarmctl/", env!("CARGO_PKG_VERSION"), " (linux)");

async fn run(inner: Router, request: Request) -> Response {
    match inner.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Whether the client is one of ours and wants our own words and states.
pub(super) fn is_own_client(headers: &HeaderMap) -> bool {
    headers.contains_key(EXACT_STATES_HEADER)
}

/// The URI without its version, if it has one.
fn strip_version(uri: &Uri) -> Result<Option<Uri>, ApiError> {
    let path = uri.path();
    let Some((version, rest)) = path
        .strip_prefix("/v")
        .map(|p| p.split_once('/').map_or((p, ""), |(version, rest)| (version, rest)))
    else {
        return Ok(None);
    };
    let Some(asked) = parse_version(version) else { return Ok(None) };
    if Some(asked) > parse_version(API_VERSION) {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {API_VERSION}"
        )));
    }
    if Some(asked) < parse_version(MIN_API_VERSION) {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is \
             {MIN_API_VERSION}, please upgrade your client to a newer version"
        )));
    }
    let rest = match uri.query() {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    };
    rest.parse().map(Some).map_err(|_| ApiError::bad_request("the path is no path"))
}

/// `1.41` as numbers.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(path: &'static str) -> String {
        match strip_version(&Uri::from_static(path)) {
            Ok(uri) => uri.map_or_else(|| path.to_owned(), |u| u.to_string()),
            Err(e) => e.message,
        }
    }

    #[test]
    fn the_version_in_a_path_is_checked_and_taken_off() {
        assert_eq!(stripped("/v1.24/services?status=1"), "/services?status=1");
        assert_eq!(stripped("/v1.51/services"), "/services");
        assert_eq!(stripped("/services"), "/services");
        assert_eq!(stripped("/volumes/v1.41"), "/volumes/v1.41");
        assert_eq!(stripped("/v1.41"), "/");
        assert_eq!(
            stripped("/v1.99/services"),
            "client version 1.99 is too new. Maximum supported API version is 1.51"
        );
        assert_eq!(
            stripped("/v1.11/services"),
            "client version 1.11 is too old. Minimum supported API version is 1.24, please \
             upgrade your client to a newer version"
        );
    }
}
