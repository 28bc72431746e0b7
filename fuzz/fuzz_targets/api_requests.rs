//! Any request to a manager's API, over a cluster in memory: it is answered, never by a 500, and the
//! state stays sound.
//!
//! The first line is method and path, the rest the body.
#![no_main]

use std::sync::Arc;

use axum::body::Body;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use memory::Memory;
use orchestrator::api::{Api, Cluster};
use tower::ServiceExt as _;

#[path = "../../orchestrator/tests/api/memory.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod memory;

const SERVICE: &str = r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},
    "Mode":{"Replicated":{"Replicas":2}}}"#;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (line, body) = bytes.split_at(end);
    let Ok(line) = std::str::from_utf8(line) else { return };
    let Some((method, path)) = line.split_once(' ') else { return };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.strip_prefix(b"\n").unwrap_or(body).to_vec()));
    let Ok(request) = request else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let memory = Memory::with_workers(2);
        let api = Api::new(memory.clone() as Arc<dyn Cluster>);
        let create = http::Request::post("/services/create")
            .header("content-type", "application/json")
            .body(Body::from(SERVICE))
            .expect("a request");
        let created = api.router().oneshot(create).await.expect("an answer");
        assert_eq!(created.status(), 201);
        memory.settle();
        let answer = api.router().oneshot(request).await.expect("an answer");
        let status = answer.status();
        assert!(status != 500, "{line} is answered by {status}");
        // A stream has no end.
        let _ = answer.into_body().collect().now_or_never();
        memory.state().verify().expect("the state is sound after any request");
    });
});
