//! Judges how a service is reached: networks and published ports.

use std::collections::BTreeSet;

use model::object::Service;
use model::spec::{ServiceSpec, TaskSpec};

use super::{Findings, PREDEFINED_NETWORKS};
use crate::State;

/// Networks by name become networks by id, where the client has put them.
pub(super) fn networks(state: &State, found: &mut Findings, spec: &mut ServiceSpec) {
    let TaskSpec { networks, .. } = &mut spec.task_template;
    let networks = if networks.is_empty() { &mut spec.networks } else { networks };
    let mut seen = BTreeSet::new();
    for attached in networks {
        found.unknown("network attachment: ", &attached.extra);
        if PREDEFINED_NETWORKS.contains(&attached.target.as_str()) {
            continue;
        }
        match state.find_network(&attached.target).one() {
            Some(network) if network.spec.ingress => {
                found.problem("Service cannot be explicitly attached to the ingress network");
            }
            Some(network) => {
                attached.target = network.id.to_string();
                if !seen.insert(network.id) {
                    found.problem(format!("network {} is named twice", network.spec.name));
                }
            }
            None => found.problem(format!("network {} not found", attached.target)),
        }
    }
}

/// Ports: legal, not twice, not another service's.
pub(super) fn ports(
    state: &State,
    found: &mut Findings,
    spec: &ServiceSpec,
    old: Option<&Service>,
) {
    let Some(endpoint) = &spec.endpoint_spec else { return };
    found.unknown("EndpointSpec: ", &endpoint.extra);
    if !["", "vip", "dnsrr"].contains(&endpoint.mode.as_str()) {
        found.problem(format!("EndpointSpec: unrecognized mode {}", endpoint.mode));
    }
    let ingress = endpoint.ports.iter().any(|p| !p.publish_mode.is_host());
    if ingress && spec.effective_networks().is_empty() && state.ingress_network().is_none() {
        found.problem("service needs ingress network, but no ingress network is present");
    }
    if endpoint.is_dnsrr() && ingress {
        found.problem(
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        );
    }
    let mut published = BTreeSet::new();
    for port in &endpoint.ports {
        found.unknown("port: ", &port.extra);
        if port.target_port == 0 {
            found.problem("EndpointSpec: a port needs a target port of 1 to 65535");
        }
        if port.published_port == 0 {
            continue;
        }
        let key = (port.protocol.effective(), port.published_port);
        if !published.insert((key, port.publish_mode.is_host())) {
            found.problem("EndpointSpec: duplicate published ports provided");
        }
        let user = state.port_user(key).filter(|id| old.is_none_or(|old| old.id != *id));
        if let Some(user) = user.filter(|_| !port.publish_mode.is_host()) {
            let name = state.service(user).map_or("", |s| &s.spec.name);
            found.problem(format!(
                "port '{}' is already in use by service '{name}' ({user}) as an ingress port",
                port.published_port
            ));
        }
    }
}
