//! Published ports: what collides, what cannot be.

use std::collections::BTreeMap;

use super::{Check, items};
use crate::path::KeyPath;
use crate::source::Span;
use crate::yaml::{Map, Node};

/// A published port of the stack: number and protocol.
type Port = (i64, String);

impl Check<'_> {
    pub(super) fn ports(&mut self, all: &Map, services: &KeyPath<'_>) {
        let mut ingress: BTreeMap<Port, (String, Span)> = BTreeMap::new();
        let mut host: BTreeMap<Port, (String, Span)> = BTreeMap::new();
        for (name, entry) in all {
            let service_path = services.key(name);
            let path = service_path.key("ports");
            let dnsrr =
                entry.node.get("deploy").and_then(|d| d.str("endpoint_mode")) == Some("dnsrr");
            for (index, port) in items(&entry.node, "ports") {
                if port.as_map().is_none() {
                    continue;
                }
                let path = path.index(index);
                if let Some(target) = port.get("target").filter(|t| t.as_int() == Some(0)) {
                    let message = "0 is out of range: a container listens on no such port";
                    self.error(target.span, &path.key("target"), message.to_owned()).allowed =
                        Some("a port from 1 to 65535".to_owned());
                }
                let on_host = port.str("mode") == Some("host");
                if dnsrr && !on_host {
                    let place = entry.node.get("deploy").and_then(|d| d.get("endpoint_mode"));
                    let message = "a port in ingress mode needs the endpoint mode vip, not dnsrr";
                    let problem = self.error(port.span, &path, message.to_owned());
                    problem.help =
                        Some("use `mode: host`, or leave `endpoint_mode` out".to_owned());
                    problem.related = place.map(|p| (p.span, "the endpoint mode".to_owned()));
                }
                let Some(key) = key_of(port) else { continue };
                let taken = match (ingress.get(&key), host.get(&key)) {
                    (Some(other), _) => Some(other.clone()),
                    (None, Some(other)) if !on_host || &other.0 == name => Some(other.clone()),
                    (None, _) => None,
                };
                match taken {
                    Some((other, span)) => {
                        let who = if &other == name {
                            "this service already".to_owned()
                        } else {
                            format!("the service `{other}`")
                        };
                        let message = format!("{who} publishes port {}/{}", key.0, key.1);
                        let problem = self.error(port.span, &path, message);
                        problem.related = Some((span, "first here".to_owned()));
                    }
                    None => {
                        let map = if on_host { &mut host } else { &mut ingress };
                        map.insert(key, (name.to_string(), port.span));
                    }
                }
            }
        }
    }
}

fn key_of(port: &Node) -> Option<Port> {
    let published = match port.get("published") {
        Some(node) => node.as_int().or_else(|| node.as_str()?.parse().ok())?,
        None => return None,
    };
    let protocol = port.str("protocol").filter(|p| !p.is_empty()).unwrap_or("tcp");
    (published != 0).then(|| (published, protocol.to_owned()))
}
