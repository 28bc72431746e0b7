//! Networks: the cluster's, and those that every engine has under the same name.

use std::collections::BTreeMap;

use model::api::{Network, NetworkIpam, NetworkService, NetworkTask};
use model::object;
use model::spec::{IpamConfig, Labels};
use orchestrator_core::check::PREDEFINED_NETWORKS;
use orchestrator_core::state::State;

/// The option under which Docker shows a network's VXLAN identifier.
pub(super) const VXLAN_OPTION: &str = "com.docker.network.driver.overlay.vxlanid_list";

/// A network of the cluster.
pub(in crate::api) fn network(network: &object::Network) -> Network {
    let spec = &network.spec;
    let mut ipam = spec.ipam.as_ref().map(NetworkIpam::from).unwrap_or_default();
    if ipam.driver.is_empty() {
        ipam.driver = "default".to_owned();
    }
    let asked = ipam.config.first().cloned().unwrap_or_default();
    ipam.config =
        vec![IpamConfig { subnet: network.subnet.to_string(), gateway: gateway(network), ..asked }];
    let mut options = spec.options.clone();
    options.insert(VXLAN_OPTION.to_owned(), network.vni.to_string());
    Network {
        name: spec.name.clone(),
        id: network.id.to_string(),
        created: network.meta.created_at.into(),
        scope: "swarm".to_owned(),
        driver: if spec.driver.is_empty() { "overlay".to_owned() } else { spec.driver.clone() },
        enable_ipv4: spec.enable_ipv4,
        enable_ipv6: spec.enable_ipv6.unwrap_or(false),
        ipam,
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        options: Some(options),
        labels: spec.labels.clone(),
        ..Network::default()
    }
}

/// The address that is shown as the network's gateway.
pub(super) fn gateway(network: &object::Network) -> String {
    let gateway = orchestrator_core::state::gateway(network.subnet, &network.spec);
    gateway.map(|address| address.to_string()).unwrap_or_default()
}

/// With `verbose=true`: who is on the network.
pub(in crate::api) fn services(
    state: &State,
    network: &object::Network,
) -> BTreeMap<String, NetworkService> {
    let on_it = |service: &&std::sync::Arc<object::Service>| {
        service.removed.is_none()
            && (service.endpoint.vips.contains_key(&network.id)
                || state
                    .tasks_of(service.id)
                    .any(|t| t.attachments.iter().any(|a| a.network == network.id)))
    };
    let shown = state.services().filter(on_it).map(|service| {
        let vip = service.endpoint.vips.get(&network.id);
        let ports = service
            .endpoint
            .ports
            .iter()
            .map(|p| format!("Target: {}, Publish: {}", p.target_port, p.published_port));
        let tasks = state.tasks_of(service.id).filter(|t| !t.status.state.is_terminal());
        let tasks = tasks.filter_map(|task| {
            let place = task.attachments.iter().find(|a| a.network == network.id)?;
            Some(NetworkTask {
                name: super::task_name(state, task),
                endpoint_id: task.id.to_string(),
                endpoint_ip: place.address.to_string(),
                info: task.node.and_then(|node| state.node(node)).map(|node| {
                    Labels::from([("Host IP".to_owned(), node.description.address.clone())])
                }),
            })
        });
        let shown = NetworkService {
            vip: vip.map(ToString::to_string).unwrap_or_default(),
            ports: ports.collect(),
            local_lb_index: 0,
            tasks: tasks.collect(),
        };
        (service.spec.name.clone(), shown)
    });
    shown.collect()
}

/// A network that every engine has, as the cluster shows it. Its name is its id.
pub(in crate::api) fn predefined(state: &State, name: &str) -> Option<Network> {
    let name = PREDEFINED_NETWORKS.iter().find(|known| **known == name)?;
    let driver = if *name == "none" { "null" } else { name };
    let created = state.cluster().map(|c| c.meta.created_at).unwrap_or_default();
    Some(Network {
        name: (*name).to_owned(),
        id: (*name).to_owned(),
        created: created.into(),
        scope: "swarm".to_owned(),
        driver: driver.to_owned(),
        labels: Labels::from([("com.docker.swarm.predefined".to_owned(), "true".to_owned())]),
        ..Network::default()
    })
}
