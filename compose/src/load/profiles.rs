//! Profiles: which services take part.

use std::collections::{BTreeMap, BTreeSet};

use crate::input::Input;
use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::yaml::Node;

/// The active profiles: the caller's and those of `COMPOSE_PROFILES`.
pub(super) fn active(input: &Input<'_>, variables: &BTreeMap<String, String>) -> BTreeSet<String> {
    let listed = variables.get("COMPOSE_PROFILES").map_or("", String::as_str);
    let listed = listed.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned);
    input.profiles.iter().cloned().chain(listed).collect()
}

/// Leaves out the services of other profiles, with a note; and the dependencies on them.
pub(super) fn filter(tree: &mut Node, active: &BTreeSet<String>, problems: &mut Vec<Problem>) {
    let services = tree.as_map_mut().and_then(|m| m.get_mut("services"));
    let Some(services) = services.and_then(|e| e.node.as_map_mut()) else { return };
    let path = KeyPath::ROOT;
    let path = path.key("services");
    let mut left_out = BTreeSet::new();
    services.retain(|name, entry| {
        let profiles = entry.node.strings("profiles");
        let takes_part = profiles.is_empty()
            || active.contains("*")
            || profiles.iter().any(|p| active.contains(p));
        if !takes_part {
            problems.push(
                Problem::new(
                    Severity::Note,
                    entry.key,
                    path.key(name).to_string(),
                    format!("`{name}` is left out: its profile is not active"),
                )
                .help(format!("activate one of: {}", profiles.join(", "))),
            );
            left_out.insert(name.clone());
        }
        takes_part
    });
    for (name, entry) in services.iter_mut() {
        let Some(map) = entry.node.as_map_mut() else { continue };
        map.shift_remove("profiles");
        let Some(dependencies) = map.get_mut("depends_on").and_then(|e| e.node.as_map_mut()) else {
            continue;
        };
        dependencies.retain(|other, dependency| {
            let gone = left_out.contains(other);
            if gone {
                problems.push(Problem::new(
                    Severity::Warning,
                    dependency.key,
                    path.key(name).key("depends_on").to_string(),
                    format!("`{other}` is left out by its profile; it is not waited for"),
                ));
            }
            !gone
        });
    }
}
