//! One service.

use model::spec::{
    EndpointSpec, LogDriver, PortConfig, Protocol, PublishMode, ServiceSpec, TaskSpec,
};

use super::{Source, container, network, policy, resources, string, text_map, warn};
use crate::path::KeyPath;
use crate::problem::Problem;
use crate::yaml::Node;

/// The label by which the docker CLI remembers the image as the file names it.
const IMAGE_LABEL: &str = "com.docker.stack.image";

/// The request for the service `name`.
pub(super) fn service(
    source: &Source<'_>,
    name: &str,
    node: &Node,
    path: &KeyPath<'_>,
    problems: &mut Vec<Problem>,
) -> ServiceSpec {
    let deploy = node.get("deploy");
    let mut labels = source.labels(deploy);
    labels.insert(IMAGE_LABEL.to_owned(), string(node, "image"));
    ServiceSpec {
        name: source.scoped(name),
        labels,
        task_template: TaskSpec {
            container_spec: Some(container::container(source, node, path, problems)),
            resources: Some(resources::resources(node)),
            restart_policy: policy::restart(node),
            placement: Some(policy::placement(node)),
            networks: network::attachments(source, name, node),
            log_driver: node
                .get("logging")
                .map(|l| LogDriver { name: string(l, "driver"), options: text_map(l, "options") }),
            ..TaskSpec::default()
        },
        mode: policy::mode(node),
        update_config: policy::update(deploy, "update_config"),
        rollback_config: policy::update(deploy, "rollback_config"),
        endpoint_spec: Some(endpoint(node, path, problems)),
        depends_on: policy::dependencies(source, node),
        ..ServiceSpec::default()
    }
}

fn endpoint(node: &Node, path: &KeyPath<'_>, problems: &mut Vec<Problem>) -> EndpointSpec {
    let items = node.get("ports").map(Node::items).unwrap_or_default();
    let path = path.key("ports");
    let mut ports: Vec<PortConfig> = items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.as_map().is_some())
        .map(|(index, item)| port(item, &path.index(index), problems))
        .collect();
    ports.sort_by_key(|p| p.published_port);
    EndpointSpec {
        mode: node.get("deploy").map(|d| string(d, "endpoint_mode")).unwrap_or_default(),
        ports,
        ..EndpointSpec::default()
    }
}

fn port(node: &Node, path: &KeyPath<'_>, problems: &mut Vec<Problem>) -> PortConfig {
    if let Some(address) = node.str("host_ip")
        && !matches!(address, "" | "0.0.0.0" | "::")
    {
        warn(
            problems,
            node,
            path,
            format!("the port is open on every address of the node, not only on {address}"),
        );
    }
    let number = |key: &str| {
        node.get(key).and_then(Node::as_int).and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
    };
    PortConfig {
        name: string(node, "name"),
        protocol: match node.str("protocol") {
            Some("tcp") => Protocol::Tcp,
            Some("udp") => Protocol::Udp,
            Some("sctp") => Protocol::Sctp,
            _ => Protocol::Unset,
        },
        target_port: number("target"),
        published_port: number("published"),
        publish_mode: match node.str("mode") {
            Some("ingress") => PublishMode::Ingress,
            Some("host") => PublishMode::Host,
            _ => PublishMode::Unset,
        },
        ..PortConfig::default()
    }
}
