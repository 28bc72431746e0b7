//! The OpenAPI document: current, whole, and true of what is answered.

mod document;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::document::document;
use crate::client::{Client, service};

/// Set to write the file instead of comparing with it.
const WRITE: &str = "SWARMCTL_WRITE_OPENAPI";

#[test]
fn the_document_that_is_checked_in_is_the_one_that_the_code_makes() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let document = document();
    if std::env::var_os(WRITE).is_some() {
        let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
        std::fs::write(&file, text).expect("written");
    }
    let text = std::fs::read_to_string(&file).expect("it is checked in");
    let checked_in: Value = serde_json::from_str(&text).expect("JSON");
    assert!(checked_in == document, "docs/openapi.json is old; run this test with {WRITE}=1");
}

#[test]
fn every_route_is_in_the_document_and_nothing_else_is() {
    let document = document();
    let described = document["paths"].as_object().expect("paths").keys().cloned();
    let mut described: Vec<String> = described.collect();
    let source = include_str!("../../../src/api/mod.rs");
    let mut routes: Vec<String> = source
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .filter(|path| {
            !["/dashboard", "/containers", "/exec"].iter().any(|other| path.starts_with(other))
        })
        .collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

/// Where a value is not what a schema says; nothing when it fits.
fn misfits(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#'));
        return misfits(root, target.expect("a reference to something"), value, place);
    }
    let mut wrong = Vec::new();
    for any in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(any).and_then(Value::as_array) {
            let fits = |s: &&Value| misfits(root, s, value, place).is_empty();
            if !options.iter().any(|s| fits(&s)) {
                wrong.push(format!("{place}: {value} is none of {any}"));
            }
        }
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        wrong.extend(misfits(root, part, value, place));
    }
    let kinds = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |k: &&str| *k == kind || (*k == "number" && kind == "integer");
    if !kinds.is_empty() && !kinds.iter().any(fits) {
        wrong.push(format!("{place}: {kind}, not {kinds:?}"));
        return wrong;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        wrong.push(format!("{place}: {value} is not one of {allowed:?}"));
    }
    if let Value::Array(items) = value
        && let Some(schema) = schema.get("items")
    {
        for (i, item) in items.iter().enumerate() {
            wrong.extend(misfits(root, schema, item, &format!("{place}[{i}]")));
        }
    }
    let Value::Object(fields) = value else { return wrong };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if name.as_str().is_some_and(|name| !fields.contains_key(name)) {
            wrong.push(format!("{place}: no {name}"));
        }
    }
    for (name, field) in fields {
        let place = format!("{place}.{name}");
        match (schema.pointer(&format!("/properties/{name}")), schema.get("additionalProperties")) {
            (Some(schema), _) => wrong.extend(misfits(root, schema, field, &place)),
            (None, Some(Value::Bool(true))) => {}
            (None, Some(schema @ Value::Object(_))) => {
                wrong.extend(misfits(root, schema, field, &place));
            }
            (None, _) if schema.get("properties").is_some() => {
                wrong.push(format!("{place}: not in the document"));
            }
            (None, _) => {}
        }
    }
    wrong
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let client = Client::new(2);
    let document = document();
    let mut rich = service("web");
    rich["Labels"] = json!({"a": "b"});
    rich["EndpointSpec"] = json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]});
    rich["TaskTemplate"]["Resources"] = json!({"Limits": {"NanoCPUs": 500_000_000}});
    rich["TaskTemplate"]["Networks"] = json!([{"Target": "front"}]);
    client.post("/networks/create", &json!({"Name": "front", "Driver": "overlay"})).await.ok();
    client.post("/configs/create", &json!({"Name": "key", "Data": "YQ=="})).await.ok();
    client.post("/secrets/create", &json!({"Name": "key", "Data": "YQ=="})).await.ok();
    client.create(&rich).await;
    let mut job = service("once");
    job["Mode"] = json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}});
    client.create(&job).await;
    let mut never = service("never");
    never["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.labels.none==1"]});
    client.create(&never).await;
    for image in ["demo/web:1", "demo/web:2"] {
        let container = json!({"ContainerSpec": {"Image": image}});
        let stack = json!({"Services": [{"Name": "demo_app", "TaskTemplate": container}]});
        client.post("/stacks/demo", &stack).await.ok();
    }
    client.cluster.settle();
    let mut seen = 0;
    for (path, asked) in [
        ("/services", "/services?status=1&insertDefaults=1"),
        ("/services/{id}", "/services/web"),
        ("/services/{id}/progress", "/services/never/progress"),
        ("/tasks", "/tasks"),
        ("/tasks/{id}", "/tasks/web.1"),
        ("/nodes", "/nodes"),
        ("/nodes/{id}", "/nodes/m1"),
        ("/networks", "/networks"),
        ("/networks/{id}", "/networks/front?verbose=1"),
        ("/secrets", "/secrets"),
        ("/secrets/{id}", "/secrets/key"),
        ("/configs", "/configs"),
        ("/configs/{id}", "/configs/key"),
        ("/swarm", "/swarm"),
        ("/swarm/unlockkey", "/swarm/unlockkey"),
        ("/_swarm/info", "/_swarm/info"),
        ("/explain/{kind}/{id}", "/explain/service/never"),
        ("/stacks", "/stacks"),
        ("/stacks/{name}/services", "/stacks/demo/services"),
        ("/stacks/{name}/revisions", "/stacks/demo/revisions"),
        ("/stacks/{name}/revisions/{number}", "/stacks/demo/revisions/2"),
        ("/backup", "/backup"),
        ("/openapi.json", "/openapi.json"),
    ] {
        let answer = client.get(asked).await.ok();
        let schema = document["paths"][path]["get"]["responses"]["200"]
            .pointer("/content/application~1json/schema")
            .unwrap_or_else(|| panic!("{path} has a schema"));
        let wrong = misfits(&document, schema, &answer, "");
        assert!(wrong.is_empty(), "{asked}: {}", wrong.join("\n"));
        seen += 1;
    }
    let documented = document["paths"].as_object().expect("paths").values();
    let with_answers = documented.filter(|path| {
        path.pointer("/get/responses/200/content/application~1json/schema").is_some()
    });
    assert_eq!(seen, with_answers.count(), "every GET with such an answer is tried");
}
