//! The engine's half of a cluster network: a plain bridge network on the bridge that the data plane owns.
//!
//! The data plane makes bridge and tunnel; the engine is told to use that bridge, so that containers get
//! their addresses and namespaces the ordinary way. The engine's network is found again by its label.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use model::NetworkId;
use model::wire::orders::NetworkOrder;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::engine::EngineError;
use crate::engine::http::Endpoint;

/// The label that says which cluster network a network of the engine belongs to.
pub const LABEL: &str = "swarmctl.network";

/// Held while one is being made. Those that the engine was asked for and gave no answer about, and when:
/// it may be at work on them still, and their addresses are taken meanwhile.
static MAKING: Mutex<BTreeMap<NetworkId, Instant>> = Mutex::const_new(BTreeMap::new());

const DEADLINE: Duration = Duration::from_secs(60);

/// For how long a refusal of a network may come from our own request that had no answer.
const STILL_MAKING: Duration = Duration::from_secs(600);

/// Whether an engine's network is a half of a cluster network.
#[must_use]
pub fn is_half(network: &Value) -> bool {
    label(network).is_some()
}

fn label(network: &Value) -> Option<NetworkId> {
    network.get("Labels")?.get(LABEL)?.as_str()?.parse().ok()
}

/// The engine's half shown as what it is a half of.
#[must_use]
pub fn as_overlay(mut network: Value) -> Value {
    if let Some(id) = label(&network) {
        network["Id"] = json!(id);
    }
    network["Driver"] = json!("overlay");
    network["Scope"] = json!("swarm");
    if let Some(labels) = network.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.remove(LABEL);
    }
    network
}

/// Whether a network of the cluster, as a worker shows it, is one that `filters` ask for: Docker's
/// JSON in either form. The engine has judged them: what is unknown here has no effect.
#[must_use]
pub fn fits(network: &Value, filters: &str) -> bool {
    let filters: BTreeMap<String, Value> = serde_json::from_str(filters).unwrap_or_default();
    let text = |key: &str| network.get(key).and_then(Value::as_str).unwrap_or("");
    filters.iter().all(|(key, asked)| {
        let values: Vec<&str> = match asked {
            Value::Object(set) => set.keys().map(String::as_str).collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let any = |fits: &dyn Fn(&str) -> bool| values.is_empty() || values.iter().any(|v| fits(v));
        match key.as_str() {
            "name" => any(&|value| text("Name").contains(value)),
            "id" => any(&|value| text("Id").contains(value)),
            "driver" => any(&|value| text("Driver") == value),
            "scope" => any(&|value| text("Scope") == value),
            "type" => any(&|value| value == "custom"),
            "dangling" => any(&|value| matches!(value, "0" | "false")),
            "label" => values.iter().all(|value| {
                let (name, wanted) = value.split_once('=').unwrap_or((value, ""));
                let found = network.get("Labels").and_then(|labels| labels.get(name));
                found.is_some_and(|found| wanted.is_empty() || found == wanted)
            }),
            _ => true,
        }
    })
}

/// The create body of the engine's half.
fn body(order: &NetworkOrder, name: &str, bridge: &str, mtu: u32) -> Value {
    let mut labels = order.labels.clone();
    labels.insert(LABEL.to_owned(), order.id.to_string());
    json!({
        "Name": name,
        "Driver": "bridge",
        "Internal": order.internal,
        "Labels": labels,
        "IPAM": {"Driver": "default", "Config": [
            {"Subnet": order.subnet.to_string(), "Gateway": order.gateway.to_string()},
        ]},
        "Options": {
            "com.docker.network.bridge.name": bridge,
            "com.docker.network.driver.mtu": mtu.to_string(),
        },
    })
}

/// Every half on this host: the engine's id by cluster network.
///
/// # Errors
/// As [`EngineError`] says.
pub async fn halves(engine: &Endpoint) -> Result<BTreeMap<NetworkId, Value>, EngineError> {
    let path = format!("/networks?filters=%7B%22label%22%3A%5B%22{LABEL}%22%5D%7D");
    let list = engine.json(Method::GET, &path, None, DEADLINE).await?;
    let list = list.as_array().cloned().unwrap_or_default();
    Ok(list.into_iter().filter_map(|n| Some((label(&n)?, n))).collect())
}

/// Makes the engine's half unless it is there; gives the engine's id.
///
/// # Errors
/// As [`EngineError`] says; asking again is safe.
pub async fn ensure(
    engine: &Endpoint,
    order: &NetworkOrder,
    bridge: &str,
    mtu: u32,
) -> Result<String, EngineError> {
    // Two containers of one network come at the same time, and an engine would make it twice.
    let mut making = MAKING.lock().await;
    if let Some(half) = halves(engine).await?.get(&order.id) {
        making.remove(&order.id);
        let id = id_of(half);
        let gateway = half.pointer("/IPAM/Config/0/Gateway").and_then(Value::as_str);
        let subnet = half.pointer("/IPAM/Config/0/Subnet").and_then(Value::as_str);
        let same = gateway == Some(order.gateway.to_string().as_str())
            && subnet == Some(order.subnet.to_string().as_str());
        if same {
            return Ok(id);
        }
        // Of an earlier membership, or the managers gave this node another address: without a
        // container on it, it can be made anew.
        remove(engine, &id).await?;
    }
    let mut last = None;
    let id = order.id.to_string();
    // Some engines refuse two networks of one name, and somebody may have a network of that name.
    for name in [order.name.clone(), format!("{}-{}", order.name, &id[..8])] {
        let body = body(order, &name, bridge, mtu);
        match engine.json(Method::POST, "/networks/create", Some(&body), DEADLINE).await {
            Ok(made) => {
                making.remove(&order.id);
                return Ok(id_of(&made));
            }
            Err(error @ EngineError::Refused { status: 409, .. }) => last = Some(error),
            Err(EngineError::Refused { message, .. })
                if making.get(&order.id).is_some_and(|at| at.elapsed() < STILL_MAKING) =>
            {
                let why = format!("it is still at work on this network ({message})");
                return Err(EngineError::Silent(why));
            }
            Err(error) => {
                if matches!(error, EngineError::Silent(_)) {
                    making.insert(order.id, Instant::now());
                }
                return Err(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| EngineError::Silent(String::from("no name was tried"))))
}

fn id_of(network: &Value) -> String {
    network.get("Id").and_then(Value::as_str).unwrap_or("").to_owned()
}

/// Removes one of the engine's networks; one that is not there is no error.
///
/// # Errors
/// As [`EngineError`] says; it is refused while a container is attached.
pub async fn remove(engine: &Endpoint, id: &str) -> Result<(), EngineError> {
    match engine.call(Method::DELETE, &format!("/networks/{id}"), None, DEADLINE).await {
        Err(error) if error.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

/// Removes every half that `wanted` does not name and that no container is on. Gives how many are left.
///
/// # Errors
/// As [`EngineError`] says, when the engine cannot be asked at all.
pub async fn remove_others(
    engine: &Endpoint,
    wanted: impl Fn(NetworkId) -> bool,
) -> Result<usize, EngineError> {
    let mut left = 0;
    for (network, half) in halves(engine).await? {
        if !wanted(network)
            && let Err(error) = remove(engine, &id_of(&half)).await
        {
            // A container that is being removed still holds it; there is a next time.
            tracing::debug!(%network, %error, "cannot remove the engine's network yet");
            left += 1;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use model::Id;

    use super::*;

    #[test]
    fn a_half_is_known_by_its_label_and_shown_as_the_overlay() {
        let id = NetworkId(Id(7));
        let half = json!({"Id": "e", "Name": "front", "Driver": "bridge", "Scope": "local",
                          "Labels": {LABEL: id.to_string(), "k": "v"}});
        assert!(is_half(&half));
        assert!(!is_half(&json!({"Name": "front", "Labels": {"k": "v"}})));
        assert!(!is_half(&json!({"Name": "front", "Labels": null})));
        assert_eq!(
            as_overlay(half),
            json!({"Id": id, "Name": "front", "Driver": "overlay", "Scope": "swarm",
                   "Labels": {"k": "v"}})
        );
    }

    #[test]
    fn a_worker_filters_the_clusters_networks_as_the_engine_does_its_own() {
        let front = json!({"Id": "abc", "Name": "shop_front", "Driver": "overlay", "Scope": "swarm",
                           "Labels": {"tier": "front"}});
        for (filters, expected) in [
            ("", true),
            (r#"{"name":{"front":true,"back":true}}"#, true),
            (r#"{"name":["back"]}"#, false),
            (r#"{"id":["ab"],"driver":["overlay"],"scope":["swarm"]}"#, true),
            (r#"{"driver":{"bridge":true}}"#, false),
            (r#"{"scope":["local"]}"#, false),
            (r#"{"label":["tier","tier=front"]}"#, true),
            (r#"{"label":["tier=front","other"]}"#, false),
            (r#"{"type":["builtin"]}"#, false),
            (r#"{"dangling":["true"]}"#, false),
        ] {
            assert_eq!(fits(&front, filters), expected, "{filters}");
        }
    }
}
