//! From a checked document to the requests that make it run: Docker's specs, names scoped to the
//! stack, as `docker stack deploy` sends them.
//!
//! Input: the merged document in its one form. What the docker CLI ignores and the engine can do
//! goes into the fields that are ours (`ContainerSpec.Engine`, `DependsOn`).

mod container;
mod engine;
mod files;
mod mounts;
mod network;
mod policy;
mod resources;
mod service;

use std::cell::Cell;

use model::spec::{ConfigSpec, Labels, NetworkSpec, STACK_LABEL, SecretSpec, ServiceSpec};

use crate::input::Reader;
use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::yaml::{Map, Node, Text};

/// The requests of a stack, and the things that must exist before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Specs {
    pub networks: Vec<NetworkSpec>,
    pub secrets: Vec<SecretSpec>,
    pub configs: Vec<ConfigSpec>,
    pub services: Vec<ServiceSpec>,
    pub external: External,
}

/// Names of what the stack uses and does not make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    pub networks: Vec<String>,
    pub volumes: Vec<String>,
    pub secrets: Vec<String>,
    pub configs: Vec<String>,
}

/// What the makers of specs look at.
pub struct Source<'a> {
    pub stack: &'a str,
    /// The document.
    pub file: &'a Node,
    pub reader: &'a dyn Reader,
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Bytes of content that secrets, configs and profiles may still have.
    pub room: Cell<usize>,
}

/// Bytes of content of all secrets, configs and profiles of one stack.
pub const MOST_CONTENT: usize = 64 * 1024 * 1024;

impl Source<'_> {
    /// A section such as `networks`; nothing when the file has none.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Map> {
        self.file.get(name)?.as_map()
    }

    /// The definition of `key` in a section.
    #[must_use]
    pub fn definition(&self, section: &str, key: &str) -> Option<&Node> {
        self.section(section)?.get(key).map(|e| &e.node)
    }

    /// The full name of `key`: its `name`, else the key scoped to the stack.
    #[must_use]
    pub fn full_name(&self, section: &str, key: &str) -> String {
        let own = self.definition(section, key);
        match own.and_then(|d| d.str("name")).filter(|n| !n.is_empty()) {
            Some(name) => name.to_owned(),
            None if own.is_some_and(is_external) => key.to_owned(),
            None => self.scoped(key),
        }
    }

    /// A name that no other stack has.
    fn scoped(&self, key: &str) -> String {
        [self.stack, "_", key].concat()
    }

    fn labels(&self, node: Option<&Node>) -> Labels {
        let mut labels = node.map(|n| text_map(n, "labels")).unwrap_or_default();
        labels.insert(STACK_LABEL.to_owned(), self.stack.to_owned());
        labels
    }
}

/// Makes all requests. Problems are those that only show here: files that cannot be read.
pub fn specs(source: &Source<'_>, problems: &mut Vec<Problem>) -> Specs {
    let mut out = Specs::default();
    network::networks(source, &mut out);
    files::secrets(source, &mut out, problems);
    files::configs(source, &mut out, problems);
    if let Some(services) = source.section("services") {
        let path = KeyPath::ROOT;
        let path = path.key("services");
        let mut sorted: Vec<(&Text, &Node)> = services.iter().map(|(k, e)| (k, &e.node)).collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        out.services.reserve(sorted.len());
        for (name, node) in sorted {
            if node.as_map().is_some() {
                let spec = service::service(source, name, node, &path.key(name), problems);
                out.services.push(spec);
            }
        }
    }
    out.external.volumes = mounts::external(source);
    out
}

pub(crate) use engine::{is_anothers, seccomp_file};

/// The requests whose content comes of files: only to see whether these can be read.
pub(crate) fn files_only(source: &Source<'_>, problems: &mut Vec<Problem>) -> Specs {
    let mut out = Specs::default();
    files::secrets(source, &mut out, problems);
    files::configs(source, &mut out, problems);
    out
}

/// True when a network, volume, secret or config is not the stack's own.
#[must_use]
pub fn is_external(node: &Node) -> bool {
    node.get("external").and_then(Node::as_bool) == Some(true)
}

/// The mapping of texts under `key`.
fn text_map(node: &Node, key: &str) -> Labels {
    let Some(map) = node.get(key).and_then(Node::as_map) else { return Labels::new() };
    let mut out = Labels::new();
    for (key, entry) in map {
        out.insert(key.to_string(), entry.node.scalar_text().unwrap_or_default());
    }
    out
}

/// The text under `key`, empty when there is none.
fn string(node: &Node, key: &str) -> String {
    node.str(key).unwrap_or("").to_owned()
}

fn flag(node: &Node, key: &str) -> bool {
    node.get(key).and_then(Node::as_bool) == Some(true)
}

fn int(node: &Node, key: &str) -> Option<i64> {
    node.get(key)?.as_int()
}

fn count(node: &Node, key: &str) -> Option<u64> {
    int(node, key).and_then(|n| u64::try_from(n).ok())
}

/// Nanoseconds under `key`.
fn nanos(node: &Node, key: &str) -> Option<i64> {
    crate::quantity::duration::parse(node.str(key)?).ok()
}

/// Bytes under `key`.
fn bytes(node: &Node, key: &str) -> Option<i64> {
    let node = node.get(key)?;
    match node.as_str() {
        Some("-1") => Some(-1),
        Some(text) => crate::quantity::size::parse(text).ok(),
        None => node.as_int(),
    }
}

fn warn(problems: &mut Vec<Problem>, node: &Node, path: &KeyPath<'_>, message: String) {
    problems.push(Problem::new(Severity::Warning, node.span, path.to_string(), message));
}
