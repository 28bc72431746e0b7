//! Holds a tree against the schema and brings it to its one form.
//!
//! After this every value is of its type, every short form is the long one and every problem is
//! noted with its place. A value that is wrong becomes null, so that nobody stumbles over it twice.
//!
//! Deliberately absent: what several keys mean together (see [`crate::check`]).

mod expand;
mod pairs;
mod scalars;

use std::collections::BTreeMap;

use crate::nearest::{did_you_mean, nearest};
use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::schema::{Field, Kind, Others, Shape, service, top};
use crate::source::{Sources, Span};
use crate::yaml::{Map, Mark, Node, Text, Value};

/// What the passes below need to know of the surroundings.
pub struct Canon<'a> {
    pub sources: &'a Sources,
    pub problems: &'a mut Vec<Problem>,
    /// How many more published ports may come of ranges.
    ports_left: usize,
}

/// Published ports in one file: more than there are ports means a mistake or an attack.
const MOST_PORTS: usize = 70_000;

/// With more problems than this, suggestions are left out: they cost time and nobody reads on.
const ENOUGH: usize = 300;

impl<'a> Canon<'a> {
    /// Of one file.
    pub fn new(sources: &'a Sources, problems: &'a mut Vec<Problem>) -> Canon<'a> {
        Canon { sources, problems, ports_left: MOST_PORTS }
    }
}

impl Canon<'_> {
    /// Brings `node` to the form of `kind`.
    pub fn node(&mut self, node: &mut Node, kind: &'static Kind, path: &KeyPath<'_>) {
        if node.mark == Mark::Reset {
            return;
        }
        match kind {
            Kind::Any => {}
            Kind::Text => self.text(node, path),
            Kind::Word => self.word(node, path),
            Kind::WordOrEmpty => {
                if node.value == Value::Null {
                    node.value = Value::Str(Text::default());
                } else {
                    self.word(node, path);
                }
            }
            Kind::Bool => self.boolean(node, path),
            Kind::Int { min, max } => self.int(node, *min, *max, path),
            Kind::Mode => self.mode(node, path),
            Kind::Number => self.number(node, path),
            Kind::Duration => self.duration(node, path),
            Kind::Micros => self.micros(node, path),
            Kind::Size(form) => self.size(node, *form, path),
            Kind::Cpus => self.cpus(node, path),
            Kind::OneOf(words) => self.one_of(node, words, path),
            Kind::List(item) => self.list(node, item, path),
            Kind::Set(item) => self.set(node, item, path),
            Kind::OneOrMore(item) => self.one_or_more(node, item, path),
            Kind::Command => self.command(node, path),
            Kind::HealthTest => self.health_test(node, path),
            Kind::Map(item) => self.map(node, item, path),
            Kind::Named(item) => self.named(node, item, path),
            Kind::Pairs(bare) => self.pairs(node, *bare, path),
            Kind::Hosts => self.hosts(node, path),
            Kind::Object(shape) => self.object(node, shape, path),
            Kind::Nullable(inner) => {
                if node.value != Value::Null {
                    self.node(node, inner, path);
                }
            }
            Kind::Short { expand, long } => {
                let before = self.problems.len();
                self.expand(node, *expand, path);
                let refused = self.problems.len() > before && node.value == Value::Null;
                if !refused {
                    self.node(node, long, path);
                }
            }
            Kind::Ports => self.ports(node, path),
        }
    }

    fn object(&mut self, node: &mut Node, shape: &'static Shape, path: &KeyPath<'_>) {
        let span = node.span;
        let Some(map) = self.expect_map(node, path) else { return };
        for key in shape.required {
            if !map.contains_key(key) {
                self.problems.push(
                    Problem::error(span, path.to_string(), format!("`{key}` is missing"))
                        .help(format!("add `{key}:`")),
                );
            }
        }
        let mut unknown = false;
        for (key, entry) in map.iter_mut() {
            match shape.field(key) {
                Some(field) => self.node(&mut entry.node, field.kind, &path.key(key)),
                None if key.starts_with("x-") && shape.extensions => {}
                None if is_left_out(key, shape) => self.let_through(key, entry.key, path, shape),
                None => {
                    self.unknown_key(key, entry.key, path, shape);
                    self.as_it_was_meant(key, &mut entry.node, path, shape);
                    unknown = true;
                }
            }
        }
        if unknown {
            map.retain(|key, _| shape.field(key).is_some() || key.starts_with("x-"));
        }
    }

    fn unknown_key(&mut self, key: &str, span: Span, path: &KeyPath<'_>, shape: &'static Shape) {
        if self.problems.len() > ENOUGH {
            let message = format!("there is no key `{key}` here");
            self.problems.push(Problem::error(span, path.key(key).to_string(), message));
            return;
        }
        let names = || shape.fields.iter().map(|f| f.name);
        let help = did_you_mean(key, names()).or_else(|| elsewhere(key, shape));
        let mut allowed: Vec<&str> = names().collect();
        allowed.sort_unstable();
        self.problems.push(
            Problem::error(
                span,
                path.key(key).to_string(),
                format!("there is no key `{key}` here"),
            )
            .allowed(if shape.extensions {
                format!("{}, x-…", allowed.join(", "))
            } else {
                allowed.join(", ")
            })
            .maybe_help(help),
        );
    }

    /// Looks at what stands under a misspelt key as if it were spelt well.
    fn as_it_was_meant(
        &mut self,
        key: &str,
        node: &mut Node,
        path: &KeyPath<'_>,
        shape: &'static Shape,
    ) {
        if self.problems.len() > ENOUGH {
            return;
        }
        let meant = nearest(key, shape.fields.iter().map(|f| f.name));
        if let Some(field) = meant.and_then(|name| shape.field(name)) {
            self.node(node, field.kind, &path.key(key));
        }
    }

    fn let_through(&mut self, key: &str, span: Span, path: &KeyPath<'_>, shape: &'static Shape) {
        self.problems.push(
            Problem::new(
                Severity::Warning,
                span,
                path.key(key).to_string(),
                format!("the key `{key}` means nothing here and is left out"),
            )
            .maybe_help(did_you_mean(key, shape.fields.iter().map(|f| f.name))),
        );
    }

    fn map(&mut self, node: &mut Node, item: &'static Kind, path: &KeyPath<'_>) {
        let Some(map) = self.expect_map(node, path) else { return };
        for (key, entry) in map.iter_mut() {
            self.node(&mut entry.node, item, &path.key(key));
        }
    }

    /// As [`Canon::map`], and the keys are names.
    fn named(&mut self, node: &mut Node, item: &'static Kind, path: &KeyPath<'_>) {
        let Some(map) = self.expect_map(node, path) else { return };
        for (key, entry) in map.iter_mut() {
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if key.is_empty() || !key.chars().all(fine) {
                let mut problem = Problem::error(
                    entry.key,
                    path.key(key).to_string(),
                    format!("`{key}` is no name"),
                )
                .allowed("letters, digits, `.`, `_` and `-`");
                if key.contains('$') {
                    problem = problem.help("variables are filled in in values, not in keys");
                }
                self.problems.push(problem);
            }
            self.node(&mut entry.node, item, &path.key(key));
        }
    }

    fn list(&mut self, node: &mut Node, item: &'static Kind, path: &KeyPath<'_>) {
        if let Some(items) = self.expect_list(node, "a list", path) {
            for (index, one) in items.iter_mut().enumerate() {
                self.node(one, item, &path.index(index));
            }
        }
    }

    fn set(&mut self, node: &mut Node, item: &'static Kind, path: &KeyPath<'_>) {
        self.list(node, item, path);
        self.unique(node, path);
    }

    /// Warns of items given twice and drops the later ones.
    fn unique(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        let Value::List(items) = &mut node.value else { return };
        if items.len() < 2 {
            return;
        }
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let mut index = 0;
        items.retain(|item| {
            index += 1;
            if item.value == Value::Null {
                return true;
            }
            let key = item.to_json().to_string();
            let Some(&first) = seen.get(&key) else {
                seen.insert(key, item.span);
                return true;
            };
            let what = item.scalar_text().map_or("this".to_owned(), |t| format!("`{t}`"));
            self.problems.push(
                Problem::new(
                    Severity::Warning,
                    item.span,
                    path.index(index - 1).to_string(),
                    format!("{what} is given twice"),
                )
                .related(first, "first here"),
            );
            false
        });
    }

    fn one_or_more(&mut self, node: &mut Node, item: &'static Kind, path: &KeyPath<'_>) {
        match &node.value {
            Value::List(_) => self.list(node, item, path),
            Value::Str(_) => {
                self.node(node, item, path);
                let one = std::mem::replace(node, Node::new(Value::Null, node.span));
                node.value = Value::List(vec![one]);
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
                self.wrong_type(node, "a text or a list", path);
            }
        }
    }

    /// The entries, or a problem and null.
    fn expect_map<'n>(&mut self, node: &'n mut Node, path: &KeyPath<'_>) -> Option<&'n mut Map> {
        if !matches!(node.value, Value::Map(_)) {
            self.wrong_type(node, "a mapping (`key: value`)", path);
            return None;
        }
        node.as_map_mut()
    }

    fn expect_list<'n>(
        &mut self,
        node: &'n mut Node,
        allowed: &str,
        path: &KeyPath<'_>,
    ) -> Option<&'n mut Vec<Node>> {
        if !matches!(node.value, Value::List(_)) {
            self.wrong_type(node, allowed, path);
            return None;
        }
        if let Value::List(items) = &mut node.value { Some(items) } else { None }
    }

    /// Notes that `node` is of the wrong type and makes it null.
    fn wrong_type(&mut self, node: &mut Node, allowed: &str, path: &KeyPath<'_>) {
        let help = match &node.value {
            Value::Null => {
                Some("give it a value or remove the key; is the next line indented?".to_owned())
            }
            Value::Bool(_) | Value::Int(_) | Value::Float(_) if allowed.starts_with("a text") => {
                Some(format!("quote it: \"{}\"", self.sources.text(node.span)))
            }
            Value::Str(text) if allowed.starts_with("a list") => {
                Some(format!("write it as a list: [\"{text}\"]"))
            }
            Value::Map(_) if allowed.starts_with("a list") => {
                Some("begin each item with `- `".to_owned())
            }
            Value::List(_) if allowed.starts_with("a mapping (") => {
                Some("leave out the `- ` in front of each key".to_owned())
            }
            Value::Str(text) if allowed.starts_with("a mapping (") => text
                .split_once(' ')
                .map(|(key, rest)| format!("is a colon missing? Write `{key}: {}`", rest.trim())),
            _ => None,
        };
        self.bad(node, format!("this is {}", node.kind()), allowed, help, path);
    }

    /// Notes what is wrong with `node` and makes it null.
    fn bad(
        &mut self,
        node: &mut Node,
        message: String,
        allowed: &str,
        help: Option<String>,
        path: &KeyPath<'_>,
    ) {
        self.problems.push(
            Problem::error(node.span, path.to_string(), message).allowed(allowed).maybe_help(help),
        );
        node.value = Value::Null;
    }
}

fn is_left_out(key: &str, shape: &Shape) -> bool {
    match shape.others {
        Others::Refused => false,
        Others::LeftOut => true,
        Others::LeftOutUnlessMisspelt => {
            did_you_mean(key, shape.fields.iter().map(|f| f.name)).is_none()
        }
    }
}

/// Says where a key belongs that is right elsewhere.
fn elsewhere(key: &str, shape: &Shape) -> Option<String> {
    let inside = |outer: &str, shape: &'static Shape| {
        shape.field(key).map(|_| format!("`{key}` belongs under `{outer}`"))
    };
    if shape.name == service::SERVICE_SHAPE.name {
        return inside("deploy", &crate::schema::deploy::DEPLOY).or_else(|| match key {
            "constraints" | "preferences" | "max_replicas_per_node" => {
                Some(format!("`{key}` belongs under `deploy.placement`"))
            }
            "limits" | "reservations" => Some(format!("`{key}` belongs under `deploy.resources`")),
            "memory" => Some("memory belongs under `deploy.resources.limits`".to_owned()),
            _ => top::FILE_SHAPE
                .field(key)
                .map(|_| format!("`{key}` belongs to the top of the file: less indent")),
        });
    }
    service::SERVICE_SHAPE.field(key).map(|field: &Field| {
        if shape.name == top::FILE_SHAPE.name {
            format!("`{key}` belongs to a service: indent it below one in `services`")
        } else {
            format!("`{}` belongs to the service itself: less indent", field.name)
        }
    })
}

#[cfg(test)]
mod tests;
