//! `include`: other files that belong to the stack, each read in its own place.

use crate::merge::merge;
use crate::path::{KeyPath, absolute, parent};
use crate::problem::Problem;
use crate::schema::top::FILE;
use crate::yaml::{Entry, Map, Node};

use super::{Loader, Place};

/// The sections whose entries may not be given by two included files differently.
const SECTIONS: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];

impl Loader<'_> {
    /// `tree`, the file at `path`, with the files that it includes.
    pub(super) fn with_included(&mut self, mut tree: Node, path: &str, place: &Place) -> Node {
        let Some(include) = tree.as_map_mut().and_then(|m| m.shift_remove("include")) else {
            return tree;
        };
        let root = KeyPath::ROOT;
        let key = root.key("include");
        for (index, item) in include.node.items().iter().enumerate() {
            if let Some(other) = self.included(item, &key.index(index), path, place) {
                self.join(&mut tree, other);
            }
        }
        tree
    }

    fn included(
        &mut self,
        item: &Node,
        key: &KeyPath<'_>,
        from: &str,
        place: &Place,
    ) -> Option<Node> {
        let paths = item.strings("path");
        let first = paths.first()?;
        let dir = match item.str("project_directory") {
            Some(dir) => dir.to_owned(),
            None => parent(first).to_owned(),
        };
        let place = Place { variables: self.variables_there(item, &dir, key, place), dir };
        let mut whole: Option<Node> = None;
        for path in &paths {
            if self.open.contains(path) || path == from {
                self.problems.push(Problem::error(
                    item.span,
                    key.to_string(),
                    format!("`{path}` includes itself"),
                ));
                return None;
            }
            let bytes = self.named_file(path, item.span, key)?;
            let tree = self.file(path, path, &bytes, &place)?;
            match &mut whole {
                Some(base) => merge(base, tree, &FILE),
                None => whole = Some(tree),
            }
        }
        whole
    }

    /// The variables of an included file: the including one's win over its `.env` or `env_file`.
    fn variables_there(
        &mut self,
        item: &Node,
        dir: &str,
        key: &KeyPath<'_>,
        place: &Place,
    ) -> std::collections::BTreeMap<String, String> {
        let mut files = item.strings("env_file");
        let named = !files.is_empty();
        if !named {
            files.push(absolute(dir, ".env"));
        }
        let mut all = std::collections::BTreeMap::new();
        for path in files {
            let missing = named && self.reader.read(&path).is_err();
            if missing {
                self.named_file(&path, item.span, key);
            } else if let Some(text) = self.optional_text(&path, &path) {
                all.extend(self.dotenv(text, &place.variables));
            }
        }
        all.extend(place.variables.iter().map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    /// Adds what an included file says; the including file may override it.
    fn join(&mut self, tree: &mut Node, other: Node) {
        let Some(map) = tree.as_map_mut() else { return };
        let crate::yaml::Value::Map(mut other) = other.value else { return };
        for section in SECTIONS {
            let Some(theirs) = other.shift_remove(section) else { continue };
            match map.get_mut(section) {
                None => {
                    map.insert(section.to_owned(), theirs);
                }
                Some(ours) => self.join_section(section, ours, theirs),
            }
        }
    }

    fn join_section(&mut self, section: &str, ours: &mut Entry, theirs: Entry) {
        let crate::yaml::Value::Map(theirs) = theirs.node.value else { return };
        let empty = || crate::yaml::Value::Map(Map::new());
        if ours.node.value == crate::yaml::Value::Null {
            ours.node.value = empty();
        }
        let Some(map) = ours.node.as_map_mut() else { return };
        for (name, entry) in theirs {
            let Some(own) = map.get(&name) else {
                map.insert(name, entry);
                continue;
            };
            if own.node.to_json() == entry.node.to_json() {
                continue;
            }
            let root = KeyPath::ROOT;
            let path = root.key(section);
            self.problems.push(
                Problem::error(
                    own.key,
                    path.key(&name).to_string(),
                    format!("`{name}` is defined here and, differently, in an included file"),
                )
                .related(entry.key, "the other one")
                .help("rename one, or override the included one in a second `path` of `include`"),
            );
        }
    }
}
