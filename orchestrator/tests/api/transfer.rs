//! How answers travel: not again when the client has them, compressed, in parts.

use axum::body::Body;
use axum::http::{Request, header};
use axum::response::Response;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::client::{Client, service};

/// A GET with one more header.
async fn get_with(client: &Client, path: &str, name: header::HeaderName, value: &str) -> Response {
    let request = Request::get(path).header(name, value).body(Body::empty()).expect("a request");
    client.router.clone().oneshot(request).await.expect("never fails")
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let client = Client::new(0);
    let first = get_with(&client, "/services", header::IF_NONE_MATCH, "\"other\"").await;
    assert_eq!(first.status(), 200);
    let tag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
    let again = get_with(&client, "/v1.41/services", header::IF_NONE_MATCH, &tag).await;
    assert_eq!(again.status(), 304);
    assert_eq!(again.headers()[header::ETAG], tag.as_str());
    assert!(axum::body::to_bytes(again.into_body(), 99).await.expect("a body").is_empty());
    client.create(&service("web")).await;
    let changed = get_with(&client, "/services", header::IF_NONE_MATCH, &tag).await;
    assert_eq!(changed.status(), 200);
    assert_ne!(changed.headers()[header::ETAG], tag.as_str());
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_accepts_it() {
    let client = Client::new(0);
    client.create(&service("web")).await;
    let plain = client.get("/tasks").await;
    assert!(plain.bytes.len() > 1_024);
    let packed = get_with(&client, "/tasks", header::ACCEPT_ENCODING, "gzip").await;
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    let bytes = axum::body::to_bytes(packed.into_body(), 1 << 20).await.expect("a body");
    assert!(bytes.len() < plain.bytes.len());
    assert_eq!(&bytes[..2], [0x1f, 0x8b], "the mark of gzip");
    let watch = get_with(&client, "/watch?since=0", header::ACCEPT_ENCODING, "gzip").await;
    assert_eq!(watch.headers()[header::CONTENT_ENCODING], "gzip");
}

#[tokio::test]
async fn a_list_comes_in_parts_when_parts_are_asked_for() {
    let client = Client::new(2);
    client.create(&service("web")).await;
    client.create(&service("db")).await;
    for (list, all) in [("/tasks", 4), ("/nodes", 3), ("/services", 2)] {
        let whole = client.get(list).await.ok();
        assert_eq!(whole.as_array().map(Vec::len), Some(all), "{list}");
        let (mut parts, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("{list}?limit=1&continue={after}");
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = client.router.clone().oneshot(request).await.expect("never fails");
            let next = answer.headers().get("x-swarmctl-continue").cloned();
            let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
            let part: Vec<Value> = serde_json::from_slice(&bytes).expect("a list");
            assert_eq!(part.len(), 1, "{list}");
            parts.extend(part);
            match next {
                Some(next) => after = next.to_str().expect("text").to_owned(),
                None => break,
            }
        }
        assert_eq!(Value::Array(parts), whole, "{list}");
    }
    for wrong in ["/tasks?limit=0", "/tasks?limit=-1", "/tasks?limit=x"] {
        assert_eq!(client.get(wrong).await.status, 400, "{wrong}");
    }
}
