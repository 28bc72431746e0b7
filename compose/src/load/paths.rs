//! Makes the paths of one file absolute, while it is known where that file's paths start.

use crate::path::{absolute, is_windows};
use crate::yaml::{Map, Node, Value};

/// Resolves every path below `tree` that names something on this machine or on the nodes.
pub(super) fn resolve(tree: &mut Node, dir: &str, home: Option<&str>) {
    let Some(file) = tree.as_map_mut() else { return };
    for section in ["secrets", "configs"] {
        for thing in things(file, section) {
            if thing.get("external").and_then(Node::as_bool) != Some(true) {
                set(thing, "file", dir, home);
            }
        }
    }
    for service in things(file, "services") {
        let Some(map) = service.as_map_mut() else { continue };
        for item in items(map, "volumes") {
            if item.str("type") == Some("bind") {
                set(item, "source", dir, home);
            }
        }
        for item in items(map, "env_file") {
            set(item, "path", dir, home);
        }
        for item in items(map, "label_file") {
            one(item, dir, home);
        }
        for item in items(map, "security_opt") {
            profile(item, dir, home);
        }
        if let Some(entry) = map.get_mut("extends") {
            set(&mut entry.node, "file", dir, home);
        }
    }
    for item in items(file, "include") {
        if let Some(map) = item.as_map_mut() {
            for key in ["path", "env_file"] {
                for path in items(map, key) {
                    one(path, dir, home);
                }
            }
        }
        set(item, "project_directory", dir, home);
    }
}

fn things<'n>(file: &'n mut Map, section: &str) -> impl Iterator<Item = &'n mut Node> {
    file.get_mut(section)
        .and_then(|e| e.node.as_map_mut())
        .into_iter()
        .flat_map(|map| map.values_mut().map(|e| &mut e.node))
}

fn items<'n>(map: &'n mut Map, key: &str) -> impl Iterator<Item = &'n mut Node> {
    map.get_mut(key)
        .and_then(|e| match &mut e.node.value {
            Value::List(items) => Some(items),
            _ => None,
        })
        .into_iter()
        .flatten()
}

fn set(node: &mut Node, key: &str, dir: &str, home: Option<&str>) {
    if let Some(entry) = node.as_map_mut().and_then(|m| m.get_mut(key)) {
        one(&mut entry.node, dir, home);
    }
}

/// `seccomp=FILE`: the file belongs to the project.
fn profile(node: &mut Node, dir: &str, home: Option<&str>) {
    let Some(file) = node.as_str().and_then(crate::spec::seccomp_file) else { return };
    let mut path = Node::text(file, node.span);
    one(&mut path, dir, home);
    if let Some(path) = path.as_str() {
        node.value = Value::Str(format!("seccomp={path}").into());
    }
}

fn one(node: &mut Node, dir: &str, home: Option<&str>) {
    let Value::Str(text) = &mut node.value else { return };
    if text.is_empty() || is_windows(text) {
        return;
    }
    if let (Some(rest), Some(home)) = (text.strip_prefix('~'), home)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        *text = format!("{home}{rest}").into();
    }
    if !text.starts_with('/') {
        *text = absolute(dir, text).into();
    }
}
