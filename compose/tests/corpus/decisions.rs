//! Where we differ from the docker CLI on purpose, as comparisons see it.
//!
//! Each decision takes its difference out of both sides and says so; what is left must be equal.
//! `docs/compose.md` has the reasons.

use std::collections::BTreeSet;

use serde_json::Value;

/// Makes both sides comparable: ids that the stand-in engine invented, order of lists that Go's
/// maps shuffle, and the differences that were decided. Names the decisions that mattered.
pub fn level(ours: &mut Value, theirs: &mut Value) -> BTreeSet<&'static str> {
    let mut decisions = BTreeSet::new();
    for side in [&mut *ours, &mut *theirs] {
        for list in ["networks", "secrets", "configs", "services"] {
            if let Some(Value::Array(items)) = side.get_mut(list) {
                items.sort_by_key(|i| i["Name"].as_str().unwrap_or("").to_owned());
            }
        }
        for service in services(side) {
            for (list, id) in [("Secrets", "SecretID"), ("Configs", "ConfigID")] {
                let container = &mut service["TaskTemplate"]["ContainerSpec"];
                for item in
                    container.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
                {
                    item[id] = Value::String(String::new());
                }
                if let Some(items) = container.get_mut(list).and_then(Value::as_array_mut) {
                    items.sort_by_key(Value::to_string);
                }
            }
            let config =
                service.pointer_mut("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec/Config");
            if let Some(config) = config {
                *config = Value::String(String::new());
            }
            let ports = service.pointer_mut("/EndpointSpec/Ports").and_then(Value::as_array_mut);
            if let Some(ports) = ports {
                ports.sort_by_key(Value::to_string);
            }
        }
    }
    let networks = theirs.get_mut("networks").and_then(Value::as_array_mut);
    for network in networks.into_iter().flatten() {
        if matches!(network["Driver"].as_str(), Some("bridge" | "nat")) {
            network["Driver"] = Value::String("overlay".to_owned());
            decisions.insert("network-driver");
        }
    }
    for service in services(theirs) {
        let policy = service.pointer_mut("/TaskTemplate/RestartPolicy/Condition");
        if let Some(condition) = policy.filter(|c| *c == "always") {
            *condition = Value::String("any".to_owned());
            decisions.insert("restart-always");
        }
    }
    let of_theirs = theirs.clone();
    for (index, service) in services(ours).enumerate() {
        let policy = service.pointer("/TaskTemplate/RestartPolicy");
        let cli = of_theirs["services"][index].pointer("/TaskTemplate/RestartPolicy");
        if cli.is_none() && policy.is_some_and(|p| p["Condition"] == "none") {
            remove(service, "/TaskTemplate", "RestartPolicy");
            decisions.insert("restart-no");
        }
        if remove(service, "/TaskTemplate/ContainerSpec", "Engine") {
            decisions.insert("engine-options");
        }
        if remove(service, "", "DependsOn") {
            decisions.insert("depends-on");
        }
    }
    decisions
}

fn remove(value: &mut Value, pointer: &str, key: &str) -> bool {
    value
        .pointer_mut(pointer)
        .and_then(Value::as_object_mut)
        .is_some_and(|map| map.remove(key).is_some())
}

fn services(side: &mut Value) -> impl Iterator<Item = &mut Value> {
    side.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten()
}

/// The first place at which two values differ.
pub fn difference(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let nothing = Value::String("(absent)".to_owned());
                let (x, y) = (a.get(key).unwrap_or(&nothing), b.get(key).unwrap_or(&nothing));
                difference(x, y, &format!("{path}/{key}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(index, (x, y))| difference(x, y, &format!("{path}/{index}"))),
        _ if ours == theirs => None,
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        _ => Some(format!("{path}: ours {ours}, the CLI's {theirs}")),
    }
}

/// Our document doubles every `$` so that it reads back; the CLI's does not.
pub fn unescape(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("$$", "$")),
        Value::Array(items) => items.into_iter().map(unescape).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, unescape(v))).collect(),
        other => other,
    }
}

/// The version means nothing.
pub fn without_version(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.remove("version");
    }
    value
}
