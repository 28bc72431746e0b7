//! The recordings of a real engine, replayed: the same requests get the same statuses, and bodies
//! with the same fields of the same types.
//!
//! Recorded ids are translated by the names of their objects, versions by what the object has now.
//! Where we differ on purpose is listed in [`STATUSES`] and [`FIELDS`], each with its reason.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestrator::api::Cluster as _;
use serde_json::{Value, json};

use crate::client::Client;

/// Recorded status, words of the recorded message, ours, why.
const STATUSES: &[(u64, &str, u16, &str)] = &[
    (500, "update out of sequence", 409, "a conflict is no fault of the server's"),
    (500, "constraint expected one operator", 400, "the request is wrong, not the server"),
    (500, "network nonet not found", 400, "as above"),
    (500, "Invalid role filter", 400, "as above"),
    (500, "Invalid desired-state filter", 400, "as above"),
    (500, "you must choose at least one stream", 400, "as above"),
];

/// Fields (the end of their path) that may be there or not, and why.
const FIELDS: &[(&str, &str)] = &[
    (".UpdateStatus", "rollouts of the replay take no time"),
    (".PreviousSpec", "follows from which updates a recording made"),
    (".NetworksAttachments", "given together with a node"),
    (".ContainerStatus", "shown as soon as a node has the task; some clients fail without"),
    (".Err", "of tasks that failed on the recorded engine"),
    (".Ports", "host ports, where the engine had opened them"),
    (".Waiting", "ours"),
    (".Failures", "ours"),
    (".AgentVersion", "ours"),
    (".NodeID", "given to a task a moment after it is made, or at once"),
    (".Endpoint.Spec.Mode", "the engine fills it in when it has given addresses"),
    (".VirtualIPs", "as above"),
    (".Warnings", "we warn of fields that have no effect; the engine drops them"),
    (".Peers", "only the engine of a host knows its peers"),
    (".Containers", "as above"),
    (".Slot", "absent when 0"),
    (".JobIteration.Index", "absent when 0"),
    (".PID", "absent in some recordings"),
    (".Labels", "null in some recordings"),
    (".Isolation", "a default that this engine stores"),
    (".DNSConfig", "a default that this engine stores"),
    (".Init", "a default that this engine stores"),
    (".Runtime", "a default that this engine stores"),
];

fn recordings() -> Vec<(String, Value)> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/docker-api");
    let folder = std::env::var_os("SWARMCTL_DOCKER_API").map_or(beside, PathBuf::from);
    let Ok(files) = std::fs::read_dir(folder.join("transcripts")) else {
        println!("skipped: no recordings of Docker's API (SWARMCTL_DOCKER_API)");
        return Vec::new();
    };
    let mut all: Vec<(String, Value)> = files
        .map(|file| file.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a readable recording");
            (name, serde_json::from_str(&text).expect("a recording in JSON"))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Recordings that are left out.
const LEFT_OUT: &[(&str, &str)] = &[
    ("098", "overlapping subnets are refused: traffic would go to either network"),
    ("09d", "removes the network of 098"),
    ("101", "its service was removed without a recording"),
    ("17s", "the beginning of a recorded id"),
];

/// What was done between recordings without being recorded: services made or, for an empty name,
/// all removed.
const BETWEEN: &[(&str, &[&str])] = &[("119", &["plain"]), ("180", &["tt"]), ("200", &[""])];

/// Which recordings one manager can replay: nodes, objects, errors, stacks.
fn is_replayed(file: &str) -> bool {
    if LEFT_OUT.iter().any(|(name, _)| file.starts_with(name)) {
        return false;
    }
    let group = &file[..2];
    ["03", "06", "07", "08", "09", "10", "11", "12", "13", "15", "16", "17", "18", "20", "21"]
        .contains(&group)
}

/// Served by the agent or the engine, or streams that do not end.
fn is_ours(path: &str, raw_query: &str) -> bool {
    let first = path.split('/').find(|w| !w.is_empty() && !w.starts_with("v1.")).unwrap_or("");
    ["services", "tasks", "nodes", "networks", "secrets", "configs", "bogus"].contains(&first)
        && !path.ends_with("/logs")
        && !raw_query.contains("follow")
}

/// Recorded ids and the names of their objects.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(map) => {
                let id = map.get("ID").or_else(|| map.get("Id")).and_then(Value::as_str);
                let name =
                    [&value["Spec"]["Name"], &value["Name"], &value["Description"]["Hostname"]]
                        .into_iter()
                        .find_map(Value::as_str);
                if let (Some(id), Some(name)) = (id, name) {
                    self.0.insert(id.to_owned(), name.to_owned());
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// The text with recorded ids replaced by ours.
    fn translate(&self, client: &Client, text: &str) -> String {
        let mut text = text.replace("\"vm\"", "\"m1\"").replace("/nodes/vm", "/nodes/m1");
        for (id, name) in &self.0 {
            if text.contains(id.as_str())
                && let Some(ours) = our_id(client, name)
            {
                text = text.replace(id.as_str(), &ours);
            }
        }
        text
    }
}

fn our_id(client: &Client, name: &str) -> Option<String> {
    let state = client.cluster.state();
    let name = if name == "vm" { "m1" } else { name };
    let service = state.service_named(name).map(|s| s.id.to_string());
    service
        .or_else(|| state.network_named(name).map(|n| n.id.to_string()))
        .or_else(|| state.secret_named(name).map(|s| s.id.to_string()))
        .or_else(|| state.config_named(name).map(|c| c.id.to_string()))
        .or_else(|| state.find_node(name).one().map(|n| n.id.to_string()))
}

/// The name of a listed object. Tasks have none, and the spec of one says nothing about another's.
fn name_of(item: &Value) -> Option<&str> {
    item["Spec"]["Name"].as_str().or(item["Name"].as_str())
}

/// Where the shape of our body differs from the recorded one.
fn differences(path: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    if FIELDS.iter().any(|(end, _)| path.ends_with(end)) {
        return;
    }
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            let keys: std::collections::BTreeSet<&String> =
                recorded.keys().chain(ours.keys()).collect();
            for key in keys {
                let path = format!("{path}.{key}");
                let known = FIELDS.iter().any(|(end, _)| path.ends_with(end));
                match (recorded.get(key), ours.get(key)) {
                    (Some(Value::Null), None) => {}
                    (Some(recorded), Some(ours)) => differences(&path, recorded, ours, found),
                    (Some(_), None) if !known => found.push(format!("{path} is missing")),
                    (None, Some(_)) if !known => found.push(format!("{path} is too much")),
                    _ => {}
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            for (i, item) in recorded.iter().enumerate() {
                let twin = match name_of(item) {
                    Some(name) => ours.iter().find(|o| name_of(o) == Some(name)),
                    None if recorded.len() == ours.len() => ours.get(i),
                    // Lists of tasks, of which there are more or fewer.
                    None => ours.first().filter(|o| o.is_object() && o.get("Slot").is_some()),
                };
                if let Some(twin) = twin {
                    differences(&format!("{path}[]"), item, twin, found);
                }
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (recorded, ours) => {
            if std::mem::discriminant(recorded) != std::mem::discriminant(ours) {
                found.push(format!("{path}: {recorded} is {ours}"));
            }
        }
    }
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_statuses_and_shapes() {
    let client = Client::new(0);
    let mut names = Names::default();
    let (mut replayed, mut wrong) = (0, Vec::new());
    let mut between = BETWEEN.iter().peekable();
    for (file, recording) in recordings().into_iter().filter(|(file, _)| is_replayed(file)) {
        for exchange in recording["exchanges"].as_array().into_iter().flatten() {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let (path, raw_query) = (text(&request["path"]), text(&request["query_raw"]));
            let Some(status) = response["status"].as_u64() else { continue };
            names.learn(&response["body"]);
            if request["method"] == "POST" && status == 201 {
                let id = response["body"]["ID"].as_str().or(response["body"]["Id"].as_str());
                let name = request["body"]["Name"].as_str();
                if let (Some(id), Some(name)) = (id, name) {
                    names.0.insert(id.to_owned(), name.to_owned());
                }
            }
            if !is_ours(path, raw_query) || is_about_a_recorded_task(path) {
                continue;
            }
            if let Some((_, services)) = between.next_if(|(before, _)| file.as_str() >= *before) {
                prepare(&client, services).await;
            }
            let message = response["body"]["message"].as_str().unwrap_or("");
            let is_stale = message.contains("out of sequence");
            let answer = replay(&client, &names, request, is_stale).await;
            client.cluster.settle();
            replayed += 1;
            let meant =
                STATUSES.iter().find(|(is, words, _, _)| *is == status && message.contains(words));
            let expected = meant.map_or(status, |(_, _, ours, _)| u64::from(*ours));
            let at = format!("{file} {} {path}?{raw_query}", text(&request["method"]));
            if u64::from(answer.status) != expected {
                wrong.push(format!(
                    "{at}: {expected} {message} is {} {}",
                    answer.status, answer.text
                ));
                continue;
            }
            let mut found = Vec::new();
            if status < 300 {
                let mut recorded = response["body"].clone();
                let mut ours = answer.body;
                if path.ends_with("/tasks") {
                    without_specs(&mut recorded);
                    without_specs(&mut ours);
                }
                differences("", &recorded, &ours, &mut found);
            }
            wrong.extend(found.into_iter().map(|what| format!("{at}: {what}")));
        }
    }
    println!("{replayed} requests replayed");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was done between two recordings.
async fn prepare(client: &Client, services: &[&str]) {
    for name in services {
        if name.is_empty() {
            let state = client.cluster.state();
            for service in state.services().filter(|s| s.removed.is_none()) {
                client.delete(&format!("/services/{}", service.id)).await;
            }
        } else {
            // As the CLI spells it out.
            let mut spec = crate::client::service(name);
            spec["TaskTemplate"]["Resources"] = json!({"Limits": {}, "Reservations": {}});
            spec["TaskTemplate"]["Placement"] = json!({});
            spec["EndpointSpec"] = json!({"Mode": "vip"});
            client.post("/services/create", &spec).await.ok();
        }
    }
    client.cluster.settle();
}

/// Lists of tasks are compared by their first: of another service, with another spec.
fn without_specs(tasks: &mut Value) {
    for task in tasks.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        task.remove("Spec");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// Tasks of ours have other ids, and no names.
fn is_about_a_recorded_task(path: &str) -> bool {
    path.split("/tasks/").nth(1).is_some_and(|id| id.len() == 25)
}

async fn replay(
    client: &Client,
    names: &Names,
    request: &Value,
    is_stale: bool,
) -> crate::client::Answer {
    let path = names.translate(client, text(&request["path"]));
    let mut query: Vec<String> = Vec::new();
    for (name, value) in request["query"].as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = match name.as_str() {
            "version" if !is_stale => version_of(client, &path).await.unwrap_or(value),
            _ => names.translate(client, &value),
        };
        query.push(format!("{name}={value}"));
    }
    let uri = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    let method = text(&request["method"]);
    let body = match &request["body"] {
        Value::Null => String::new(),
        Value::Object(map) if map.len() == 1 && map.contains_key("text") => {
            text(&map["text"]).to_owned()
        }
        body => names.translate(client, &body.to_string()),
    };
    let kind = request["headers"]["Content-Type"].as_str();
    let mut built = axum::http::Request::builder().method(method).uri(crate::client::escaped(&uri));
    if let Some(kind) = kind {
        built = built.header("content-type", kind);
    }
    client.send(built.body(axum::body::Body::from(body)).expect("a request")).await
}

/// The version that the object of an update path has now.
async fn version_of(client: &Client, path: &str) -> Option<String> {
    let object = path.strip_suffix("/update")?;
    let shown = client.get(object).await;
    Some(shown.body["Version"]["Index"].as_u64()?.to_string())
}
