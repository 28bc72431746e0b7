//! Networks, volumes, secrets, configs and services that a service names.

use std::collections::BTreeSet;

use super::{Check, entries, items};
use crate::nearest::did_you_mean;
use crate::path::KeyPath;
use crate::source::Span;
use crate::yaml::{Map, Node};

impl Check<'_> {
    pub(super) fn references(&mut self, name: &str, service: &Node, path: &KeyPath<'_>) {
        let key = path.key("networks");
        for (network, entry) in entries(service, "networks") {
            if network != "default" {
                self.defined("networks", network, entry.key, &key.key(network));
            }
        }
        let key = path.key("volumes");
        for (index, mount) in items(service, "volumes") {
            let named = matches!(mount.str("type"), Some("volume" | "cluster"));
            let source = mount.str("source").unwrap_or("");
            if named && !source.is_empty() && !source.starts_with("group:") {
                self.defined("volumes", source, mount.span, &key.index(index));
            }
        }
        for section in ["secrets", "configs"] {
            let key = path.key(section);
            for (index, usage) in items(service, section) {
                if usage.as_map().is_some() {
                    let source = usage.str("source").unwrap_or("");
                    self.defined(section, source, usage.span, &key.index(index));
                }
            }
        }
        if let Some(config) = service.get("credential_spec").and_then(|c| c.get("config")) {
            let path = path.key("credential_spec");
            self.defined("configs", config.as_str().unwrap_or(""), config.span, &path);
        }
        let key = path.key("depends_on");
        for (other, entry) in entries(service, "depends_on") {
            let required = entry.node.get("required").and_then(Node::as_bool) != Some(false);
            if other == name {
                self.error(entry.key, &key, "the service depends on itself".to_owned());
            } else if required {
                self.defined("services", other, entry.key, &key);
            }
        }
        let key = path.key("volumes_from");
        for (index, from) in items(service, "volumes_from") {
            let other = from.as_str().unwrap_or("").split(':').next().unwrap_or("");
            if other == "container" {
                let message = "containers outside the stack are on one node only".to_owned();
                self.error(from.span, &key.index(index), message).help =
                    Some("use a named volume".to_owned());
            } else {
                self.defined("services", other, from.span, &key.index(index));
            }
        }
        let key = path.key("links");
        for (index, link) in items(service, "links") {
            let other = link.as_str().unwrap_or("").split(':').next().unwrap_or("").to_owned();
            let known = self.section("services").is_some_and(|m| m.contains_key(&other));
            if !known {
                let help = self.near("services", &other);
                self.warn(link.span, &key.index(index), format!("there is no service `{other}`"))
                    .help = help;
            }
        }
    }

    fn defined(&mut self, section: &str, name: &str, span: Span, path: &KeyPath<'_>) {
        if self.section(section).is_some_and(|map| map.contains_key(name)) {
            return;
        }
        let singular = section.trim_end_matches('s');
        let near = self.near(section, name);
        let few = self.section(section).filter(|map| !map.is_empty() && map.len() <= 30);
        let allowed = few.map(|map| map.keys().collect::<Vec<_>>().join(", "));
        let problem = self.error(span, path, format!("there is no {singular} `{name}`"));
        problem.allowed = allowed;
        problem.help = near.or_else(|| {
            (section != "services").then(|| format!("define it in the section `{section}`"))
        });
    }

    fn near(&self, section: &str, name: &str) -> Option<String> {
        // In a sea of problems a suggestion costs more than it helps.
        if self.problems.len() > 200 {
            return None;
        }
        did_you_mean(name, self.section(section)?.keys())
    }

    /// Services that wait for each other in a circle.
    pub(super) fn circles(&mut self, all: &Map, services: &KeyPath<'_>) {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for (name, entry) in all {
            if entry.node.get("depends_on").is_none() {
                continue;
            }
            let mut trail: Vec<&str> = Vec::new();
            let mut on_trail: BTreeSet<&str> = BTreeSet::new();
            let mut steps: Vec<Vec<&str>> = vec![vec![name.as_str()]];
            // Depth first, without recursion: a file may chain thousands of services.
            while let Some(next) = steps.last_mut() {
                let Some(current) = next.pop() else {
                    steps.pop();
                    if let Some(left) = trail.pop() {
                        on_trail.remove(left);
                        done.insert(left);
                    }
                    continue;
                };
                if on_trail.contains(current) {
                    let at = trail.iter().position(|t| *t == current).unwrap_or(0);
                    if at + 1 < trail.len() && self.problems.len() < 200 {
                        self.circle(all, &trail[at..], services);
                    }
                    continue;
                }
                if done.contains(current) {
                    continue;
                }
                let Some(entry) = all.get(current) else { continue };
                trail.push(current);
                on_trail.insert(current);
                steps.push(
                    entries(&entry.node, "depends_on").map(|(other, _)| other.as_str()).collect(),
                );
            }
        }
    }

    fn circle(&mut self, all: &Map, circle: &[&str], services: &KeyPath<'_>) {
        let Some(first) = circle.iter().min().copied() else { return };
        let span = all
            .get(first)
            .and_then(|e| e.node.as_map()?.get("depends_on").map(|d| d.key))
            .unwrap_or(self.file.span);
        let path = services.key(first);
        // The one that leads back to it.
        let at = circle.iter().position(|name| *name == first).unwrap_or(0);
        let last = circle[(at + circle.len() - 1) % circle.len()];
        let back = all
            .get(last)
            .and_then(|e| e.node.get("depends_on")?.as_map()?.get(first).map(|d| d.key));
        let problem = self.error(
            span,
            &path.key("depends_on"),
            format!("services wait for each other: {} -> {}", circle.join(" -> "), circle[0]),
        );
        problem.help = Some("take one of these dependencies out".to_owned());
        problem.related = back.map(|span| (span, "and back".to_owned()));
    }
}
