//! Requests as the docker CLI writes them: with the empty fields that it always sends.
//!
//! Our own types leave out what is empty. Whoever compares with the CLI, or reads an engine's log,
//! expects these.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::spec::Specs;

/// `{networks, secrets, configs, services}`.
#[must_use]
pub fn specs_json(specs: &Specs) -> Value {
    json!({
        "networks": all(&specs.networks, network),
        "secrets": all(&specs.secrets, |_| {}),
        "configs": all(&specs.configs, |_| {}),
        "services": all(&specs.services, service),
    })
}

fn all<T: Serialize>(specs: &[T], finish: fn(&mut Map<String, Value>)) -> Vec<Value> {
    specs
        .iter()
        .map(|spec| {
            let mut value = serde_json::to_value(spec).unwrap_or(Value::Null);
            if let Value::Object(map) = &mut value {
                finish(map);
            }
            value
        })
        .collect()
}

fn network(map: &mut Map<String, Value>) {
    for (key, empty) in [
        ("Driver", json!("")),
        ("Scope", json!("")),
        ("IPAM", Value::Null),
        ("Internal", json!(false)),
        ("Attachable", json!(false)),
        ("Ingress", json!(false)),
        ("ConfigOnly", json!(false)),
        ("ConfigFrom", Value::Null),
        ("Options", Value::Null),
        ("Labels", Value::Null),
    ] {
        map.entry(key).or_insert(empty);
    }
    if let Some(Value::Object(ipam)) = map.get_mut("IPAM") {
        ipam.entry("Options").or_insert(Value::Null);
    }
}

fn service(map: &mut Map<String, Value>) {
    for key in ["UpdateConfig", "RollbackConfig"] {
        if let Some(Value::Object(update)) = map.get_mut(key) {
            update.entry("Order").or_insert(json!(""));
        }
    }
    let privileges = map
        .get_mut("TaskTemplate")
        .and_then(|t| t.get_mut("ContainerSpec"))
        .and_then(|c| c.get_mut("Privileges"));
    if let Some(Value::Object(privileges)) = privileges {
        for (key, empty) in [
            ("CredentialSpec", Value::Null),
            ("SELinuxContext", Value::Null),
            ("NoNewPrivileges", json!(false)),
        ] {
            privileges.entry(key).or_insert(empty);
        }
    }
}
