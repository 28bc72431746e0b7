//! Mappings that may be written as lists: labels, variables, hosts.

use super::Canon;
use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::schema::Bare;
use crate::yaml::{Entry, Map, Mark, Node, Text, Value};

impl Canon<'_> {
    pub(super) fn pairs(&mut self, node: &mut Node, bare: Bare, path: &KeyPath<'_>) {
        match &mut node.value {
            Value::Map(map) => {
                for (key, entry) in map.iter_mut() {
                    if key.is_empty() {
                        let path = path.to_string();
                        self.problems.push(Problem::error(entry.key, path, "a key is empty"));
                    }
                    self.pair_value(&mut entry.node, bare, &path.key(key));
                }
            }
            Value::List(items) => {
                let mut map = Map::with_capacity(items.len());
                for (index, item) in std::mem::take(items).into_iter().enumerate() {
                    self.pair_item(item, bare, &mut map, &path.index(index));
                }
                node.value = Value::Map(map);
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {
                self.wrong_type(node, "a mapping (`key: value`) or a list of `key=value`", path);
            }
        }
    }

    fn pair_value(&mut self, node: &mut Node, bare: Bare, path: &KeyPath<'_>) {
        if node.mark == Mark::Reset {
            return;
        }
        match &node.value {
            Value::Str(_) => {}
            Value::Null if bare == Bare::Null => {}
            Value::Float(number) if !number.is_finite() => {
                let written = self.sources.text(node.span);
                node.value = Value::Str(written.into());
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                if let Some(text) = node.scalar_text() {
                    node.value = Value::Str(text.into());
                }
            }
            Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, "a text, number, boolean or nothing", path);
            }
        }
    }

    fn pair_item(&mut self, mut item: Node, bare: Bare, map: &mut Map, path: &KeyPath<'_>) {
        if item.mark == Mark::Reset {
            return;
        }
        if let Value::Map(one) = &item.value {
            let help = one.first().map(|(key, entry)| {
                let value = entry.node.scalar_text().unwrap_or_default();
                format!("write `- {key}={value}`, or leave out the `-` of every entry")
            });
            self.bad(&mut item, "this is a mapping in a list".into(), "`key=value`", help, path);
            return;
        }
        let (span, mark) = (item.span, item.mark);
        if !matches!(item.value, Value::Str(_)) {
            self.wrong_type(&mut item, "a text `key=value`", path);
            return;
        }
        let Value::Str(text) = item.value else { return };
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Value::Str(value.into())),
            None if bare == Bare::Null => (text.as_str(), Value::Null),
            None => (text.as_str(), Value::Str(Text::default())),
        };
        if key.is_empty() {
            // What is left of `- ${LABEL}` when the variable is empty.
            let message = format!("`{text}` has no name and is left out");
            self.problems.push(
                Problem::new(Severity::Warning, span, path.to_string(), message)
                    .allowed("`key=value`"),
            );
            return;
        };
        let node = Node { value, span, mark };
        if let Some(earlier) = map.get(key).map(|e| e.key) {
            self.problems.push(
                Problem::new(
                    Severity::Warning,
                    span,
                    path.to_string(),
                    format!("`{key}` is given twice; this one counts"),
                )
                .related(earlier, "first here"),
            );
        }
        map.insert(key, Entry { key: span, node });
    }

    pub(super) fn hosts(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        const ALLOWED: &str = "a mapping `name: address` or a list of `name:address`";
        let mut hosts = Vec::new();
        match &mut node.value {
            Value::Map(map) => {
                for (name, entry) in map.iter_mut() {
                    let path = path.key(name);
                    match &mut entry.node.value {
                        Value::Null => {}
                        Value::List(addresses) => {
                            for (index, address) in addresses.iter_mut().enumerate() {
                                self.text(address, &path.index(index));
                                hosts.extend(host(name, address));
                            }
                        }
                        _ => {
                            self.word(&mut entry.node, &path);
                            hosts.extend(host(name, &entry.node));
                        }
                    }
                }
                hosts.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let path = path.index(index);
                    self.text(item, &path);
                    let Value::Str(text) = &item.value else { continue };
                    match text.split_once(['=', ':']) {
                        Some((name, address)) => {
                            let address = Node::text(address, item.span);
                            hosts.extend(host(name, &address));
                        }
                        None => {
                            let message = format!("`{text}` has no address");
                            self.bad(
                                item,
                                message,
                                "`name:address` or `name=address`",
                                None,
                                &path,
                            );
                        }
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {
                self.wrong_type(node, ALLOWED, path);
                return;
            }
        }
        node.value = Value::List(hosts);
    }
}

/// `name:address`, IPv6 addresses without brackets.
fn host(name: &str, address: &Node) -> Option<Node> {
    let text = address.as_str()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    Some(Node::text(format!("{name}:{bare}"), address.span))
}
