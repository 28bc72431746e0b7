//! Keys that mean nothing to an orchestrator: the user is told, once for each service.

use super::Check;
use crate::path::KeyPath;
use crate::schema::{Fate, Kind, Shape, service, top};
use crate::yaml::{Map, Node};

impl Check<'_> {
    pub(super) fn notes(&mut self, service: &Node, path: &KeyPath<'_>) {
        if let Some(map) = service.as_map() {
            self.noted(map, &service::SERVICE_SHAPE, path);
        }
    }

    fn noted(&mut self, map: &Map, shape: &'static Shape, path: &KeyPath<'_>) {
        for (key, entry) in map {
            let Some(field) = shape.field(key) else { continue };
            let path = path.key(key);
            if let Fate::Noted(reason) = field.fate {
                if !entry.node.is_empty() {
                    self.note(entry.key, &path, format!("`{key}` is left out: {reason}"));
                }
                continue;
            }
            self.inside(&entry.node, field.kind, &path);
        }
    }

    fn inside(&mut self, node: &Node, kind: &'static Kind, path: &KeyPath<'_>) {
        match kind {
            Kind::Object(shape) => {
                if let Some(map) = node.as_map() {
                    self.noted(map, shape, path);
                }
            }
            Kind::Nullable(inner) | Kind::Short { long: inner, .. } => {
                self.inside(node, inner, path);
            }
            Kind::List(item) => {
                for (index, one) in node.items().iter().enumerate() {
                    self.inside(one, item, &path.index(index));
                }
            }
            Kind::Named(item) => {
                for (key, entry) in node.as_map().into_iter().flatten() {
                    self.inside(&entry.node, item, &path.key(key));
                }
            }
            _ => {}
        }
    }

    /// Only a version that is none is worth a word.
    pub(super) fn version(&mut self) {
        let file = self.file;
        let root = KeyPath::ROOT;
        if let Some(version) = file.get("version") {
            let text = version.as_str().unwrap_or("");
            let known = text.is_empty()
                || text == "3"
                || text.strip_prefix("3.").is_some_and(|minor| minor.parse::<u8>().is_ok());
            if !known {
                self.note(
                    version.span,
                    &root.key("version"),
                    format!("the version `{text}` means nothing; the file is read as it is"),
                );
            }
        }
        if let Some(models) = file.as_map().and_then(|m| m.get("models"))
            && let Some(Fate::Noted(reason)) = top::FILE_SHAPE.field("models").map(|f| f.fate)
        {
            let message = format!("`models` is left out: {reason}");
            self.note(models.key, &root.key("models"), message);
        }
    }
}
