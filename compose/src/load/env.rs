//! Variables and labels of services: their own, and those of files.

use crate::env_file::{self, Form};
use crate::path::KeyPath;
use crate::problem::Problem;
use crate::source::Span;
use crate::yaml::{Entry, Map, Node, Text, Value};

use super::{Loader, MOST_VARIABLE_BYTES, Place, empty_map, warning};

/// Gives the variables without a value the one of the caller's environment. As the docker CLI
/// does, an empty value counts as none here.
pub(super) fn fill_in(tree: &mut Node, lookup: &dyn Fn(&str) -> Option<String>) {
    for service in services(tree) {
        let Some(map) = service.as_map_mut() else { continue };
        let Some(variables) = map.get_mut("environment").and_then(|e| e.node.as_map_mut()) else {
            continue;
        };
        for (name, entry) in variables.iter_mut() {
            if entry.node.is_empty()
                && let Some(value) = lookup(name)
            {
                entry.node.value = Value::Str(value.into());
            }
        }
    }
}

pub(super) fn services(tree: &mut Node) -> impl Iterator<Item = &mut Node> {
    tree.as_map_mut()
        .and_then(|m| m.get_mut("services"))
        .and_then(|e| e.node.as_map_mut())
        .into_iter()
        .flat_map(|map| map.values_mut().map(|e| &mut e.node))
}

impl Loader<'_> {
    /// Reads every `env_file`; what `environment` says itself wins.
    pub(super) fn read_env_files(&mut self, tree: &mut Node, place: &Place) {
        self.read_into(tree, "env_file", "environment", place);
    }

    /// Reads every `label_file`; what `labels` says itself wins.
    pub(super) fn read_label_files(&mut self, tree: &mut Node) {
        let nowhere = Place { dir: "/".to_owned(), variables: std::collections::BTreeMap::new() };
        self.read_into(tree, "label_file", "labels", &nowhere);
    }

    fn read_into(&mut self, tree: &mut Node, from: &str, into: &str, place: &Place) {
        let services = tree.as_map_mut().and_then(|m| m.get_mut("services"));
        let Some(services) = services.and_then(|e| e.node.as_map_mut()) else { return };
        for (service_name, entry) in services.iter_mut() {
            let path = KeyPath::ROOT;
            let path = path.key("services");
            let path = path.key(service_name);
            let Some(service) = entry.node.as_map_mut() else { continue };
            let Some(files) = service.shift_remove(from) else { continue };
            let mut all = Map::new();
            for (index, file) in files.node.items().iter().enumerate() {
                let path = path.key(from);
                let path = path.index(index);
                for (name, value, span) in self.variables_of(file, &path, place) {
                    let value = value.or_else(|| place.lookup(&name)).map_or(
                        if into == "labels" { Some(Value::Str(Text::default())) } else { None },
                        |v| Some(Value::Str(v.into())),
                    );
                    if let Some(value) = value {
                        all.insert(name, Entry { key: span, node: Node::new(value, span) });
                    }
                }
            }
            let own = service.get_or_insert_with(into, || Entry {
                key: files.key,
                node: empty_map(files.node.span),
            });
            if let Some(own) = own.node.as_map_mut() {
                for (name, entry) in std::mem::take(own) {
                    all.insert(name, entry);
                }
                *own = all;
            }
        }
    }

    /// The variables of one file, each with the place that named the file.
    fn variables_of(
        &mut self,
        file: &Node,
        path: &KeyPath<'_>,
        place: &Place,
    ) -> Vec<(String, Option<String>, Span)> {
        let long = file.as_map().is_some();
        let named = if long { file.get("path") } else { Some(file) };
        let Some(name) = named.and_then(Node::as_str) else { return Vec::new() };
        let span = named.map_or(file.span, |n| n.span);
        let required = file.get("required").and_then(Node::as_bool) != Some(false);
        let bytes = match self.reader.read(name) {
            Err(_) if !required => return Vec::new(),
            _ => match self.named_file(name, span, path) {
                Some(bytes) => bytes,
                None => return Vec::new(),
            },
        };
        self.variable_bytes = self.variable_bytes.saturating_add(bytes.len());
        if self.variable_bytes > MOST_VARIABLE_BYTES {
            let message = format!("more than {MOST_VARIABLE_BYTES} bytes of variables");
            self.problems.push(Problem::error(span, path.to_string(), message));
            return Vec::new();
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{FEFF}').to_owned(),
            Err(_) => {
                let message = format!("`{name}` is not UTF-8");
                self.problems.push(Problem::error(span, path.to_string(), message));
                return Vec::new();
            }
        };
        let id = self.sources.add(name, text.as_str());
        // The short form is the docker CLI's, the long one Compose's.
        let short = !long || file.get("required").is_none() && file.get("format").is_none();
        let form =
            if short || file.str("format") == Some("raw") { Form::Raw } else { Form::Dotenv };
        let lookup = |name: &str| place.lookup(name);
        let read = env_file::parse(&text, id, form, &lookup, &mut self.problems);
        read.into_iter()
            .map(|(name, value)| {
                let value = value.map(|v| match unquoted(&v).filter(|_| short) {
                    Some(bare) => {
                        let message =
                            format!("the quotes around the value of `{name}` are dropped");
                        self.problems.push(warning(span, path, message));
                        bare.to_owned()
                    }
                    None => v,
                });
                (name, value, span)
            })
            .collect()
    }
}

/// What stands between quotes that enclose the whole value.
fn unquoted(value: &str) -> Option<&str> {
    let value = value.trim_end();
    ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    })
}
