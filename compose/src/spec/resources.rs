//! Limits and reservations.

use model::spec::{DiscreteResource, GenericResource, Limits, ResourceRequirements, Resources};

use super::{bytes, int, string};
use crate::quantity::cpus;
use crate::yaml::Node;

/// `deploy.resources`; the service's own `cpus`, `mem_limit`, `mem_reservation` and `pids_limit`
/// fill in what it leaves open.
pub(super) fn resources(service: &Node) -> ResourceRequirements {
    let node = service.get("deploy").and_then(|d| d.get("resources"));
    ResourceRequirements {
        limits: limits(service, node.and_then(|n| n.get("limits"))),
        reservations: reservations(service, node.and_then(|n| n.get("reservations"))),
        ..ResourceRequirements::default()
    }
}

fn limits(service: &Node, node: Option<&Node>) -> Option<Limits> {
    let given = node.map(|n| Limits {
        nano_cpus: nano_cpus(n).unwrap_or(0),
        memory_bytes: bytes(n, "memory").unwrap_or(0),
        pids: int(n, "pids").unwrap_or(0),
        ..Limits::default()
    });
    let own = Limits {
        nano_cpus: nano_cpus(service).unwrap_or(0),
        memory_bytes: bytes(service, "mem_limit").unwrap_or(0),
        pids: int(service, "pids_limit").unwrap_or(0),
        ..Limits::default()
    };
    if own == Limits::default() {
        return given;
    }
    let given = given.unwrap_or_default();
    Some(Limits {
        nano_cpus: or(given.nano_cpus, own.nano_cpus),
        memory_bytes: or(given.memory_bytes, own.memory_bytes),
        pids: or(given.pids, own.pids),
        ..Limits::default()
    })
}

fn reservations(service: &Node, node: Option<&Node>) -> Option<Resources> {
    let own = bytes(service, "mem_reservation").unwrap_or(0);
    if node.is_none() && own == 0 {
        return None;
    }
    let generic = node
        .and_then(|n| n.get("generic_resources"))
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .map(generic)
        .collect();
    Some(Resources {
        nano_cpus: node.and_then(nano_cpus).unwrap_or(0),
        memory_bytes: or(node.and_then(|n| bytes(n, "memory")).unwrap_or(0), own),
        generic_resources: generic,
        ..Resources::default()
    })
}

fn generic(node: &Node) -> GenericResource {
    GenericResource {
        discrete_resource_spec: node.get("discrete_resource_spec").map(|d| DiscreteResource {
            kind: string(d, "kind"),
            value: int(d, "value").unwrap_or(0),
        }),
        named_resource_spec: None,
    }
}

fn nano_cpus(node: &Node) -> Option<i64> {
    cpus::parse(node.str("cpus")?).ok()
}

fn or(first: i64, second: i64) -> i64 {
    if first == 0 { second } else { first }
}
