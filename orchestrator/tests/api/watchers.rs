//! A thousand clients that watch at once: none misses a change, whatever order they read in.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use orchestrator::api::Cluster as _;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tower::ServiceExt as _;

use crate::client::{Client, service};

const WATCHERS: usize = 1_000;

/// What a watcher knows: kind and id to name of each object (of a task its state).
type Known = BTreeMap<(String, String), String>;

fn take(known: &mut Known, line: &Value) {
    if line["Reset"] == true {
        known.clear();
    }
    for change in line["Changes"].as_array().expect("changes") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&change["Kind"]), text(&change["ID"]));
        if change["Action"] == "remove" {
            known.remove(&key);
        } else {
            let object = &change["Object"];
            let shown =
                if key.0 == "task" { &object["Status"]["State"] } else { &object["Spec"]["Name"] };
            known.insert(key, text(shown));
        }
    }
}

/// Reads until the revision is reached; the lines of a watch are whole.
async fn watch(client: &Client, path: &str, mut until: Receiver<u64>) -> Known {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = client.router.clone().oneshot(request).await.expect("never fails");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body().into_data_stream();
    let (mut known, mut read, mut reached) = (Known::new(), Vec::new(), 0);
    loop {
        let end = *until.borrow_and_update();
        if end > 0 && reached >= end {
            return known;
        }
        let bytes = tokio::select! {
            bytes = body.next() => bytes.expect("it goes on").expect("a body"),
            told = until.changed() => {
                told.expect("the end is told");
                continue;
            }
        };
        read.extend_from_slice(&bytes);
        while let Some(at) = read.iter().position(|b| *b == b'\n') {
            let line: Value = serde_json::from_slice(&read[..at]).expect("a line of JSON");
            read.drain(..=at);
            take(&mut known, &line);
            reached = reached.max(line["Revision"].as_u64().unwrap_or(0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_end_up_with_what_there_is() {
    let client = std::sync::Arc::new(Client::new(3));
    let (end, until) = tokio::sync::watch::channel(0);
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let (client, until) = (client.clone(), until.clone());
            tokio::spawn(async move { watch(&client, "/watch?since=0&view=brief", until).await })
        })
        .collect();
    for number in 0..20 {
        let mut spec = service(&format!("web{number}"));
        spec["Mode"]["Replicated"]["Replicas"] = json!(3);
        client.create(&spec).await;
        if number % 3 == 2 {
            client.delete(&format!("/services/web{}", number - 1)).await;
            client.cluster.settle();
        }
    }
    // The last change: whoever has seen it has seen everything.
    client.post("/configs/create", &json!({"Name": "last", "Data": "YQ=="})).await.ok();
    end.send_replace(client.cluster.state().revision().0);
    let mut fresh = None;
    for watcher in watchers {
        let known = watcher.await.expect("no panic");
        let fresh = match &fresh {
            Some(fresh) => fresh,
            None => {
                let all = watch(&client, "/watch?since=0&view=brief", until.clone()).await;
                fresh.insert(all)
            }
        };
        assert_eq!(&known, fresh, "followed, and read at once");
    }
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    println!("{WATCHERS} watchers, {} revisions: {peak}", client.cluster.state().revision().0);
}
