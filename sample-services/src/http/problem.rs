//! The answer when a request cannot be served: always JSON, always with the reason.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::check::Problems;

/// `{"error": …, "fields": {…}, "reason": …}` with its status code.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(skip)]
    pub status: StatusCode,
    /// One sentence for people.
    pub error: String,
    /// What is wrong with which field of the body or the query.
    #[serde(skip_serializing_if = "Problems::is_empty")]
    pub fields: Problems,
    /// Why a dependency could not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whole seconds after which to try again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, error: String) -> Self {
        Self { status, error, fields: Problems::new(), reason: None, retry_after_s: None }
    }

    pub fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.into())
    }

    /// 400 that names every field and what is wrong with it.
    pub fn invalid(fields: Problems) -> Self {
        let list: Vec<_> =
            fields.iter().map(|(name, problem)| format!("{name} {problem}")).collect();
        Self { fields, ..Self::bad_request(list.join("; ")) }
    }

    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error.into())
    }

    pub fn wrong_method(method: &http::Method) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible here"))
    }

    pub fn too_large(limit: usize) -> Self {
        let error = format!("the body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    /// 502: a dependency was asked and gave no usable answer; the request may have taken effect.
    pub fn bad_gateway(error: impl Into<String>, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        Self { reason, ..Self::new(StatusCode::BAD_GATEWAY, error.into()) }
    }

    /// 503: a dependency is missing; nothing was changed, try again.
    pub fn unavailable(error: impl Into<String>, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        let new = Self::new(StatusCode::SERVICE_UNAVAILABLE, error.into());
        Self { reason, retry_after_s: Some(1), ..new }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after_s = self.retry_after_s;
        let mut response = (self.status, Json(self)).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
