//! What an agent's socket answers itself, for tests of the API without an agent: `/_ping`, `/version`,
//! `/info`, and that no registry is reached.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http_body_util::BodyExt as _;
use model::api::API_VERSION;
use orchestrator::api::Api;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The agent's part of the socket; the rest is the API's.
pub fn front(api: &Api) -> Router {
    let headers = [("api-version", API_VERSION), ("ostype", "linux"), ("swarm", "active/manager")];
    let router = api.router();
    let info = move || {
        let router = router.clone();
        async move {
            let request = Request::get("/_swarm/info").body(Body::empty()).expect("a request");
            let answer = router.oneshot(request).await.expect("never fails");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            let swarm: Value = serde_json::from_slice(&body).expect("JSON");
            axum::Json(json!({
                "ID": "engine", "Name": "m1", "ServerVersion": "20.10.24", "OSType": "linux",
                "Architecture": "x86_64", "Swarm": swarm,
            }))
        }
    };
    let version = || async {
        axum::Json(json!({
            "Version": "0.1.0", "ApiVersion": API_VERSION, "MinAPIVersion": "1.24", "Os": "linux",
            "Arch": "amd64",
        }))
    };
    Router::new()
        .route("/_ping", get(move || async move { (headers, "OK") }))
        .route("/{version}/info", get(info.clone()))
        .route("/info", get(info))
        .route("/{version}/version", get(version))
        .route("/version", get(version))
        .route("/{version}/distribution/{*image}", get(missing))
}

/// The engine's answer for what it does not have.
pub async fn missing() -> Response {
    let body = axum::Json(json!({"message": "No such object"}));
    (StatusCode::NOT_FOUND, body).into_response()
}
