//! Networks: addresses that are none, that overlap, or that belong to somebody else.

use ipnet::IpNet;
use std::net::IpAddr;

use super::{Check, items};
use crate::path::KeyPath;
use crate::source::Span;
use crate::spec::is_external;
use crate::yaml::Node;

impl Check<'_> {
    pub(super) fn networks(&mut self, path: &KeyPath<'_>) {
        let mut subnets: Vec<(IpNet, Span)> = Vec::new();
        let file = self.file;
        for (name, entry) in file.get("networks").and_then(Node::as_map).into_iter().flatten() {
            let path = path.key(name);
            let network = &entry.node;
            if is_external(network) {
                let others = ["driver", "driver_opts", "ipam", "internal", "attachable", "labels"];
                self.useless(network, &others, &path);
                continue;
            }
            if matches!(network.str("driver"), Some("bridge" | "nat"))
                && let Some(driver) = network.get("driver")
            {
                self.warn(
                    driver.span,
                    &path.key("driver"),
                    "a network of this driver ends at one node; an overlay is made instead"
                        .to_owned(),
                );
            }
            let Some(ipam) = network.get("ipam") else { continue };
            let key = path.key("ipam");
            let key = key.key("config");
            for (index, pool) in items(ipam, "config") {
                self.pool(pool, &key.index(index), &mut subnets);
            }
        }
    }

    fn pool(&mut self, pool: &Node, path: &KeyPath<'_>, subnets: &mut Vec<(IpNet, Span)>) {
        let Some(node) = pool.get("subnet").filter(|n| !n.is_empty()) else { return };
        let text = node.as_str().unwrap_or("");
        let path_of_subnet = path.key("subnet");
        let Ok(subnet) = text.parse::<IpNet>() else {
            self.refusal(node.span, &path_of_subnet, format!("`{text}` is not a subnet")).allowed =
                Some("an address and a prefix length, such as 10.1.0.0/16".to_owned());
            return;
        };
        if subnet.trunc() != subnet {
            self.warn(node.span, &path_of_subnet, format!("`{text}` has bits behind its prefix"))
                .help = Some(format!("write `{}`", subnet.trunc()));
        }
        let overlapping = subnets
            .iter()
            .find(|(other, _)| other.contains(&subnet.trunc()) || subnet.contains(&other.trunc()));
        if let Some(&(other, span)) = overlapping {
            let message = format!("`{text}` overlaps {other}");
            self.refusal(node.span, &path_of_subnet, message).related =
                Some((span, "of this network".to_owned()));
        }
        subnets.push((subnet, node.span));
        if let Some(gateway) = pool.get("gateway").filter(|n| !n.is_empty()) {
            let text = gateway.as_str().unwrap_or("");
            let inside = text.parse::<IpAddr>().is_ok_and(|a| subnet.contains(&a));
            if !inside {
                let message = format!("`{text}` is not an address of {subnet}");
                self.refusal(gateway.span, &path.key("gateway"), message);
            }
        }
        if let Some(range) = pool.get("ip_range").filter(|n| !n.is_empty()) {
            let text = range.as_str().unwrap_or("");
            let inside = text.parse::<IpNet>().is_ok_and(|r| subnet.contains(&r));
            if !inside {
                let message = format!("`{text}` is not a part of {subnet}");
                self.refusal(range.span, &path.key("ip_range"), message);
            }
        }
    }

    /// Definitions of things that exist elsewhere say nothing but their name.
    pub(super) fn external(&mut self, thing: &Node, others: &[&str], path: &KeyPath<'_>) {
        for key in others {
            if let Some(entry) = thing.as_map().and_then(|m| m.get(key))
                && !entry.node.is_empty()
            {
                self.error(
                    entry.key,
                    &path.key(key),
                    format!("`{key}` does not go with `external: true`"),
                )
                .help = Some(format!("take out `{key}`, or `external`"));
            }
        }
    }

    /// Many real files say how an external network was made; it does no harm.
    fn useless(&mut self, network: &Node, others: &[&str], path: &KeyPath<'_>) {
        for key in others {
            if let Some(entry) = network.as_map().and_then(|m| m.get(key))
                && !entry.node.is_empty()
            {
                self.warn(
                    entry.key,
                    &path.key(key),
                    format!("`{key}` means nothing beside `external: true`"),
                )
                .help = Some(format!("the network exists already: take out `{key}`"));
            }
        }
    }

    pub(super) fn volumes(&mut self, path: &KeyPath<'_>) {
        let file = self.file;
        for (name, entry) in file.get("volumes").and_then(Node::as_map).into_iter().flatten() {
            if is_external(&entry.node) {
                self.external(&entry.node, &["driver", "driver_opts", "labels"], &path.key(name));
            }
        }
    }

    pub(super) fn service_networks(&mut self, service: &Node, path: &KeyPath<'_>) {
        let Some(mode) = service.get("network_mode") else { return };
        let text = mode.as_str().unwrap_or("");
        let path = path.key("network_mode");
        match text {
            "host" | "none" => {
                if service.get("networks").is_some_and(|n| !n.is_empty()) {
                    let message = format!("`network_mode: {text}` does not go with `networks`");
                    self.error(mode.span, &path, message);
                }
            }
            "" => {}
            "bridge" | "default" => {
                self.note(
                    mode.span,
                    &path,
                    "the service joins an overlay network instead, to be reached on every node"
                        .to_owned(),
                );
            }
            _ if text.starts_with("service:") || text.starts_with("container:") => {
                self.warn(
                    mode.span,
                    &path,
                    "tasks cannot share the network of another container: they may be on \
                     different nodes; the service joins its own networks"
                        .to_owned(),
                );
            }
            _ => {
                self.warn(mode.span, &path, format!("`{text}` is not known and left out"))
                    .allowed = Some("host, none".to_owned());
            }
        }
    }
}
