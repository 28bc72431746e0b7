//! Secrets and configs: each has one source.

use super::Check;
use crate::path::KeyPath;
use crate::spec::is_external;
use crate::yaml::Node;

impl Check<'_> {
    pub(super) fn files(&mut self, section: &str, path: &KeyPath<'_>) {
        const SOURCES: [&str; 4] = ["file", "environment", "content", "driver"];
        let file = self.file;
        for (name, entry) in file.get(section).and_then(Node::as_map).into_iter().flatten() {
            let path = path.key(name);
            let thing = &entry.node;
            let Some(map) = thing.as_map() else { continue };
            if is_external(thing) {
                self.external(
                    thing,
                    &["file", "environment", "content", "driver", "labels"],
                    &path,
                );
                continue;
            }
            let given: Vec<&str> = SOURCES
                .into_iter()
                .filter(|s| match map.get(s) {
                    Some(entry) => *s == "content" || !entry.node.is_empty(),
                    None => false,
                })
                .collect();
            let singular = section.trim_end_matches('s');
            match given.as_slice() {
                [] => {
                    let allowed = match section {
                        "configs" => "`file`, `content`, `environment` or `external: true`",
                        _ => "`file`, `environment`, `driver` or `external: true`",
                    };
                    let message = format!("the {singular} has no content");
                    self.error(entry.key, &path, message).allowed = Some(allowed.to_owned());
                }
                [_] => {}
                [first, second, ..] => {
                    let span = map.get(second).map_or(entry.key, |e| e.key);
                    let message = format!("`{first}` and `{second}` are both given");
                    self.error(span, &path, message).help = Some("keep one".to_owned());
                }
            }
        }
    }
}
