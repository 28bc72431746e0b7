//! Logs, events, the watch and whole stacks: what comes, in which form, and when it ends.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use bytes::Bytes;
use futures_util::StreamExt as _;
use model::object::NodeState;
use orchestrator::api::Cluster as _;
use orchestrator_core::command::Command;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::client::{Client, escaped, service};
use crate::memory::container_of;

/// A stream of JSON lines.
struct Lines {
    body: BodyDataStream,
    read: String,
}

impl Client {
    async fn stream(&self, path: &str) -> Lines {
        let request = Request::get(escaped(path)).body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("never fails");
        assert_eq!(response.status(), 200, "{path}");
        Lines { body: response.into_body().into_data_stream(), read: String::new() }
    }
}

impl Lines {
    /// The next line; none at the end. Nothing here takes ten seconds unless it hangs.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.read.split_once('\n') {
                let value = serde_json::from_str(line).expect("a line of JSON");
                self.read = rest.to_owned();
                return Some(value);
            }
            let more = tokio::time::timeout(Duration::from_secs(10), self.body.next()).await;
            let bytes = more.expect("the stream goes on or ends")?.expect("a body");
            self.read.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }
}

#[tokio::test]
async fn events_are_told_as_they_happen_and_to_whom_they_concern() {
    let client = Client::new(1);
    let mut services = client.stream("/events?filters={\"type\":{\"service\":true}}").await;
    let mut nodes = client.stream("/events?filters={\"node\":[\"w1\"]}").await;
    client.create(&service("web")).await;
    let version = client.get("/services/web").await.ok()["Version"]["Index"].clone();
    let mut spec = service("web");
    spec["Mode"]["Replicated"]["Replicas"] = json!(5);
    client.post(&format!("/services/web/update?version={version}"), &spec).await.ok();
    let node = client.get("/nodes/w1").await.ok();
    let mut drained = node["Spec"].clone();
    drained["Availability"] = json!("drain");
    let path = format!("/nodes/w1/update?version={}", node["Version"]["Index"]);
    client.post(&path, &drained).await.ok();
    client.delete("/services/web").await;
    client.cluster.settle();
    let event = services.next().await.expect("created");
    assert_eq!(
        (&event["Type"], &event["Action"], &event["scope"]),
        (&json!("service"), &json!("create"), &json!("swarm"))
    );
    assert_eq!(event["Actor"]["Attributes"], json!({"name": "web"}));
    assert!(event["timeNano"].as_i64().is_some_and(|t| t > event["time"].as_i64().unwrap_or(0)));
    let event = services.next().await.expect("updated");
    let attributes = &event["Actor"]["Attributes"];
    assert_eq!(
        (&attributes["replicas.old"], &attributes["replicas.new"]),
        (&json!("2"), &json!("5"))
    );
    loop {
        let event = services.next().await.expect("removed at last");
        if event["Action"] == "remove" {
            break;
        }
    }
    let event = nodes.next().await.expect("drained");
    assert_eq!(event["Actor"]["Attributes"]["availability.new"], "drain");
    let mut past = client.stream("/events?since=1&until=1s").await;
    let mut seen = Vec::new();
    while let Some(event) = past.next().await {
        seen.push(format!("{} {}", event["Type"], event["Action"]).replace('"', ""));
    }
    assert!(
        seen.contains(&"service create".to_owned()) && seen.contains(&"node update".to_owned()),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_watch_begins_with_everything_and_is_resumed_without_a_gap() {
    let client = Client::new(1);
    client.create(&service("web")).await;
    let mut watch = client.stream("/watch?since=0&kinds=service,task").await;
    let first = watch.next().await.expect("everything");
    assert_eq!(first["Reset"], true);
    let kinds: Vec<&str> = first["Changes"]
        .as_array()
        .expect("changes")
        .iter()
        .filter_map(|c| c["Kind"].as_str())
        .collect();
    assert_eq!(kinds, ["service", "task", "task"]);
    assert_eq!(first["Changes"][0]["Object"]["ServiceStatus"]["RunningTasks"], 2);
    let revision = first["Revision"].as_u64().expect("a revision");
    client.create(&service("db")).await;
    client.delete("/services/web").await;
    client.cluster.settle();
    let live = watch.next().await.expect("a change");
    assert_eq!(live["Changes"][0]["Action"], "create");
    assert_eq!(live["Changes"][0]["Object"]["Spec"]["Name"], "db");
    let mut resumed = client.stream(&format!("/watch?since={revision}&kinds=service")).await;
    let line = resumed.next().await.expect("what was missed");
    assert!(line.get("Reset").is_none());
    let changes = line["Changes"].as_array().expect("changes");
    let actions: Vec<&str> = changes.iter().filter_map(|c| c["Action"].as_str()).collect();
    assert_eq!(changes.len(), 2, "each object once: {changes:?}");
    assert!(actions.contains(&"remove"), "{actions:?}");
    assert!(line["Revision"].as_u64() > Some(revision));
    let nothing = client.stream("/watch").await.next().await.expect("the revision");
    assert_eq!(nothing["Changes"], json!([]));
    let refused = client.get("/watch?kinds=bogus").await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_watch_that_asks_for_what_is_gone_is_told_so() {
    let client = Client::new(0);
    let refused = client.get("/watch?since=1").await;
    assert_eq!(refused.status, 410, "{}", refused.text);
    assert!(refused.message().contains("begin again with since=0"), "{}", refused.text);
}

fn frame(stream: u8, text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat().into()
}

/// The frames of a body.
fn frames(mut bytes: &[u8]) -> Vec<(u8, String)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let (text, rest) = rest.split_at(length);
        frames.push((header[0], String::from_utf8_lossy(text).into_owned()));
        bytes = rest;
    }
    frames
}

#[tokio::test]
async fn a_log_is_one_frame_a_line_with_sorted_details_behind_the_time() {
    let client = Client::new(0);
    let mut spec = service("web");
    spec["Mode"]["Replicated"]["Replicas"] = json!(1);
    let id = client.create(&spec).await;
    let state = client.cluster.state();
    let task = state.tasks().next().expect("a task").clone();
    let (early, late) = ("2026-11-21T09:53:03.916284200Z", "2026-11-21T09:53:04.000000000Z");
    let log = vec![
        frame(1, &format!("{early} begins ")),
        frame(1, &format!("{early} ends\n")),
        frame(2, &format!("{late} err\n")),
    ];
    client.cluster.logs.lock().expect("no panic").insert(container_of(task.id), log);
    let answer = client.get("/services/web/logs?stdout=1&stderr=1&details=1&timestamps=1").await;
    assert_eq!(answer.kind, "application/vnd.docker.multiplexed-stream");
    let node = task.node.expect("placed");
    let details = format!(
        "com.docker.swarm.node.id={node},com.docker.swarm.service.id={id},com.docker.swarm.task.id={}",
        task.id
    );
    let expected = vec![
        (1, format!("{early} {details} begins ends\n")),
        (2, format!("{late} {details} err\n")),
    ];
    assert_eq!(frames(&answer.bytes), expected);
    let plain = client.get(&format!("/tasks/{}/logs?stdout=true&stderr=false", task.id)).await;
    assert_eq!(frames(&plain.bytes)[0], (1, "begins ends\n".to_owned()));
    let refused = client.get("/services/web/logs").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.message(), "Bad parameters: you must choose at least one stream");
}

#[tokio::test]
async fn the_spec_says_whether_a_log_has_frames_also_for_tasks_of_an_older_one() {
    let client = Client::new(0);
    let mut spec = service("web");
    spec["Mode"]["Replicated"]["Replicas"] = json!(1);
    client.create(&spec).await;
    client.cluster.every_log(vec![frame(1, "2026-11-21T09:53:03.916284200Z hello\n")]);
    let version = client.get("/services/web").await.ok()["Version"]["Index"].clone();
    spec["TaskTemplate"]["ContainerSpec"]["TTY"] = json!(true);
    client.post(&format!("/services/web/update?version={version}"), &spec).await.ok();
    let state = client.cluster.state();
    let old = state.tasks().next().expect("a task").id;
    let answer = client.get("/services/web/logs?stdout=1").await;
    assert_eq!(answer.kind, "application/vnd.docker.raw-stream");
    assert_eq!(answer.text, "hello\n", "no frame");
    let answer = client.get(&format!("/tasks/{old}/logs?stdout=1")).await;
    assert_eq!(answer.kind, "application/vnd.docker.multiplexed-stream");
    assert_eq!(frames(&answer.bytes), [(1, "hello\n".to_owned())]);
}

#[tokio::test]
async fn following_takes_in_tasks_that_begin_later() {
    let client = Client::new(0);
    client.create(&service("web")).await;
    let path = "/services/web/logs?stdout=1&stderr=1&follow=1";
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = client.router.clone().oneshot(request).await.expect("never fails");
    let mut body = response.into_body().into_data_stream();
    let version = client.get("/services/web").await.ok()["Version"]["Index"].clone();
    let before: Vec<_> = client.cluster.state().tasks().map(|t| t.id).collect();
    // Every container there will be has the same log: those of new tasks are read when they come.
    client.cluster.every_log(vec![frame(1, "2026-11-21T09:53:03.916284200Z hello\n")]);
    let mut spec = service("web");
    spec["Mode"]["Replicated"]["Replicas"] = json!(3);
    client.post(&format!("/services/web/update?version={version}"), &spec).await.ok();
    client.cluster.settle();
    assert!(client.cluster.state().tasks().any(|t| !before.contains(&t.id)));
    let more = tokio::time::timeout(Duration::from_secs(10), body.next()).await;
    let bytes = more.expect("a line comes").expect("not the end").expect("a body");
    assert_eq!(frames(&bytes), [(1, "hello\n".to_owned())]);
}

#[tokio::test]
async fn a_body_for_another_host_is_passed_on_as_it_comes_whatever_its_size() {
    let client = Client::new(1);
    client.create(&service("web")).await;
    let state = client.cluster.state();
    let id = container_of(state.tasks().next().expect("a task").id);
    // More than a request of the cluster's own may have, and never in memory at once.
    let chunk = Bytes::from(vec![7; 1 << 20]);
    for (chunks, length) in [(100, None), (100, Some(100 << 20)), (0, None)] {
        let parts = std::iter::repeat_n(chunk.clone(), chunks).map(Ok::<_, std::io::Error>);
        let body = match chunks {
            0 => Body::empty(),
            _ => Body::from_stream(futures_util::stream::iter(parts)),
        };
        let mut request = Request::put(format!("/v1.41/containers/{id}/archive?path=/"));
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let taken = client.send(request.body(body).expect("a request")).await.ok();
        assert_eq!(
            taken,
            json!({"Taken": chunks << 20, "Chunked": chunks > 0 && length.is_none()})
        );
    }
    let broken = [Ok(chunk), Err(std::io::Error::other("the client has gone"))];
    let body = Body::from_stream(futures_util::stream::iter(broken));
    let request = Request::put(format!("/containers/{id}/archive?path=/")).body(body);
    assert_eq!(client.send(request.expect("a request")).await.status, 503, "no shorter file");
}

fn stack() -> Value {
    json!({
        "Networks": [{"Name": "demo_back", "Driver": "overlay"}],
        "Secrets": [{"Name": "demo_pw", "Data": "YQ=="}],
        "Configs": [{"Name": "demo_conf", "Data": "YQ=="}],
        "Services": [
            {
                "Name": "demo_web",
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "demo/web:1", "Secrets": [{
                        "SecretName": "demo_pw", "SecretID": "demo_pw",
                        "File": {"Name": "pw", "UID": "0", "GID": "0", "Mode": 292},
                    }]},
                    "Networks": [{"Target": "demo_back", "Aliases": ["web"]}],
                },
                "Mode": {"Replicated": {"Replicas": 2}},
            },
            {"Name": "demo_db", "TaskTemplate": {"ContainerSpec": {"Image": "demo/db:1"}}},
        ],
    })
}

fn actions(reply: &Value) -> Vec<String> {
    let changes = reply["Changes"].as_array().expect("changes").iter();
    changes.map(|c| format!("{} {}", c["Action"], c["Name"]).replace('"', "")).collect()
}

#[tokio::test]
async fn a_stack_is_deployed_changed_pruned_and_removed_in_one_request_each() {
    let client = Client::new(1);
    let all = [
        "create demo_back",
        "create demo_pw",
        "create demo_conf",
        "create demo_web",
        "create demo_db",
    ];
    let tried = client.post("/stacks/demo?dryRun=true", &stack()).await.ok();
    assert_eq!(actions(&tried), all);
    assert_eq!(client.get("/services").await.ok(), json!([]), "a dry run changes nothing");
    let done = client.post("/stacks/demo", &stack()).await.ok();
    assert_eq!(actions(&done), all);
    let changes = done["Changes"].as_array().expect("changes");
    assert!(changes.iter().all(|c| c["ID"].as_str().is_some_and(|id| id.len() == 25)), "{done}");
    client.cluster.settle();
    let listed = client.get("/stacks").await.ok();
    assert_eq!(
        listed,
        json!([{"Name": "demo", "Services": 2, "Networks": 1, "Secrets": 1, "Configs": 1}])
    );
    let before: Vec<_> = client.cluster.state().tasks().map(|t| t.id).collect();
    let again = client.post("/stacks/demo", &stack()).await.ok();
    assert!(actions(&again).iter().all(|a| a.starts_with("keep")), "{again}");
    client.cluster.settle();
    assert_eq!(client.cluster.state().tasks().map(|t| t.id).collect::<Vec<_>>(), before);
    let mut changed = stack();
    changed["Services"][0]["TaskTemplate"]["ContainerSpec"]["Image"] = json!("demo/web:2");
    let services = changed["Services"].as_array_mut().expect("services");
    services.truncate(1);
    let done = client.post("/stacks/demo?prune=1", &changed).await.ok();
    let last = done["Changes"].as_array().and_then(|c| c.last()).expect("a change").clone();
    assert_eq!(last["Fields"], json!(["TaskTemplate.ContainerSpec.Image"]));
    assert!(actions(&done).contains(&"remove demo_db".to_owned()), "{done}");
    client.cluster.settle();
    let shown = client.get("/stacks/demo/services").await.ok();
    assert_eq!(shown.as_array().map(Vec::len), Some(1));
    assert_eq!(shown[0]["ServiceStatus"]["RunningTasks"], 2);
    let gone = client.delete("/stacks/demo").await.ok();
    assert_eq!(actions(&gone).len(), 4);
    client.cluster.settle();
    assert_eq!(client.get("/stacks").await.ok(), json!([]));
    assert_eq!(client.delete("/stacks/demo").await.status, 404);
}

#[tokio::test]
async fn a_stack_with_problems_changes_nothing_and_names_them_all() {
    let client = Client::new(0);
    let mut bad = stack();
    bad["Services"][0]["TaskTemplate"]["Networks"] = json!([{"Target": "nonet"}]);
    bad["Services"][1]["TaskTemplate"]["ContainerSpec"]["Image"] = json!("");
    bad["Configs"][0]["Data"] = json!("");
    let refused = client.post("/stacks/demo", &bad).await;
    assert_eq!(refused.status, 400);
    for words in ["network nonet not found", "service demo_db", "config demo_conf"] {
        assert!(refused.message().contains(words), "{words}: {}", refused.text);
    }
    assert_eq!(client.get("/stacks").await.ok(), json!([]));
}

#[tokio::test]
async fn explanations_say_what_waits_and_why() {
    let client = Client::new(0);
    let mut spec = service("web");
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.labels.zone==moon"]});
    client.create(&spec).await;
    let explained = client.get("/explain/service/web").await.ok();
    assert_eq!(explained["Settled"], false);
    assert!(
        explained["Sentences"].to_string().contains("2 tasks wait: no suitable node"),
        "{explained}"
    );
    let tasks = client.get("/tasks").await.ok();
    assert!(
        tasks[0]["Status"]["Err"].as_str().is_some_and(|e| e.starts_with("no suitable node ("))
    );
    let explained = client.get("/explain/task/web.1").await.ok();
    assert!(explained["Waiting"][0]["Reason"]["why"].is_string(), "{explained}");
    let explained = client.get("/explain/node/m1").await.ok();
    assert_eq!(explained["Settled"], true, "{explained}");
    assert_eq!(explained["Sentences"][1], "It takes tasks.");
    assert_eq!(client.get("/explain/service/nosuch").await.status, 404);
    let node = client.cluster.state().nodes().next().expect("m1").id;
    let (state, message) = (NodeState::Down, "no heartbeat for 2 s".to_owned());
    client.cluster.apply(vec![Command::NodeStatus { node, state, message }]);
    let explained = client.get("/explain/node/m1").await.ok();
    let sentences = explained["Sentences"].as_array().expect("sentences");
    let first = sentences[0].as_str().expect("text");
    assert!(first.starts_with("m1 is down since "), "{first}");
    assert!(first.ends_with(" (no heartbeat for 2 s)."), "{first}");
    assert_eq!(sentences[1..], ["It takes tasks again when it is ready.", "It has no tasks."]);
}

#[tokio::test]
async fn a_brief_watch_has_the_same_fields_in_the_same_places_and_no_environment() {
    let client = Client::new(1);
    let mut spec = service("web");
    spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["PASSWORD=hunter2"]);
    client.create(&spec).await;
    let mut watch = client.stream("/watch?since=0&kinds=node,service,task&view=brief").await;
    let all = watch.next().await.expect("everything");
    assert!(!all.to_string().contains("hunter2"), "{all}");
    let of = |kind: &str| {
        let changes = all["Changes"].as_array().expect("changes").iter();
        changes.filter(|c| c["Kind"] == kind).map(|c| c["Object"].clone()).next_back().expect(kind)
    };
    let (node, service, task) = (of("node"), of("service"), of("task"));
    assert_eq!(node["Status"]["State"], "ready");
    assert_eq!(service["Spec"]["Mode"]["Replicated"]["Replicas"], 2);
    assert_eq!(service["ServiceStatus"]["RunningTasks"], 2);
    assert_eq!(task["Spec"]["ContainerSpec"]["Image"], "demo/web:1");
    assert_eq!(task["Status"]["State"], "running");
    assert!(task["NetworksAttachments"].is_null());
    // Whoever follows in full and whoever follows in brief at the same time each get their own.
    let mut whole = client.stream("/watch?kinds=service").await;
    whole.next().await.expect("the revision");
    spec["Name"] = json!("other");
    client.create(&spec).await;
    assert!(whole.next().await.expect("a change").to_string().contains("hunter2"));
    assert!(!watch.next().await.expect("a change").to_string().contains("hunter2"));
    let refused = client.get("/watch?view=small").await;
    assert_eq!(refused.message(), "view: \"small\" is neither whole nor brief");
}

#[tokio::test]
async fn the_dashboard_is_served_beside_the_api_or_says_how_to_build_it() {
    let client = Client::new(0);
    let moved = client.get("/dashboard").await;
    assert_eq!(moved.status, 308);
    let page = client.get("/dashboard/").await;
    assert_eq!((page.status, page.kind.as_str()), (200, "text/html; charset=utf-8"));
    let built = page.text.contains("assets/");
    assert!(built || page.text.contains("make web build"), "{}", page.text);
    if built {
        let script = page.text.split("src=\"./").nth(1).and_then(|rest| rest.split('"').next());
        let script = client.get(&format!("/dashboard/{}", script.expect("a script"))).await;
        assert_eq!((script.status, script.kind.as_str()), (200, "text/javascript; charset=utf-8"));
    }
    let settings = client.get("/dashboard/settings.json").await.ok();
    assert_eq!(settings, json!({"api": "../", "readOnly": false, "logs": true}));
    assert_eq!(client.get("/dashboard/../Cargo.toml").await.status, 404);
}
