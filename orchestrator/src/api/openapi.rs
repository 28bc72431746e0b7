//! `/openapi.json`: the cluster's part of the API as OpenAPI 3.1.
//!
//! The document is made of the types by a test (`tests/api/openapi`), which also holds that it names
//! every route and that answers fit it; here it is only handed out.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

pub(super) async fn show() -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
