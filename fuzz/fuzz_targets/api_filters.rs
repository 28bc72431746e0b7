//! Filters of lists: what they say in the list form is what they say in the set form.
//!
//! The first byte chooses what is listed; the rest is the list form.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use memory::Memory;
use orchestrator::api::{Api, Cluster};
use tower::ServiceExt as _;

#[path = "../../orchestrator/tests/api/memory.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod memory;

const LISTS: [&str; 6] = ["services", "tasks", "nodes", "networks", "secrets", "configs"];

/// Reads change nothing, so one cluster serves all.
fn cluster() -> &'static (tokio::runtime::Runtime, Api) {
    static CLUSTER: OnceLock<(tokio::runtime::Runtime, Api)> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let api = runtime.block_on(async {
            let memory = Memory::with_workers(2);
            let api = Api::new(memory.clone() as Arc<dyn Cluster>);
            for (path, body) in [
                ("/services/create", r#"{"Name":"web","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"web:1"}}}"#),
                ("/services/create", r#"{"Name":"all","TaskTemplate":{"ContainerSpec":{"Image":"web:1"}},"Mode":{"Global":{}}}"#),
                ("/networks/create", r#"{"Name":"front","Driver":"overlay","Labels":{"a":""}}"#),
                ("/secrets/create", r#"{"Name":"key","Data":"aGk=","Labels":{"a":"b"}}"#),
                ("/configs/create", r#"{"Name":"conf","Data":"aGk="}"#),
            ] {
                let request = http::Request::post(path)
                    .header("content-type", "application/json")
                    .body(Body::from(body))
                    .expect("a request");
                let answer = api.router().oneshot(request).await.expect("an answer");
                assert!(answer.status().is_success(), "{path}");
            }
            memory.settle();
            api
        });
        (runtime, api)
    })
}

async fn list(api: &Api, what: &str, filters: &str) -> (u16, Vec<u8>) {
    let escaped: String = filters.bytes().map(|b| format!("%{b:02x}")).collect();
    let request = http::Request::get(format!("/{what}?filters={escaped}"));
    // Too long for a path.
    let Ok(request) = request.body(Body::empty()) else { return (0, Vec::new()) };
    let answer = api.router().oneshot(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
    (status, body.to_vec())
}

fuzz_target!(|bytes: &[u8]| {
    let Some((what, text)) = bytes.split_first() else { return };
    let what = LISTS[usize::from(*what) % LISTS.len()];
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (runtime, api) = cluster();
    runtime.block_on(async {
        let (status, body) = list(api, what, text).await;
        assert!(status < 500, "{what}: {text} is answered by {status}");
        let Ok(read) = serde_json::from_str::<BTreeMap<String, Vec<String>>>(text) else { return };
        let sets: BTreeMap<&str, BTreeMap<&str, bool>> = read
            .iter()
            .map(|(key, values)| (key.as_str(), values.iter().map(|v| (v.as_str(), true)).collect()))
            .collect();
        let sets = serde_json::to_string(&sets).expect("JSON");
        assert_eq!(list(api, what, &sets).await, (status, body), "{text} against {sets}");
    });
});
