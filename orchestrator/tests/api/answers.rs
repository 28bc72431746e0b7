//! What clients need of each answer: status, type, which fields are there and which are not.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use model::wire::session::TaskReport;
use model::{TaskState, Timestamp};
use orchestrator::api::Cluster as _;
use orchestrator_core::command::Command;
use serde_json::{Value, json};

use crate::client::{Client, service};

fn has_no_empty_time(path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(k, v)| has_no_empty_time(&format!("{path}.{k}"), v))
        }
        Value::Array(items) => items.iter().for_each(|v| has_no_empty_time(path, v)),
        Value::String(text) => {
            let is_time =
                path.ends_with("At") || path.ends_with("Timestamp") || path.ends_with("Created");
            assert!(!is_time || text.parse::<model::api::Moment>().is_ok(), "{path}: {text:?}");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn what_has_ended_of_a_removed_service_is_not_listed_any_more() {
    let client = Client::new(2);
    let mut web = service("web");
    web["Mode"] = json!({"Replicated": {"Replicas": 2}});
    client.create(&web).await;
    client.cluster.settle();
    client.request("DELETE", "/services/web", None).await.ok();
    let listed = || async { client.get("/tasks").await.ok().as_array().map_or(0, Vec::len) };
    assert_eq!(listed().await, 2, "they are to end, and run");
    let state = client.cluster.state();
    let task = state.tasks().next().expect("one of them");
    let ended = TaskReport {
        task: task.id,
        state: TaskState::Shutdown,
        at: Timestamp(state.tasks().map(|t| t.status.since.0).max().expect("two")),
        message: String::new(),
        error: String::new(),
        container: None,
        ports: Vec::new(),
    };
    let node = task.node.expect("it is placed");
    client.cluster.apply(vec![Command::Report { node, statuses: vec![ended] }]);
    assert!(client.cluster.state().task(task.id).is_some(), "nobody has tidied up yet");
    assert_eq!(listed().await, 1);
}

#[tokio::test]
async fn a_replicated_service_always_shows_its_number() {
    let client = Client::new(1);
    for (name, mode) in [("a", json!({"Replicated": {}})), ("b", json!({})), ("c", Value::Null)] {
        let mut spec = service(name);
        spec["Mode"] = mode;
        client.create(&spec).await;
        let shown = client.get(&format!("/services/{name}")).await.ok();
        assert_eq!(shown["Spec"]["Mode"]["Replicated"]["Replicas"], 1, "{name}");
        assert!(shown.get("ServiceStatus").is_none() && shown.get("UpdateStatus").is_none());
        assert!(shown.get("PreviousSpec").is_none() && shown.get("JobStatus").is_none());
        has_no_empty_time("", &shown);
    }
}

#[tokio::test]
async fn a_list_with_status_counts_tasks_and_one_without_does_not() {
    let client = Client::new(2);
    client.create(&service("web")).await;
    let shown = client.get("/v1.41/services?status=true").await.ok();
    let counted = json!({"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0});
    assert_eq!(shown[0]["ServiceStatus"], counted);
    assert!(client.get("/services").await.ok()[0].get("ServiceStatus").is_none());
}

#[tokio::test]
async fn a_job_always_shows_its_status_and_its_tasks_their_run() {
    let client = Client::new(1);
    let mut spec = service("job");
    spec["Mode"] = json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}});
    client.create(&spec).await;
    let shown = client.get("/services?status=1").await.ok();
    assert_eq!(shown[0]["JobStatus"]["JobIteration"], json!({}), "the first run is number 0");
    assert!(shown[0]["JobStatus"]["LastExecution"].is_string());
    let counted = json!({"RunningTasks": 0, "DesiredTasks": 2, "CompletedTasks": 3});
    assert_eq!(shown[0]["ServiceStatus"], counted);
    let tasks = client.get("/tasks").await.ok();
    let slots: std::collections::BTreeSet<u64> = tasks
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t.get("Slot").map_or(0, |s| s.as_u64().expect("a number")))
        .collect();
    assert_eq!(slots, [0, 1, 2].into(), "slots of a job count from 0");
    assert_eq!(tasks[0]["DesiredState"], "complete");
    assert!(tasks[0]["JobIteration"].is_object());
    spec["Mode"]["ReplicatedJob"] = json!({});
    spec["Name"] = json!("small");
    client.create(&spec).await;
    let shown = client.get("/services/small").await.ok();
    let filled = json!({"MaxConcurrent": 1, "TotalCompletions": 1});
    assert_eq!(shown["Spec"]["Mode"]["ReplicatedJob"], filled);
}

#[tokio::test]
async fn a_task_has_what_clients_fail_without() {
    let client = Client::new(1);
    let network = json!({"Name": "back", "Driver": "overlay"});
    client.post("/networks/create", &network).await.ok();
    let mut spec = service("web");
    spec["TaskTemplate"]["Networks"] = json!([{"Target": "back"}]);
    spec["EndpointSpec"] =
        json!({"Mode": "vip", "Ports": [{"TargetPort": 80, "PublishedPort": 8080}]});
    client.create(&spec).await;
    let tasks = client.get("/tasks?filters={\"service\":[\"web\"]}").await.ok();
    let tasks = tasks.as_array().expect("a list");
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!(task["Spec"]["ContainerSpec"]["Image"], "demo/web:1");
        assert_eq!(task["Labels"], json!({}));
        assert_eq!(task["Status"]["State"], "running");
        assert_eq!(task["Status"]["ContainerStatus"]["ExitCode"], 0);
        assert!(task["Version"]["Index"].is_u64());
        let attached = task["NetworksAttachments"].as_array().expect("attachments");
        for attachment in attached {
            let address = attachment["Addresses"][0].as_str().expect("an address");
            assert!(address.ends_with("/24"), "clients fail without the prefix: {address}");
        }
        assert!(!attached.is_empty());
        has_no_empty_time("", task);
    }
    let shown = client.get("/services/web").await.ok();
    let addresses = shown["Endpoint"]["VirtualIPs"].as_array().expect("addresses");
    assert!(!addresses.is_empty());
    for address in addresses {
        assert!(address["Addr"].as_str().is_some_and(|a| a.ends_with("/24")), "{address}");
    }
    assert_eq!(shown["Endpoint"]["Ports"][0]["PublishedPort"], 8080);
    assert_eq!(shown["Endpoint"]["Ports"][0]["PublishMode"], "ingress");
}

#[tokio::test]
async fn an_update_clears_the_old_verdict_and_keeps_the_old_spec() {
    let client = Client::new(1);
    let id = client.create(&service("web")).await;
    let version = |shown: &Value| shown["Version"]["Index"].as_u64().expect("a version");
    let before = client.get("/services/web").await.ok();
    let mut spec = service("web");
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("demo/web:2");
    let path = format!("/services/{id}/update?version={}", version(&before));
    assert_eq!(client.post(&path, &spec).await.text.trim(), r#"{"Warnings":null}"#);
    let after = client.get("/services/web").await.ok();
    assert_eq!(after["UpdateStatus"]["State"], "updating");
    assert!(after["UpdateStatus"].get("CompletedAt").is_none());
    let previous = &after["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"];
    assert_eq!(*previous, "demo/web:1");
    let tasks = client.get("/tasks?filters={\"_up-to-date\":[\"true\"]}").await.ok();
    assert_eq!(tasks, json!([]), "no task has the new template yet");
    let stale = client.post(&path, &spec).await;
    assert_eq!(stale.status, 409, "{}", stale.text);
    assert!(stale.message().ends_with("update out of sequence"), "{}", stale.text);
    client.cluster.settle();
    let done = client.get("/services/web").await.ok();
    assert_eq!(done["UpdateStatus"]["State"], "completed");
    assert_eq!(version(&done), version(&after), "only clients' writes count");
    let back = format!("/services/{id}/update?version={}&rollback=previous", version(&done));
    client.post(&back, &json!({})).await.ok();
    let back = client.get("/services/web").await.ok();
    assert_eq!(back["UpdateStatus"]["State"], "rollback_started");
    assert_eq!(back["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"], "demo/web:1");
}

#[tokio::test]
async fn scaling_keeps_tasks_up_to_date() {
    let client = Client::new(1);
    client.create(&service("web")).await;
    let before = client.get("/services/web").await.ok();
    let mut spec = service("web");
    spec["Mode"]["Replicated"]["Replicas"] = json!(3);
    let path = format!("/services/web/update?version={}", before["Version"]["Index"]);
    client.post(&path, &spec).await.ok();
    let tasks = client.get("/tasks?filters={\"_up-to-date\":{\"true\":true}}").await.ok();
    assert_eq!(tasks.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn unknown_fields_survive_reading_and_writing() {
    let client = Client::new(1);
    let mut spec = service("web");
    spec["TaskTemplate"]["ContainerSpec"]["FromTheFuture"] = json!({"a": [1]});
    spec["TaskTemplate"]["ContainerSpec"]["HealthCheck"] = json!({"Test": ["NONE"]});
    let created = client.post("/services/create", &spec).await.ok();
    assert!(created["Warnings"].to_string().contains("FromTheFuture"), "{created}");
    let shown = client.get("/services/web").await.ok();
    let container = &shown["Spec"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["FromTheFuture"], json!({"a": [1]}));
    assert_eq!(container["Healthcheck"], json!({"Test": ["NONE"]}), "read under either name");
}

#[tokio::test]
async fn credentials_are_kept_and_never_shown() {
    let client = Client::new(1);
    let request = Request::post("/services/create")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-registry-auth", "c2VjcmV0LXdvcmQ=")
        .body(Body::from(service("web").to_string()))
        .expect("a request");
    client.send(request).await.ok();
    let kept = |client: &Client| {
        use orchestrator::api::Cluster as _;
        client.cluster.state().service_named("web").and_then(|s| s.registry_auth.clone())
    };
    assert_eq!(kept(&client).as_deref(), Some("c2VjcmV0LXdvcmQ="));
    let shown = client.get("/services/web").await;
    assert!(!shown.text.contains("c2VjcmV0"));
    let version = shown.ok()["Version"]["Index"].clone();
    let path = format!("/services/web/update?version={version}&registryAuthFrom=spec");
    client.post(&path, &service("web")).await.ok();
    assert_eq!(kept(&client).as_deref(), Some("c2VjcmV0LXdvcmQ="), "reused when absent");
}

#[tokio::test]
async fn secrets_never_show_their_data_and_equal_data_is_accepted_again() {
    let client = Client::new(1);
    let secret = json!({"Name": "pw", "Labels": {}, "Data": "aHVudGVyMg=="});
    let created = client.post("/secrets/create", &secret).await;
    assert_eq!(created.status, 201);
    let id = created.ok()["ID"].as_str().expect("an id").to_owned();
    let shown = client.get("/secrets/pw").await;
    assert!(!shown.text.contains("aHVudGVyMg"), "{}", shown.text);
    let version = shown.ok()["Version"]["Index"].clone();
    let path = format!("/secrets/{id}/update?version={version}");
    assert_eq!(client.post(&path, &secret).await.status, 200);
    let version = client.get("/secrets/pw").await.ok()["Version"]["Index"].clone();
    let path = format!("/secrets/{id}/update?version={version}");
    let other = json!({"Name": "pw", "Data": "b3RoZXI="});
    let refused = client.post(&path, &other).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("only updates to Labels are allowed"), "{}", refused.text);
    assert_eq!(client.post("/secrets/create", &secret).await.status, 409);
    assert_eq!(client.delete("/secrets/pw").await.status, 204);
    assert_eq!(client.get("/secrets/pw").await.message(), "secret pw not found");
}

#[tokio::test]
async fn what_is_in_use_cannot_be_removed_and_the_user_is_named() {
    let client = Client::new(1);
    client.post("/networks/create", &json!({"Name": "back", "Driver": "overlay"})).await.ok();
    let secret = client.post("/secrets/create", &json!({"Name": "pw", "Data": "YQ=="})).await.ok();
    let mut spec = service("web");
    spec["TaskTemplate"]["Networks"] = json!([{"Target": "back"}]);
    spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = json!([{
        "SecretID": secret["ID"], "SecretName": "pw",
        "File": {"Name": "pw", "UID": "0", "GID": "0", "Mode": 292},
    }]);
    client.create(&spec).await;
    let refused = client.delete("/secrets/pw").await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("in use by the following service: web"), "{}", refused.text);
    let refused = client.delete("/networks/back").await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("in use by service"), "{}", refused.text);
    assert_eq!(client.delete("/services/web").await.status, 200);
    assert_eq!(client.delete("/networks/back").await.status, 204, "before its tasks have gone");
    assert_eq!(client.delete("/secrets/pw").await.status, 204);
    client.cluster.settle();
    assert_eq!(client.get("/tasks").await.ok(), json!([]), "clients wait for this");
}

#[tokio::test]
async fn ids_names_and_beginnings_of_ids_find_the_same_object() {
    let client = Client::new(1);
    let id = client.create(&service("web")).await;
    for text in [id.as_str(), "web", &id[..12]] {
        let shown = client.get(&format!("/v1.30/services/{text}")).await.ok();
        assert_eq!(shown["ID"], id.as_str());
    }
    let all = client.get("/nodes").await.ok();
    let ids: Vec<&str> =
        all.as_array().expect("nodes").iter().filter_map(|n| n["ID"].as_str()).collect();
    let common = ids[0].chars().zip(ids[1].chars()).take_while(|(a, b)| a == b).count();
    if common > 0 {
        let refused = client.get(&format!("/nodes/{}", &ids[0][..common])).await;
        assert_eq!(refused.status, 400);
        assert!(refused.message().contains("ambiguous"), "{}", refused.text);
    }
}

#[tokio::test]
async fn nodes_show_their_manager_only_if_they_have_one() {
    let client = Client::new(1);
    let nodes = client.get("/nodes?filters={\"role\":[\"manager\"]}").await.ok();
    assert_eq!(nodes.as_array().map(Vec::len), Some(1));
    let status = json!({"Leader": true, "Reachability": "reachable", "Addr": "192.0.2.1:2377"});
    assert_eq!(nodes[0]["ManagerStatus"], status);
    assert!(nodes[0]["Description"]["TLSInfo"]["CertIssuerPublicKey"].is_string());
    let worker = client.get("/nodes/w1").await.ok();
    assert!(worker.get("ManagerStatus").is_none());
    assert_eq!(worker["Status"], json!({"State": "ready", "Addr": "192.0.2.2"}));
    assert_eq!(worker["Spec"]["Labels"], json!({}), "must be an object");
    let refused = client.delete("/nodes/w1").await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("is not down and can't be removed"), "{}", refused.text);
}

#[tokio::test]
async fn networks_that_every_engine_has_are_found_by_name() {
    let client = Client::new(0);
    for name in ["host", "bridge"] {
        let shown = client.get(&format!("/networks/{name}?scope=swarm")).await.ok();
        assert_eq!(shown["Scope"], "swarm");
        assert_eq!(shown["Driver"], name);
        assert_eq!(shown["Labels"]["com.docker.swarm.predefined"], "true");
    }
    let ingress = client.get("/networks/ingress").await.ok();
    assert_eq!(ingress["Ingress"], true);
    let listed = client.get("/networks?filters={\"scope\":[\"swarm\"]}").await.ok();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "only the cluster's own are listed");
}

#[tokio::test]
async fn the_swarm_shows_tokens_and_rotates_them() {
    let client = Client::new(0);
    let before = client.get("/swarm").await.ok();
    let token =
        |shown: &Value, role: &str| shown["JoinTokens"][role].as_str().expect("a token").to_owned();
    assert!(token(&before, "Worker").parse::<model::wire::join::JoinToken>().is_ok());
    assert!(before["TLSInfo"]["TrustRoot"].as_str().is_some_and(|t| t.starts_with("-----BEGIN")));
    let path =
        format!("/swarm/update?version={}&rotateWorkerToken=true", before["Version"]["Index"]);
    assert_eq!(client.post(&path, &before["Spec"]).await.status, 200);
    let after = client.get("/swarm").await.ok();
    assert_ne!(token(&before, "Worker"), token(&after, "Worker"));
    assert_eq!(token(&before, "Manager"), token(&after, "Manager"));
    assert_eq!(client.post(&path, &before["Spec"]).await.status, 409);
    let info = client.get("/_swarm/info").await.ok();
    assert_eq!(info["ControlAvailable"], true);
    assert_eq!(info["Cluster"]["ID"], after["ID"]);
    assert_eq!(info["Nodes"], 1);
    assert!(!client.get("/_swarm/info").await.text.contains("SWMTKN"));
}

#[tokio::test]
async fn settings_that_nobody_gave_are_shown_as_what_holds() {
    let client = Client::new(0);
    let before = client.get("/swarm").await.ok();
    let path = format!("/swarm/update?version={}", before["Version"]["Index"]);
    assert_eq!(client.post(&path, &json!({"Name": "default"})).await.status, 200);
    let spec = client.get("/swarm").await.ok()["Spec"].clone();
    assert_eq!(spec["Orchestration"]["TaskHistoryRetentionLimit"], 5);
    assert_eq!(spec["Dispatcher"]["HeartbeatPeriod"], 500_000_000);
    assert_eq!(spec["CAConfig"]["NodeCertExpiry"], 7_776_000_000_000_000_i64);
    assert_eq!(spec["Raft"], before["Spec"]["Raft"]);
    let info = client.get("/_swarm/info").await.ok();
    assert_eq!(info["Cluster"]["Spec"], spec);
}

/// Every request of the swarm part, with a body where one is needed.
fn everything() -> Vec<(&'static str, &'static str, Value)> {
    let (none, network) = (Value::Null, json!({"Name": "front", "Driver": "overlay"}));
    let secret = json!({"Name": "key", "Data": "c2VjcmV0"});
    vec![
        ("GET", "/services", none.clone()),
        ("POST", "/services/create", service("web")),
        ("GET", "/services/web", none.clone()),
        ("POST", "/services/web/update?version=1", service("web")),
        ("POST", "/services/web/update?version=1&rollback=previous", service("web")),
        ("DELETE", "/services/web", none.clone()),
        ("GET", "/services/web/logs?stdout=1&follow=1", none.clone()),
        ("GET", "/services/web/progress", none.clone()),
        ("GET", "/tasks", none.clone()),
        ("GET", "/tasks/web.1", none.clone()),
        ("GET", "/tasks/web.1/logs?stdout=1&follow=1", none.clone()),
        ("GET", "/nodes", none.clone()),
        ("GET", "/nodes/m1", none.clone()),
        ("POST", "/nodes/m1/update?version=1", json!({"Role": "manager", "Availability": "drain"})),
        ("DELETE", "/nodes/m1?force=1", none.clone()),
        ("GET", "/networks", none.clone()),
        ("POST", "/networks/create", network),
        ("GET", "/networks/front", none.clone()),
        ("DELETE", "/networks/front", none.clone()),
        ("GET", "/secrets", none.clone()),
        ("POST", "/secrets/create", secret.clone()),
        ("GET", "/secrets/key", none.clone()),
        ("POST", "/secrets/key/update?version=1", secret.clone()),
        ("DELETE", "/secrets/key", none.clone()),
        ("GET", "/configs", none.clone()),
        ("POST", "/configs/create", secret.clone()),
        ("GET", "/configs/key", none.clone()),
        ("POST", "/configs/key/update?version=1", secret),
        ("DELETE", "/configs/key", none.clone()),
        ("GET", "/swarm", none.clone()),
        ("POST", "/swarm/update?version=1", json!({"Name": "default"})),
        ("POST", "/swarm/update?version=1&rotateWorkerToken=1", json!({"Name": "default"})),
        ("GET", "/swarm/unlockkey", none.clone()),
        ("GET", "/watch?since=0", none.clone()),
        ("GET", "/explain/service/web", none.clone()),
        ("POST", "/rebalance", none.clone()),
        ("GET", "/backup", none.clone()),
        ("POST", "/backup", json!({"Format": 1})),
        ("GET", "/stacks", none.clone()),
        ("GET", "/stacks/demo/services", none.clone()),
        ("GET", "/stacks/demo/revisions", none.clone()),
        ("GET", "/stacks/demo/revisions/1", none.clone()),
        ("POST", "/stacks/demo/rollback", none.clone()),
        ("POST", "/stacks/demo", json!({})),
        ("DELETE", "/stacks/demo", none),
    ]
}

#[tokio::test]
async fn without_a_leader_everything_but_info_is_a_503_that_says_so() {
    let client = Client::new(0);
    client.create(&service("web")).await;
    *client.cluster.leaderless.lock().expect("no panic") = true;
    for (method, path, body) in everything() {
        let body = (!body.is_null()).then_some(&body);
        let asked = client.request(method, path, body);
        let refused = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let refused = refused.unwrap_or_else(|_| panic!("{method} {path} hangs"));
        assert_eq!(refused.status, 503, "{method} {path}: {}", refused.text);
        assert!(refused.message().contains("does not have a leader"), "{}", refused.text);
    }
    assert_eq!(client.get("/containers/nosuch/json").await.status, 404, "as an engine's own");
    assert!(client.get("/_swarm/info").await.ok()["Error"].as_str().is_some_and(|e| !e.is_empty()));
}

#[tokio::test]
async fn messages_are_dockers_for_dockers_clients_and_plain_for_ours() {
    let client = Client::new(0);
    client.create(&service("web")).await;
    let refused = client.post("/services/create", &service("web")).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.message().starts_with("rpc error: code = AlreadyExists desc = "),
        "{}",
        refused.text
    );
    let request = Request::post("/services/create")
        .header(model::api::EXACT_STATES_HEADER, "1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(service("web").to_string()))
        .expect("a request");
    let refused = client.send(request).await;
    assert!(!refused.message().contains("rpc error"), "{}", refused.text);
}

#[tokio::test]
async fn null_is_the_same_as_leaving_out() {
    let client = Client::new(0);
    let swarm = client.get("/swarm").await.ok();
    let mut spec = swarm["Spec"].clone();
    spec["Raft"]["SnapshotInterval"] = Value::Null;
    spec["Orchestration"] = json!({"TaskHistoryRetentionLimit": 4});
    spec["CAConfig"]["NodeCertExpiry"] = Value::Null;
    let path = format!("/swarm/update?version={}", swarm["Version"]["Index"]);
    let done = client.post(&path, &spec).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let wrong = client.post(&path, &json!({"Name": null, "Raft": 7})).await;
    assert!(wrong.status == 400 && wrong.message().contains("line 1"), "{}", wrong.text);
}

#[tokio::test]
async fn a_mode_may_be_written_in_lower_case_as_the_python_sdk_does() {
    let client = Client::new(1);
    for (name, mode, tasks) in
        [("two", json!({"replicated": {"Replicas": 2}}), 2), ("all", json!({"global": {}}), 2)]
    {
        let mut spec = service(name);
        spec["Mode"] = mode;
        client.create(&spec).await;
        let shown = client.get(&format!("/tasks?filters={{\"service\":[\"{name}\"]}}")).await.ok();
        assert_eq!(shown.as_array().map(Vec::len), Some(tasks), "{name}");
    }
    let shown = client.get("/services/all").await.ok();
    assert!(shown["Spec"]["Mode"]["Global"].is_object(), "{}", shown["Spec"]["Mode"]);
}

#[tokio::test]
async fn a_jobs_first_slot_goes_by_its_node_as_dockers_does() {
    let client = Client::new(0);
    let mut spec = service("job");
    spec["Mode"] = json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}});
    client.create(&spec).await;
    let node = client.get("/nodes").await.ok()[0]["ID"].as_str().expect("an id").to_owned();
    for (name, slot) in [(format!("job.{node}"), 0), ("job.0".to_owned(), 0), ("job.1".into(), 1)] {
        let task = client.get(&format!("/tasks/{name}")).await.ok();
        assert_eq!(task["Slot"].as_u64().unwrap_or(0), slot, "{name}: {task}");
    }
    for (prefix, tasks) in [(format!("job.{node}."), 1), ("job.0.".to_owned(), 0)] {
        let named = client.get(&format!("/tasks?filters={{\"name\":[\"{prefix}\"]}}")).await.ok();
        assert_eq!(named.as_array().map(Vec::len), Some(tasks), "{prefix}");
    }
}
