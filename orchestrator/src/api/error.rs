//! Refusals as HTTP: status, and Docker's error body.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::api::ErrorBody;
use orchestrator_core::command::Refusal;

use super::cluster::{ProposeError, ReadError};

/// A request that is not granted.
///
/// Docker's engine passes on what its managers say over gRPC, with the code in front of the
/// message. `rpc` is that code; it is written only for Docker's clients ([`ApiError::text`]), whose
/// users' scripts may look for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub status: StatusCode,
    pub rpc: Option<&'static str>,
    pub message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError { status, rpc: None, message: message.into() }
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub(super) fn not_found(kind: &str, name: &str) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, format!("{kind} {name} not found"))
    }

    /// 400: the beginning of several ids.
    pub(super) fn ambiguous(kind: &str, name: &str) -> ApiError {
        ApiError::bad_request(format!("{kind} {name} is ambiguous (2 or more matches found)"))
    }

    /// 503.
    pub(super) fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    fn with_rpc(mut self, code: &'static str) -> ApiError {
        self.rpc = Some(code);
        self
    }

    /// The message as Docker's engine words it.
    pub(super) fn text(&self) -> String {
        match self.rpc {
            Some(code) => format!("rpc error: code = {code} desc = {}", self.message),
            None => self.message.clone(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NotFound { .. } => ApiError::new(StatusCode::NOT_FOUND, message),
            Refusal::NameTaken { .. } | Refusal::Exists { .. } => {
                ApiError::new(StatusCode::CONFLICT, message).with_rpc("AlreadyExists")
            }
            Refusal::Stale { .. } => {
                ApiError::new(StatusCode::CONFLICT, message).with_rpc("Unknown")
            }
            Refusal::Invalid { .. } | Refusal::InUse { .. } => {
                ApiError::bad_request(message).with_rpc("InvalidArgument")
            }
            Refusal::Precondition { .. } => {
                ApiError::bad_request(message).with_rpc("FailedPrecondition")
            }
            Refusal::NotImplemented { .. } => {
                ApiError::new(StatusCode::NOT_IMPLEMENTED, message).with_rpc("Unimplemented")
            }
            Refusal::Unavailable { .. } => ApiError::unavailable(message),
            Refusal::Outdated { .. } => ApiError::new(StatusCode::CONFLICT, message),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        ApiError::unavailable(error.to_string())
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        let message = error.to_string();
        match error {
            ProposeError::NoLeader => ApiError::unavailable(message),
            ProposeError::Refused { .. } => ApiError::bad_request(message),
            ProposeError::Unknown { .. } => ApiError::new(StatusCode::GATEWAY_TIMEOUT, message),
        }
    }
}

impl IntoResponse for ApiError {
    /// The body is written by the front (`front`), which knows who asks.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The whole answer to whom Docker's words (or ours) are for.
pub(super) fn body(error: &ApiError, in_dockers_words: bool) -> Response {
    let message = if in_dockers_words { error.text() } else { error.message.clone() };
    json(error.status, &ErrorBody { message })
}

/// JSON as Docker's clients want it: the type without a charset, else they print the raw text.
pub(super) fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            let json = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, json)], text).into_response()
        }
        Err(e) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}
