//! What a deploy would change: the running requests against the new ones, key by key.
//!
//! Input: two [`Specs`]-like lists. Output: what is added, changed and removed, and for each
//! changed service whether its tasks would be replaced. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::spec::{ConfigSpec, NetworkSpec, SecretSpec, ServiceSpec};
use serde::Serialize;
use serde_json::Value;

/// The requests of a stack: those that run, or those that would.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side<'a> {
    pub networks: &'a [NetworkSpec],
    pub secrets: &'a [SecretSpec],
    pub configs: &'a [ConfigSpec],
    pub services: &'a [ServiceSpec],
}

impl<'a> From<&'a crate::Specs> for Side<'a> {
    fn from(specs: &'a crate::Specs) -> Side<'a> {
        Side {
            networks: &specs.networks,
            secrets: &specs.secrets,
            configs: &specs.configs,
            services: &specs.services,
        }
    }
}

/// The kind of a thing in a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    Network,
    Secret,
    Config,
    Service,
}

/// One difference inside a thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyChange {
    /// Path in the request, such as `TaskTemplate.ContainerSpec.Image`.
    pub path: String,
    /// Absent: the key is new.
    pub before: Option<Value>,
    /// Absent: the key goes.
    pub after: Option<Value>,
}

/// What happens to a thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Add,
    Remove,
    Change {
        keys: Vec<KeyChange>,
        /// The tasks of the service are replaced, one batch after the other.
        replaces_tasks: bool,
    },
}

/// One thing of the stack that does not stay as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub what: What,
    pub name: String,
    pub action: Action,
}

/// Everything that a deploy changes, in the order in which it happens.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    pub changes: Vec<Change>,
    /// Things that stay as they are.
    pub unchanged: usize,
}

/// Compares what runs with what is asked for.
#[must_use]
pub fn diff(running: Side<'_>, wanted: Side<'_>) -> Diff {
    let mut out = Diff::default();
    compare(What::Network, named(running.networks), named(wanted.networks), &mut out);
    compare(What::Secret, named(running.secrets), named(wanted.secrets), &mut out);
    compare(What::Config, named(running.configs), named(wanted.configs), &mut out);
    compare(What::Service, named(running.services), named(wanted.services), &mut out);
    out
}

impl Diff {
    /// True when nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// The differences between two values of one request, `path` in front of each.
#[must_use]
pub fn keys(before: &Value, after: &Value, path: &str) -> Vec<KeyChange> {
    let mut out = Vec::new();
    walk(Some(before), Some(after), path.to_owned(), &mut out);
    out
}

/// Requests as JSON, by name.
fn named<T: Serialize>(specs: &[T]) -> BTreeMap<String, Value> {
    specs
        .iter()
        .filter_map(|spec| {
            let value = serde_json::to_value(spec).ok()?;
            Some((value.get("Name")?.as_str()?.to_owned(), value))
        })
        .collect()
}

fn compare(
    what: What,
    running: BTreeMap<String, Value>,
    wanted: BTreeMap<String, Value>,
    out: &mut Diff,
) {
    let names: BTreeSet<&String> = running.keys().chain(wanted.keys()).collect();
    for name in names {
        let action = match (running.get(name), wanted.get(name)) {
            (None, Some(_)) => Action::Add,
            (Some(_), None) => Action::Remove,
            (Some(before), Some(after)) => {
                let mut keys = Vec::new();
                walk(Some(before), Some(after), String::new(), &mut keys);
                if keys.is_empty() {
                    out.unchanged += 1;
                    continue;
                }
                let replaces_tasks = what == What::Service
                    && keys.iter().any(|k| k.path.starts_with("TaskTemplate"));
                Action::Change { keys, replaces_tasks }
            }
            (None, None) => continue,
        };
        out.changes.push(Change { what, name: name.clone(), action });
    }
}

/// Keys that say nothing about what is asked for: a manager fills them in or counts them up, and a
/// secret's content never leaves the managers.
fn is_silent(path: &str, before: Option<&Value>) -> bool {
    matches!(path, "TaskTemplate.ForceUpdate" | "Version")
        || (path == "Data" && before.is_none())
        || (path.ends_with("SecretID") || path.ends_with("ConfigID"))
}

fn walk(before: Option<&Value>, after: Option<&Value>, path: String, out: &mut Vec<KeyChange>) {
    if before == after || is_silent(&path, before) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(a.get(key), b.get(key), path, out);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                walk(Some(x), Some(y), format!("{path}[{index}]"), out);
            }
        }
        (before, after) => {
            if empty(before) && empty(after) {
                return;
            }
            out.push(KeyChange { path, before: before.cloned(), after: after.cloned() });
        }
    }
}

/// Absent, null, empty, zero and false are the same to Docker's requests.
fn empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.values().all(|v| empty(Some(v))),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(true)) => false,
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Network => "network",
            What::Secret => "secret",
            What::Config => "config",
            What::Service => "service",
        })
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.path, shown(&self.before), shown(&self.after))
    }
}

/// One line for each change, `+`, `-` or `~` first; changed keys below, indented.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { what, name, action } in &self.changes {
            match action {
                Action::Add => writeln!(f, "+ {what} {name}")?,
                Action::Remove => writeln!(f, "- {what} {name}")?,
                Action::Change { keys, replaces_tasks } => {
                    let tasks = if *replaces_tasks { " (tasks are replaced)" } else { "" };
                    writeln!(f, "~ {what} {name}{tasks}")?;
                    keys.iter().try_for_each(|key| writeln!(f, "    {key}"))?;
                }
            }
        }
        writeln!(f, "{} changed, {} unchanged", self.changes.len(), self.unchanged)
    }
}

/// A value on one line; long ones are cut.
fn shown(value: &Option<Value>) -> String {
    const WIDEST: usize = 120;
    let Some(value) = value else { return "(none)".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= WIDEST {
        return text;
    }
    let cut: String = text.chars().take(WIDEST).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, InputFile, MemoryReader, Specs, load};

    fn specs(text: &str) -> Specs {
        let reader = MemoryReader::default();
        load(&Input {
            files: vec![InputFile { name: "f.yml".into(), bytes: text.into() }],
            project_dir: "/p".into(),
            environment: BTreeMap::new(),
            reader: &reader,
            stack: "s".into(),
            profiles: Vec::new(),
        })
        .unwrap_or_else(|problems| panic!("{problems}"))
        .stack
        .specs
    }

    #[test]
    fn a_diff_says_what_is_added_changed_and_removed() {
        let before = specs(
            "services: {a: {image: 'x:1'}, b: {image: y}, d: {image: z, deploy: {replicas: 1}}}",
        );
        let after = specs(
            "services: {a: {image: 'x:2'}, c: {image: y}, d: {image: z, deploy: {replicas: 2}}}",
        );
        let diff = diff(Side::from(&before), Side::from(&after));
        let text = diff.to_string();
        assert!(text.contains("~ service s_a (tasks are replaced)\n"), "{text}");
        assert!(
            text.contains("    TaskTemplate.ContainerSpec.Image: \"x:1\" -> \"x:2\"\n"),
            "{text}"
        );
        assert!(text.contains("- service s_b\n+ service s_c\n"), "{text}");
        assert!(text.contains("~ service s_d\n    Mode.Replicated.Replicas: 1 -> 2\n"), "{text}");
        assert!(text.ends_with("4 changed, 1 unchanged\n"), "{text}");
    }

    #[test]
    fn equal_requests_differ_in_nothing() {
        let specs = specs("services: {a: {image: x, ports: ['80:80']}}");
        assert!(diff(Side::from(&specs), Side::from(&specs)).is_empty());
    }
}
