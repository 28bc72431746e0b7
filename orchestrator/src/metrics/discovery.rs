//! `/prometheus/nodes` and `/prometheus/tasks`: what to scrape, for Prometheus' `http_sd_configs`.
//!
//! The labels have the names of Prometheus' own discovery for Docker Swarm (`__meta_dockerswarm_…`), so that
//! rules written for it go on working. A task is listed when its service asks for it by label, see [`Ask`].
//! Answered from this manager's replica: a scrape must go on while there is no leader.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::lifecycle::{Desired, TaskState};
use model::object::{Node, Service, Task};
use model::spec::{Availability, Labels, Protocol};
use orchestrator_core::State;
use serde::{Deserialize, Serialize};

use crate::log::Log;

/// Where agents serve metrics unless the request says otherwise.
const AGENTS: u16 = 2378;

/// One entry of an answer; the form is Prometheus'.
#[derive(Debug, PartialEq, Serialize)]
pub struct Group {
    /// `host:port`.
    pub targets: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Asked {
    /// Where the agents serve metrics.
    port: Option<u16>,
}

pub(super) fn routes(log: Log<State>) -> Router {
    let of_nodes = log.clone();
    let nodes = move |asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>| {
        let state = of_nodes.state().state.clone();
        async move {
            match asked {
                Ok(Query(asked)) => {
                    Json(nodes(&state, asked.port.unwrap_or(AGENTS))).into_response()
                }
                Err(_) => refused("port is a number from 0 to 65535"),
            }
        }
    };
    let tasks = move || {
        let state = log.state().state.clone();
        async move { Json(tasks(&state)) }
    };
    Router::new().route("/prometheus/nodes", get(nodes)).route("/prometheus/tasks", get(tasks))
}

fn refused(message: &str) -> Response {
    let body = model::api::ErrorBody { message: message.to_owned() };
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// Every node, at its agent's port for metrics.
#[must_use]
pub fn nodes(state: &State, port: u16) -> Vec<Group> {
    state
        .nodes()
        .filter_map(|node| {
            let address: IpAddr = node.description.address.parse().ok()?;
            let mut labels = BTreeMap::new();
            of_node(&mut labels, node);
            Some(Group { targets: vec![target(address, port)], labels })
        })
        .collect()
}

fn target(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// Every task that runs and wants to be scraped.
#[must_use]
pub fn tasks(state: &State) -> Vec<Group> {
    let mut groups = Vec::new();
    for service in state.services().filter(|s| s.removed.is_none()) {
        let Some(ask) = Ask::of(service) else { continue };
        for task in state.tasks_of(service.id) {
            let runs = task.status.state == TaskState::Running && task.desired == Desired::Running;
            let node = task.node.and_then(|node| state.node(node));
            if let Some(node) = node.filter(|_| runs)
                && let Some((target, network)) = ask.target(state, task, node)
            {
                let mut labels = ask.labels(service);
                of_task(&mut labels, service, task);
                of_node(&mut labels, node);
                if let Some(network) = network {
                    labels.insert(META.to_owned() + "network_name", network);
                }
                groups.push(Group { targets: vec![target], labels });
            }
        }
    }
    groups
}

const META: &str = "__meta_dockerswarm_";

/// How a service asks for its tasks to be scraped: labels of the service, or else of its containers.
///
/// `prometheus.io/scrape: "true"` asks. `prometheus.io/port` is the port in the container (default: the only
/// one that the service publishes), `prometheus.io/path` (default `/metrics`), `prometheus.io/scheme` (default
/// `http`), `prometheus.io/network` names the network on which Prometheus reaches the tasks (default: the
/// service's only one). A port that is published in host mode is scraped at the node instead.
#[derive(Debug, PartialEq)]
struct Ask<'a> {
    port: u16,
    path: &'a str,
    scheme: &'a str,
    network: Option<&'a str>,
}

impl<'a> Ask<'a> {
    fn of(service: &'a Service) -> Option<Ask<'a>> {
        let container = service.spec.task_template.container_spec.as_ref();
        let say = |key: &str| {
            let key = format!("prometheus.io/{key}");
            let inner = || container.and_then(|c| c.labels.get(&key));
            service.spec.labels.get(&key).or_else(inner).map(String::as_str)
        };
        if say("scrape") != Some("true") {
            return None;
        }
        let port = match (say("port"), &service.endpoint.ports[..]) {
            (Some(port), _) => port.parse().ok()?,
            (None, [one]) => one.target_port,
            (None, _) => return None,
        };
        Some(Ask {
            port,
            path: say("path").unwrap_or("/metrics"),
            scheme: say("scheme").unwrap_or("http"),
            network: say("network"),
        })
    }

    /// Where the task is scraped, and over which network.
    fn target(&self, state: &State, task: &Task, node: &Node) -> Option<(String, Option<String>)> {
        let at_host = task.status.ports.iter().find(|port| {
            port.publish_mode.is_host()
                && port.target_port == self.port
                && port.protocol.effective() == Protocol::Tcp
        });
        if let Some(port) = at_host {
            let address = node.description.address.parse().ok()?;
            return Some((target(address, port.published_port), None));
        }
        let mut places = task.attachments.iter().filter_map(|attachment| {
            let network = state.network(attachment.network)?;
            let name = &network.spec.name;
            // A stack's network is known in its file without the stack's name.
            let meant = |wanted: &str| name == wanted || name.ends_with(&format!("_{wanted}"));
            self.network.is_none_or(meant).then_some((attachment.address, name.clone()))
        });
        let (address, network) = places.next()?;
        // Of several nobody has said which.
        if places.next().is_some() {
            return None;
        }
        Some((target(address.into(), self.port), Some(network)))
    }

    fn labels(&self, service: &Service) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            ("__metrics_path__".to_owned(), self.path.to_owned()),
            ("__scheme__".to_owned(), self.scheme.to_owned()),
        ]);
        add_all(&mut labels, "service_label_", &service.spec.labels);
        if let Some(container) = &service.spec.task_template.container_spec {
            add_all(&mut labels, "container_label_", &container.labels);
        }
        labels
    }
}

fn of_task(labels: &mut BTreeMap<String, String>, service: &Service, task: &Task) {
    let container = task.status.container.as_ref().map(|c| c.id.clone()).unwrap_or_default();
    let slot = match task.slot {
        model::object::Slot::Replica(number) => number.to_string(),
        model::object::Slot::Node(_) => String::new(),
    };
    for (name, value) in [
        ("service_id", service.id.to_string()),
        ("service_name", service.spec.name.clone()),
        ("task_id", task.id.to_string()),
        ("task_slot", slot),
        ("task_state", task.status.state.name().to_owned()),
        ("task_container_id", container),
    ] {
        labels.insert(format!("{META}{name}"), value);
    }
}

fn of_node(labels: &mut BTreeMap<String, String>, node: &Node) {
    let description = &node.description;
    for (name, value) in [
        ("node_id", node.id.to_string()),
        ("node_hostname", description.hostname.clone()),
        ("node_address", description.address.clone()),
        ("node_role", node.spec.role.name().to_owned()),
        ("node_availability", availability(node.spec.availability).to_owned()),
        ("node_status", node.status.state.name().to_owned()),
        ("node_engine_version", description.engine.version.clone()),
        ("node_platform_os", description.platform.os.clone()),
        ("node_platform_architecture", description.platform.architecture.clone()),
    ] {
        labels.insert(format!("{META}{name}"), value);
    }
    add_all(labels, "node_label_", &node.spec.labels);
}

pub(super) fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

/// Labels under names that Prometheus takes: letters, digits, underscores.
fn add_all(labels: &mut BTreeMap<String, String>, prefix: &str, given: &Labels) {
    for (key, value) in given {
        let plain: String =
            key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        labels.insert(format!("{META}{prefix}{plain}"), value.clone());
    }
}
