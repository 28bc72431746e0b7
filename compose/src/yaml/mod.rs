//! YAML as our own tree: every node knows where it stands.
//!
//! `parse` makes the tree of a text, `scalar` says what an unquoted word means, `emit` writes a tree
//! back, `encoding` makes text of bytes.

mod ascii;
mod build;
pub mod emit;
pub mod encoding;
pub mod map;
pub mod parse;
mod quick;
mod recover;
mod repair;
pub mod scalar;

pub use map::Map;
/// A text of the tree. Nearly all are short: these stand in the tree itself, with no memory of their own.
pub use smol_str::SmolStr as Text;

use crate::source::Span;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Span,
    /// What its tag asks of the merge with an earlier file.
    pub mark: Mark,
}

/// The tags that Compose gives a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    #[default]
    None,
    /// `!reset`: remove what an earlier file said.
    Reset,
    /// `!override`: replace what an earlier file said instead of merging with it.
    Override,
}

/// What a node is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Text),
    List(Vec<Node>),
    Map(Map),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key: Span,
    pub node: Node,
}

impl Node {
    /// An untagged node.
    #[must_use]
    pub fn new(value: Value, span: Span) -> Node {
        Node { value, span, mark: Mark::None }
    }

    /// A text at `span`.
    #[must_use]
    pub fn text(text: impl Into<Text>, span: Span) -> Node {
        Node::new(Value::Str(text.into()), span)
    }

    /// The text, when it is one.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = &self.value { Some(text) } else { None }
    }

    /// The number, when it is a whole one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(number) = self.value { Some(number) } else { None }
    }

    /// The number, whole or not.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self.value {
            Value::Float(number) => Some(number),
            #[allow(clippy::cast_precision_loss)] // ratios, not identities
            Value::Int(number) => Some(number as f64),
            _ => None,
        }
    }

    /// The truth value, when it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self.value { Some(value) } else { None }
    }

    /// The entries, when it is a mapping.
    #[must_use]
    #[inline]
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    /// The entries, when it is a mapping.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(map) = &mut self.value { Some(map) } else { None }
    }

    /// The items; none when it is no list.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The value of `key`, when this is a mapping that has it and it is not null.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).map(|e| &e.node).filter(|n| n.value != Value::Null)
    }

    /// The text of `key`.
    #[must_use]
    #[inline]
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The texts of the list `key`.
    #[must_use]
    pub fn strings(&self, key: &str) -> Vec<String> {
        self.get(key)
            .map(|n| n.items().iter().filter_map(|i| i.as_str().map(str::to_owned)).collect())
            .unwrap_or_default()
    }

    /// True when nothing is in it: null, empty text, list or mapping.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Str(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        }
    }

    /// `a number`, `a list` …: what a message calls it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The scalar as the text that the docker CLI makes of it; nothing for lists and mappings.
    #[must_use]
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Null => Some(String::new()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(scalar::float_text(*number)),
            Value::Str(text) => Some(text.to_string()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The same as JSON, without places.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => serde_json::Number::from_f64(*number)
                .map_or_else(|| Json::String(scalar::float_text(*number)), Json::Number),
            Value::Str(text) => Json::String(text.to_string()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(map) => {
                Json::Object(map.iter().map(|(k, e)| (k.to_string(), e.node.to_json())).collect())
            }
        }
    }
}

/// A mapping of places all equal to `span`, for nodes that are made rather than read.
#[must_use]
pub fn map_of<K: Into<Text>>(entries: impl IntoIterator<Item = (K, Value)>, span: Span) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), Entry { key: span, node: Node::new(value, span) }))
            .collect(),
    )
}
