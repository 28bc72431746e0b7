//! What several keys mean together: things that are named and not there, things that collide,
//! values that an engine would refuse later.
//!
//! Input: the merged document in its one form. Output: problems. Nothing is changed.

mod constraint;
mod deploy;
mod files;
mod mounts;
mod network;
mod notes;
mod ports;
mod references;
mod service;

use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::source::{Sources, Span};
use crate::spec::Specs;
use crate::yaml::{Map, Node, Text};

/// What the checks look at and where they tell.
struct Check<'a> {
    file: &'a Node,
    sources: &'a Sources,
    problems: &'a mut Vec<Problem>,
}

/// Judges the merged document.
pub fn check(file: &Node, sources: &Sources, problems: &mut Vec<Problem>) {
    let mut check = Check { file, sources, problems };
    let root = KeyPath::ROOT;
    let services = root.key("services");
    let empty = Map::new();
    let all = file.get("services").and_then(Node::as_map).unwrap_or(&empty);
    // Where it is not a mapping that has been said.
    let told = check.problems.iter().any(|p| p.path == "services");
    if all.is_empty() && !told {
        check.warn(file.span, &services, "the stack has no service".to_owned());
    }
    for (name, entry) in all {
        if entry.node.as_map().is_none() {
            continue;
        }
        let path = services.key(name);
        check.name(name, entry.key, &path);
        check.service(&entry.node, &path);
        check.deploy(&entry.node, &path);
        check.mounts(&entry.node, &path);
        check.references(name, &entry.node, &path);
        check.service_networks(&entry.node, &path);
        check.notes(&entry.node, &path);
    }
    check.circles(all, &services);
    check.ports(all, &services);
    check.networks(&root.key("networks"));
    check.files("secrets", &root.key("secrets"));
    check.files("configs", &root.key("configs"));
    check.volumes(&root.key("volumes"));
    check.version();
}

/// Judges what was made of it: names in full.
pub fn check_specs(specs: &Specs, file: &Node, problems: &mut Vec<Problem>) {
    for service in &specs.services {
        let key = service.name.split_once('_').map_or("", |(_, key)| key);
        // A key that is too long by itself has been told of.
        if service.name.len() > LONGEST_LABEL && key.len() <= LONGEST_LABEL {
            let entry = file.get("services").and_then(|s| s.as_map()?.get(key));
            let span = entry.map_or(file.span, |e| e.key);
            problems.push(
                Problem::error(
                    span,
                    "services",
                    format!("`{}` has {} characters", service.name, service.name.len()),
                )
                .allowed(format!("{LONGEST_LABEL}: the name of stack and service is a DNS label")),
            );
        }
    }
}

/// The longest label of a DNS name, in bytes (RFC 1035).
const LONGEST_LABEL: usize = 63;

impl Check<'_> {
    fn error(&mut self, span: Span, path: &KeyPath<'_>, message: String) -> &mut Problem {
        self.problems.push(Problem::error(span, path.to_string(), message));
        self.last()
    }

    /// What only an engine would refuse. Where the value comes of a variable it is a warning: the
    /// variable may have a better value elsewhere, and the cluster judges again.
    fn refusal(&mut self, span: Span, path: &KeyPath<'_>, message: String) -> &mut Problem {
        if self.sources.text(span).contains('$') {
            self.warn(span, path, message)
        } else {
            self.error(span, path, message)
        }
    }

    fn warn(&mut self, span: Span, path: &KeyPath<'_>, message: String) -> &mut Problem {
        self.problems.push(Problem::new(Severity::Warning, span, path.to_string(), message));
        self.last()
    }

    fn note(&mut self, span: Span, path: &KeyPath<'_>, message: String) -> &mut Problem {
        self.problems.push(Problem::new(Severity::Note, span, path.to_string(), message));
        self.last()
    }

    fn last(&mut self) -> &mut Problem {
        self.problems.last_mut().expect("one was just put in")
    }

    /// The entries of a section.
    fn section(&self, name: &str) -> Option<&Map> {
        self.file.get(name)?.as_map()
    }

    fn name(&mut self, name: &str, span: Span, path: &KeyPath<'_>) {
        if name.len() > LONGEST_LABEL {
            self.error(span, path, format!("the name has {} characters", name.len())).allowed =
                Some(format!("{LONGEST_LABEL}: it is a label of DNS names"));
        }
    }
}

/// Entries of a list under `key`, with their places in it.
fn items<'n>(node: &'n Node, key: &str) -> impl Iterator<Item = (usize, &'n Node)> {
    node.get(key).map(Node::items).unwrap_or_default().iter().enumerate()
}

/// Entries of a mapping under `key`.
fn entries<'n>(
    node: &'n Node,
    key: &str,
) -> impl Iterator<Item = (&'n Text, &'n crate::yaml::Entry)> {
    node.get(key).and_then(Node::as_map).into_iter().flatten()
}

#[cfg(test)]
mod tests;
