//! The normalised document: everything in its one form, nothing that says nothing.

use std::sync::OnceLock;

use crate::schema::{Kind, Shape, top};
use crate::yaml::emit::emit;
use crate::yaml::{Entry, Node, Value, map_of};

/// A Compose file that says what the stack is; reads back to the same stack.
///
/// It is brought into its form when somebody first looks: most who load a stack only send it.
#[derive(Clone, Debug)]
pub struct Document {
    merged: Node,
    name: String,
    root: OnceLock<Node>,
}

impl PartialEq for Document {
    fn eq(&self, other: &Document) -> bool {
        self.root() == other.root()
    }
}

impl Document {
    /// As YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        emit(self.root())
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.root().to_json()
    }

    /// The tree.
    #[must_use]
    pub fn root(&self) -> &Node {
        self.root.get_or_init(|| normal(self.merged.clone(), &self.name))
    }
}

/// The document of a merged tree.
pub(crate) fn document(merged: Node, name: &str) -> Document {
    Document { merged, name: name.to_owned(), root: OnceLock::new() }
}

/// The same for one that will be looked at in any case: it is brought into its form at once, without a
/// copy.
pub(crate) fn shown(merged: Node, name: &str) -> Document {
    let root = normal(merged, name);
    let merged = Node::new(Value::Null, root.span);
    Document { merged, name: name.to_owned(), root: OnceLock::from(root) }
}

/// Cleans the merged tree of a stack: sorted keys, `$` doubled, empty values left out.
fn normal(mut file: Node, name: &str) -> Node {
    for section in ["networks", "volumes", "secrets", "configs"] {
        name_external(&mut file, section);
    }
    tidy(&mut file, &top::FILE);
    if let Some(map) = file.as_map_mut() {
        map.sort_keys();
        let span = map.first().map(|(_, e)| e.key).unwrap_or_default();
        if map.contains_key("name") {
            let node = Node::text(name, span);
            map.insert("name".to_owned(), Entry { key: span, node });
        }
    }
    file
}

/// Networks and volumes defined by nothing are `{}`; external things are called what they are.
fn name_external(file: &mut Node, section: &str) {
    let section = file.as_map_mut().and_then(|m| m.get_mut(section));
    let Some(map) = section.and_then(|e| e.node.as_map_mut()) else { return };
    for (key, entry) in map.iter_mut() {
        let span = entry.key;
        if entry.node.value == Value::Null {
            entry.node.value = map_of(Vec::<(String, Value)>::new(), span);
        }
        let external = crate::spec::is_external(&entry.node);
        if let Some(thing) = entry.node.as_map_mut()
            && external
        {
            let name = Entry { key: span, node: Node::text(key.clone(), span) };
            let own = thing.get_or_insert_with("name", || name.clone());
            if own.node.is_empty() {
                *own = name;
            }
        }
    }
}

fn tidy(node: &mut Node, kind: &'static Kind) {
    match kind {
        Kind::Object(shape) => object(node, shape),
        Kind::Nullable(inner) | Kind::Short { long: inner, .. } => tidy(node, inner),
        Kind::List(item) | Kind::Set(item) | Kind::OneOrMore(item) => {
            if let Value::List(items) = &mut node.value {
                items.iter_mut().for_each(|n| tidy(n, item));
            } else {
                escape(node);
            }
        }
        Kind::Map(item) | Kind::Named(item) => {
            if let Value::Map(map) = &mut node.value {
                map.values_mut().for_each(|e| tidy(&mut e.node, item));
                map.sort_keys();
            } else {
                escape(node);
            }
        }
        Kind::Pairs(_) => {
            escape(node);
            if let Value::Map(map) = &mut node.value {
                map.sort_keys();
            }
        }
        _ => escape(node),
    }
}

fn object(node: &mut Node, shape: &'static Shape) {
    let Value::Map(map) = &mut node.value else {
        escape(node);
        return;
    };
    if let Some(entry) = map.get_mut("depends_on") {
        // Before it is sorted: the order is the user's.
        shorten(&mut entry.node);
    }
    for (key, entry) in map.iter_mut() {
        match shape.field(key) {
            Some(field) => tidy(&mut entry.node, field.kind),
            None => escape(&mut entry.node),
        }
    }
    map.retain(|key, entry| {
        let needed = shape.required.contains(&key.as_str()) && entry.node.value != Value::Null;
        needed || says_something(key, entry, shape)
    });
    map.sort_keys();
}

/// `depends_on` as the list that it was, where every condition is the usual one.
fn shorten(node: &mut Node) {
    let Some(map) = node.as_map() else { return };
    let usual = |n: &Node| {
        n.as_map().is_some_and(|m| m.len() == 1) && n.str("condition") == Some("service_started")
    };
    if map.values().all(|e| usual(&e.node)) {
        let names = map.iter().map(|(name, e)| Node::text(name.clone(), e.key)).collect();
        node.value = Value::List(names);
    }
}

fn says_something(key: &str, entry: &Entry, shape: &'static Shape) -> bool {
    let Some(field) = shape.field(key) else { return true };
    if entry.node.value == Value::Null {
        return false;
    }
    if field.keep_empty {
        return true;
    }
    let no_time = matches!(field.kind, Kind::Duration) && entry.node.as_str() == Some("0s");
    !(no_time
        || entry.node.is_empty()
        || matches!(entry.node.value, Value::Bool(false) | Value::Int(0)))
}

/// Doubles every `$`, so that reading the document fills in nothing.
pub(crate) fn escape(node: &mut Node) {
    match &mut node.value {
        Value::Str(text) if text.contains('$') => *text = text.replace('$', "$$").into(),
        Value::List(items) => items.iter_mut().for_each(escape),
        Value::Map(map) => map.values_mut().for_each(|e| escape(&mut e.node)),
        _ => {}
    }
}
