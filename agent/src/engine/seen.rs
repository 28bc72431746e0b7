//! Reads the engine's description of a container (`GET /containers/{id}/json`).

use std::net::Ipv4Addr;

use agent_core::worker::{Container, Exit, Health, Phase};
use model::TaskId;
use model::spec::{PortConfig, Protocol, PublishMode};
use serde_json::Value;

use super::labels;

/// How much of a health check's output is kept, bytes.
const MAX_OUTPUT: usize = 1024;

/// A container of ours as the engine described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub task: TaskId,
    pub container: Container,
    pub place: Place,
}

/// Where a running container is on the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file of its network namespace; empty while it does not run.
    pub netns: String,
    /// Its address on the engine's own default bridge.
    pub engine_address: Option<Ipv4Addr>,
    /// It shares the host's network.
    pub host_network: bool,
}

impl Seen {
    /// None when the container is not one of ours.
    #[must_use]
    pub fn read(document: &Value) -> Option<Seen> {
        let label = |key: &str| document.pointer("/Config/Labels")?.get(key)?.as_str();
        let task = label(labels::TASK)?.parse().ok()?;
        let name = document.get("Name")?.as_str()?;
        if label(labels::NAME)? != name.trim_start_matches('/') {
            return None;
        }
        let container = Container {
            id: document.get("Id")?.as_str()?.to_owned(),
            phase: phase(document.get("State")?),
            ports: ports(document),
        };
        let text = |place: &str| document.pointer(place).and_then(Value::as_str).unwrap_or("");
        let place = Place {
            netns: text("/NetworkSettings/SandboxKey").to_owned(),
            engine_address: text("/NetworkSettings/Networks/bridge/IPAddress").parse().ok(),
            host_network: text("/HostConfig/NetworkMode") == "host",
        };
        Some(Seen { task, container, place })
    }
}

fn phase(state: &Value) -> Phase {
    let text = |key: &str| state.get(key).and_then(Value::as_str).unwrap_or("");
    match text("Status") {
        "created" => Phase::Created,
        "running" | "paused" | "restarting" => Phase::Running {
            pid: state.get("Pid").and_then(Value::as_i64).unwrap_or(0),
            health: health(state.get("Health")),
        },
        // exited, dead, removing, and whatever a later engine calls an end.
        _ => Phase::Ended(Exit {
            code: state.get("ExitCode").and_then(Value::as_i64).unwrap_or(0),
            error: text("Error").to_owned(),
            out_of_memory: state.get("OOMKilled").and_then(Value::as_bool).unwrap_or(false),
        }),
    }
}

fn health(health: Option<&Value>) -> Health {
    let Some(health) = health else { return Health::Unchecked };
    match health.get("Status").and_then(Value::as_str) {
        Some("starting") => Health::Starting,
        Some("healthy") => Health::Healthy,
        Some("unhealthy") => {
            let last = health.get("Log").and_then(Value::as_array).and_then(|log| log.last());
            let output = last.and_then(|entry| entry.get("Output")).and_then(Value::as_str);
            Health::Unhealthy { output: shortened(output.unwrap_or(""), MAX_OUTPUT) }
        }
        _ => Health::Unchecked,
    }
}

/// At most `limit` bytes, cut between two characters.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let end = text.floor_char_boundary(limit.min(text.len()));
    text[..end].to_owned()
}

/// Host-mode ports as the engine opened them.
fn ports(document: &Value) -> Vec<PortConfig> {
    let Some(open) = document.pointer("/NetworkSettings/Ports").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut ports = Vec::new();
    for (target, bindings) in open {
        let (number, protocol) = target.split_once('/').unwrap_or((target, "tcp"));
        let protocol = match protocol {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        for binding in bindings.as_array().into_iter().flatten() {
            let published = binding.get("HostPort").and_then(Value::as_str);
            let (Ok(target_port), Some(Ok(published_port))) =
                (number.parse(), published.map(str::parse))
            else {
                continue;
            };
            let port = PortConfig {
                protocol,
                target_port,
                published_port,
                publish_mode: PublishMode::Host,
                ..PortConfig::default()
            };
            // One entry for IPv4 and IPv6 together.
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(state: Value) -> Value {
        json!({
            "Id": "abc", "Name": "/web.1.x", "State": state,
            "Config": {"Labels": {
                "swarmctl.task": TaskId::default().to_string(), "swarmctl.name": "web.1.x",
            }},
            "NetworkSettings": {"SandboxKey": "/run/docker/netns/1", "Ports": {
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                "90/udp": null,
            }},
        })
    }

    #[test]
    fn every_state_of_the_engine_is_a_phase() {
        for (state, phase) in [
            (json!({"Status": "created", "Pid": 0, "ExitCode": 0}), Phase::Created),
            (
                json!({"Status": "running", "Pid": 7}),
                Phase::Running { pid: 7, health: Health::Unchecked },
            ),
            (
                json!({"Status": "paused", "Pid": 7, "Health": {"Status": "starting"}}),
                Phase::Running { pid: 7, health: Health::Starting },
            ),
            (
                json!({"Status": "running", "Pid": 7, "Health": {"Status": "unhealthy",
                       "Log": [{"Output": "old"}, {"Output": "new"}]}}),
                Phase::Running { pid: 7, health: Health::Unhealthy { output: "new".into() } },
            ),
            (
                json!({"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Error": "e"}),
                Phase::Ended(Exit { code: 137, error: "e".into(), out_of_memory: true }),
            ),
        ] {
            let seen = Seen::read(&document(state)).expect("ours");
            assert_eq!(seen.container.phase, phase);
            assert_eq!(seen.container.ports.len(), 1);
            assert_eq!(seen.place.netns, "/run/docker/netns/1");
        }
    }

    #[test]
    fn a_container_with_our_labels_under_another_name_is_not_ours() {
        let mut copied = document(json!({"Status": "running"}));
        copied["Name"] = json!("/experiment");
        assert_eq!(Seen::read(&copied), None);
        let mut bare = document(json!({"Status": "running"}));
        bare["Config"]["Labels"] = Value::Null;
        assert_eq!(Seen::read(&bare), None);
    }
}
