//! Bodies recorded from a real engine read into our types and write back the same.
//!
//! The recordings lie beside the repository (`../shared/docker-api`), or where
//! `SWARMCTL_DOCKER_API` says. Where there are none, the test says so and passes.

use std::path::PathBuf;

use model::api::{Config, Moment, Network, Node, Secret, Service, Swarm, SwarmInfo, Task};
use model::spec::{ConfigSpec, NetworkSpec, SecretSpec, ServiceSpec};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn recordings() -> Vec<(String, Value)> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/docker-api");
    let folder = std::env::var_os("SWARMCTL_DOCKER_API").map_or(beside, PathBuf::from);
    let Ok(files) = std::fs::read_dir(folder.join("transcripts")) else {
        println!("skipped: no recordings of Docker's API (SWARMCTL_DOCKER_API)");
        return Vec::new();
    };
    let mut all: Vec<(String, Value)> = files
        .map(|file| file.expect("a readable folder").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "INDEX.json"))
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable recording");
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("a recording in JSON"))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Where two documents differ; times count as equal when they are within the millisecond that we
/// keep, and a number without decimals equals the same number with them.
fn difference(path: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(&format!("{path}.{key}"), a, b),
                (Some(Value::Null), None) => None,
                (Some(a), None) => Some(format!("{path}.{key}: {a} was lost")),
                (None, b) => Some(format!("{path}.{key}: {b:?} was added")),
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(&format!("{path}[{i}]"), a, b)),
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (Value::String(a), Value::String(b)) if a != b => {
            match (a.parse::<Moment>(), b.parse::<Moment>()) {
                (Ok(a), Ok(b)) if a == b => None,
                _ => Some(format!("{path}: {a:?} became {b:?}")),
            }
        }
        (a, b) if a == b => None,
        // Go writes a nil map or list as null.
        (Value::Null, Value::Object(map)) if map.is_empty() => None,
        (Value::Null, Value::Array(items)) if items.is_empty() => None,
        (a, b) => Some(format!("{path}: {a} became {b}")),
    }
}

fn same<T: Serialize + DeserializeOwned>(at: &str, body: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(body.clone()).map_err(|e| format!("{at}: {e}"))?;
    let back = serde_json::to_value(read).expect("our types are JSON");
    difference(at, body, &back).map_or(Ok(()), Err)
}

fn each<T: Serialize + DeserializeOwned>(at: &str, body: &Value) -> Result<(), String> {
    match body {
        Value::Array(items) => items.iter().try_for_each(|item| same::<T>(at, item)),
        item => same::<T>(at, item),
    }
}

/// The path without version, split.
fn words(exchange: &Value) -> Vec<String> {
    let path = exchange["request"]["path"].as_str().unwrap_or("");
    path.split('/').filter(|w| !w.is_empty() && !w.starts_with("v1.")).map(str::to_owned).collect()
}

#[test]
fn recorded_answers_read_and_write_back_the_same() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (file, recording) in recordings() {
        for exchange in recording["exchanges"].as_array().into_iter().flatten() {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let body = &response["body"];
            if request["method"] != "GET" || response["status"] != 200 || body.is_null() {
                continue;
            }
            let words = words(exchange);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let outcome = match words[..] {
                ["services"] | ["services", _] => each::<Service>(&file, body),
                ["tasks"] | ["tasks", _] => each::<Task>(&file, body),
                ["nodes"] | ["nodes", _] => each::<Node>(&file, body),
                ["secrets"] | ["secrets", _] => each::<Secret>(&file, body),
                ["configs"] | ["configs", _] => each::<Config>(&file, body),
                ["swarm"] => same::<Swarm>(&file, body),
                // Without a quorum the engine writes a cluster of zeros; we leave it out.
                ["info"] if body["Swarm"]["Cluster"]["ID"] == "" => continue,
                ["info"] => same::<SwarmInfo>(&file, &body["Swarm"]),
                // Local networks have fields that only an engine knows; ours are the swarm's.
                ["networks"] | ["networks", _] => match body {
                    Value::Array(items) => items
                        .iter()
                        .filter(|n| n["Scope"] == "swarm" && n["Containers"].is_null())
                        .filter(|n| n.get("Peers").is_none_or(Value::is_null))
                        .try_for_each(|n| same::<Network>(&file, n)),
                    item if item["Scope"] == "swarm"
                        && item["Containers"].is_null()
                        && item.get("Peers").is_none_or(Value::is_null) =>
                    {
                        same::<Network>(&file, item)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            seen += 1;
            wrong.extend(outcome.err());
        }
    }
    println!("{seen} recorded answers");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn recorded_specs_read_and_write_back_the_same() {
    let mut wrong = Vec::new();
    for (file, recording) in recordings() {
        for exchange in recording["exchanges"].as_array().into_iter().flatten() {
            let body = &exchange["request"]["body"];
            let accepted = exchange["response"]["status"].as_u64().is_some_and(|s| s < 300);
            if exchange["request"]["method"] != "POST" || !accepted || !body.is_object() {
                continue;
            }
            let words = words(exchange);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            // What a client spells out although it is the default may be left out: those
            // differences are read away by comparing our reading of both texts.
            let outcome = match words[..] {
                ["services", "create"] | ["services", _, "update"] => settled::<ServiceSpec>(body),
                ["networks", "create"] => settled::<NetworkSpec>(body),
                ["secrets", "create"] => settled::<SecretSpec>(body),
                ["configs", "create"] => settled::<ConfigSpec>(body),
                _ => continue,
            };
            wrong.extend(outcome.err().map(|e| format!("{file}: {e}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reading what we wrote gives what we read, and loses no field that has a value.
fn settled<T: Serialize + DeserializeOwned + PartialEq>(body: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(body.clone()).map_err(|e| e.to_string())?;
    let written = serde_json::to_value(&read).expect("our types are JSON");
    let again: T = serde_json::from_value(written.clone()).map_err(|e| e.to_string())?;
    if read != again {
        return Err(format!("reads differently the second time: {written}"));
    }
    lost("", body, &written).map_or(Ok(()), Err)
}

/// A field with a value that is not in what we wrote.
fn lost(path: &str, a: &Value, b: &Value) -> Option<String> {
    match a {
        Value::Object(a) => a.iter().find_map(|(key, a)| {
            let path = format!("{path}.{key}");
            match b.get(key) {
                Some(b) => lost(&path, a, b),
                None if is_empty(a) => None,
                None => Some(format!("{path}: {a} was lost")),
            }
        }),
        Value::Array(a) => a
            .iter()
            .enumerate()
            .find_map(|(i, a)| lost(&format!("{path}[{i}]"), a, b.get(i).unwrap_or(&Value::Null))),
        a if a == b || a.as_f64().is_some() && a.as_f64() == b.as_f64() || is_empty(a) => None,
        a => Some(format!("{path}: {a} became {b}")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        Value::Bool(true) => false,
    }
}
