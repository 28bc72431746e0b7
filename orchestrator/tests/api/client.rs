//! Asks the API's router as an HTTP client would, without a network.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use orchestrator::api::Api;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::memory::Memory;

/// A cluster and its API.
pub struct Client {
    pub cluster: Arc<Memory>,
    pub router: Router,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub text: String,
    pub bytes: bytes::Bytes,
    pub body: Value,
}

impl Answer {
    /// The message of a refusal.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or("")
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status < 300, "{} {}", self.status, self.text);
        self.body
    }
}

impl Client {
    /// Must be called in a runtime.
    pub fn new(workers: u8) -> Client {
        let cluster = Memory::with_workers(workers);
        let router = Api::new(cluster.clone()).router();
        Client { cluster, router }
    }

    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder().method(method).uri(escaped(path));
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.expect("a request")).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("never fails");
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.map_or("", |k| k.to_str().expect("text")).to_owned();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if status != StatusCode::OK && status.as_u16() >= 400 {
            assert_eq!(kind, "application/json", "clients print the raw text of other types");
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: status.as_u16(), kind, text, bytes, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, None).await
    }

    /// Creates a service and lets it come up; its id.
    pub async fn create(&self, spec: &Value) -> String {
        let created = self.post("/services/create", spec).await.ok();
        self.cluster.settle();
        created["ID"].as_str().expect("an id").to_owned()
    }
}

/// The path with what a URI may not contain escaped, so that tests can write filters as they are.
pub fn escaped(path: &str) -> String {
    let escape = |c: char| match c {
        '"' | '{' | '}' | ' ' | '%' | '<' | '>' | '^' | '|' => format!("%{:02X}", u32::from(c)),
        c => c.to_string(),
    };
    path.chars().map(escape).collect()
}

/// A small service spec.
pub fn service(name: &str) -> Value {
    serde_json::json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": {"Image": "demo/web:1"}},
        "Mode": {"Replicated": {"Replicas": 2}},
    })
}
