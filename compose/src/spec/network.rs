//! Networks that the services use, and how a service joins them.

use std::collections::BTreeSet;

use model::spec::{Ipam, IpamConfig, NetworkAttachmentConfig, NetworkSpec};

use super::{Source, Specs, flag, is_external, string, text_map};
use crate::yaml::{Map, Node};

/// The network of services that name none.
pub(super) const DEFAULT: &str = "default";

/// Requests for every network in use that is the stack's own.
pub(super) fn networks(source: &Source<'_>, out: &mut Specs) {
    let mut used = BTreeSet::new();
    for (_, entry) in source.section("services").into_iter().flatten() {
        used.extend(keys_of(&entry.node));
    }
    for key in used {
        let definition = source.definition("networks", key);
        let name = source.full_name("networks", key);
        if definition.is_some_and(is_external) {
            out.external.networks.push(name);
        } else {
            out.networks.push(network(source, name, definition));
        }
    }
    out.networks.sort_by(|a, b| a.name.cmp(&b.name));
    out.networks.dedup_by(|a, b| a.name == b.name);
    out.external.networks.sort();
}

/// The keys of the networks that a service joins.
fn keys_of(service: &Node) -> impl Iterator<Item = &str> {
    let joins = service.as_map().is_some() && !has_own_mode(service);
    let named = service.get("networks").and_then(Node::as_map).filter(|_| joins);
    let none_named = joins && named.is_none_or(Map::is_empty);
    let keys = named.into_iter().flat_map(|map| map.keys());
    keys.chain(none_named.then_some(DEFAULT))
}

/// True when `network_mode` takes the place of networks.
pub(super) fn has_own_mode(service: &Node) -> bool {
    matches!(service.str("network_mode"), Some("host" | "none"))
}

fn network(source: &Source<'_>, name: String, definition: Option<&Node>) -> NetworkSpec {
    let empty = Node::new(crate::yaml::Value::Map(Map::new()), crate::source::Span::default());
    let node = definition.unwrap_or(&empty);
    // A bridge would end at its node, where the services of a stack could not meet.
    let driver = match node.str("driver").unwrap_or("") {
        "" | "bridge" | "nat" => "overlay",
        other => other,
    };
    NetworkSpec {
        name,
        driver: driver.to_owned(),
        enable_ipv4: node.get("enable_ipv4").and_then(Node::as_bool),
        enable_ipv6: node.get("enable_ipv6").and_then(Node::as_bool),
        ipam: node.get("ipam").and_then(ipam),
        internal: flag(node, "internal"),
        attachable: flag(node, "attachable"),
        options: text_map(node, "driver_opts"),
        labels: source.labels(definition),
        ..NetworkSpec::default()
    }
}

fn ipam(node: &Node) -> Option<Ipam> {
    let driver = string(node, "driver");
    let config: Vec<IpamConfig> =
        node.get("config").map(|c| c.items().iter().map(pool).collect()).unwrap_or_default();
    let options = text_map(node, "options");
    (!driver.is_empty() || !config.is_empty() || !options.is_empty()).then(|| Ipam {
        driver,
        options,
        config,
        ..Ipam::default()
    })
}

fn pool(node: &Node) -> IpamConfig {
    IpamConfig {
        subnet: string(node, "subnet"),
        ip_range: string(node, "ip_range"),
        gateway: string(node, "gateway"),
        auxiliary_addresses: text_map(node, "aux_addresses"),
        ..IpamConfig::default()
    }
}

/// How the service `name` joins its networks, by name of the network.
pub(super) fn attachments(
    source: &Source<'_>,
    name: &str,
    service: &Node,
) -> Vec<NetworkAttachmentConfig> {
    let named = service.get("networks").and_then(Node::as_map);
    // Of thousands of services each byte too many counts.
    let mut out = Vec::with_capacity(named.map_or(1, |map| map.len().max(1)));
    out.extend(keys_of(service).map(|key| {
        let options = named.and_then(|map| map.get(key)).map(|e| &e.node);
        let target = source.full_name("networks", key);
        let given = options.and_then(|n| n.get("aliases")).map(Node::items).unwrap_or_default();
        let mut aliases = Vec::with_capacity(given.len() + 1);
        aliases.extend(given.iter().filter_map(Node::as_str).map(str::to_owned));
        // The engine's own networks have no aliases.
        if !matches!(target.as_str(), "host" | "none" | "bridge" | "default") {
            aliases.push(name.to_owned());
        }
        NetworkAttachmentConfig {
            target,
            aliases,
            driver_opts: options.map(|n| text_map(n, "driver_opts")).unwrap_or_default(),
            ..NetworkAttachmentConfig::default()
        }
    }));
    out.sort_by(|a, b| a.target.cmp(&b.target));
    out
}
