//! `extends`: a service begins with what another one says.

use std::collections::BTreeSet;

use crate::merge::merge;
use crate::nearest::did_you_mean;
use crate::path::{KeyPath, parent};
use crate::problem::Problem;
use crate::schema::service::SERVICE;
use crate::yaml::{Node, Value};

use super::{Loader, Place};

/// Services that extend one another, one after the other.
const DEEPEST: usize = 64;

impl Loader<'_> {
    /// Resolves `extends` of every service of `tree`, which is the file at `path`.
    pub(super) fn extend_services(&mut self, tree: &mut Node, path: &str, place: &Place) {
        let names: Vec<String> = tree
            .get("services")
            .and_then(Node::as_map)
            .into_iter()
            .flatten()
            .filter(|(_, e)| e.node.get("extends").is_some())
            .map(|(name, _)| name.to_string())
            .collect();
        for name in names {
            let mut trail = Vec::new();
            self.extend_one(tree, path, &name, place, &mut trail);
        }
    }

    fn extend_one(
        &mut self,
        tree: &mut Node,
        file: &str,
        name: &str,
        place: &Place,
        trail: &mut Vec<(String, String)>,
    ) {
        let Some(service) = service_mut(tree, name) else { return };
        let Some(extends) = service.as_map_mut().and_then(|m| m.shift_remove("extends")) else {
            return;
        };
        let root = KeyPath::ROOT;
        let services = root.key("services");
        let own = services.key(name);
        let own = own.key("extends");
        let span = extends.node.span;
        let Some(other) = extends.node.str("service").map(str::to_owned) else { return };
        trail.push((file.to_owned(), name.to_owned()));
        if trail.len() > DEEPEST {
            let message = format!("services extend each other more than {DEEPEST} deep");
            self.problems.push(Problem::error(span, own.to_string(), message));
            return;
        }
        let from = extends.node.str("file").map(str::to_owned);
        let base_file = from.clone().unwrap_or_else(|| file.to_owned());
        if trail.contains(&(base_file.clone(), other.clone())) {
            let circle: Vec<&str> = trail.iter().map(|(_, name)| name.as_str()).collect();
            self.problems.push(Problem::error(
                span,
                own.to_string(),
                format!("services extend each other: {} -> {other}", circle.join(" -> ")),
            ));
            return;
        }
        let base = match from.filter(|f| f != file) {
            None => {
                self.extend_one(tree, file, &other, place, trail);
                find(tree, &other).cloned().ok_or_else(|| names(tree))
            }
            Some(from) => {
                let tree = self.foreign(&from, &extends.node, &own, place);
                let Some(mut foreign) = tree else { return };
                let there = Place { dir: parent(&from).to_owned(), ..place.clone() };
                self.extend_one(&mut foreign, &from, &other, &there, trail);
                find(&foreign, &other).cloned().ok_or_else(|| names(&foreign))
            }
        };
        match base {
            Ok(mut base) => {
                let Some(service) = service_mut(tree, name) else { return };
                let over = std::mem::replace(service, Node::new(Value::Null, span));
                merge(&mut base, over, &SERVICE);
                *service = base;
            }
            Err(names) => self.problems.push(
                Problem::error(span, own.to_string(), format!("there is no service `{other}`"))
                    .maybe_help(did_you_mean(&other, names.iter().map(String::as_str)))
                    .allowed(names.into_iter().collect::<Vec<_>>().join(", ")),
            ),
        }
    }

    /// The tree of another file, in its one form.
    fn foreign(
        &mut self,
        path: &str,
        extends: &Node,
        key: &KeyPath<'_>,
        place: &Place,
    ) -> Option<Node> {
        if let Some(tree) = self.trees.get(path) {
            return Some(tree.clone());
        }
        let span = extends.get("file").map_or(extends.span, |n| n.span);
        let bytes = self.named_file(path, span, key)?;
        let mut tree = self.tree(path, &bytes, place)?;
        let there = Place { dir: parent(path).to_owned(), ..place.clone() };
        self.form(&mut tree, &there);
        self.trees.insert(path.to_owned(), tree.clone());
        Some(tree)
    }
}

fn service_mut<'n>(tree: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    let services = tree.as_map_mut()?.get_mut("services")?;
    Some(&mut services.node.as_map_mut()?.get_mut(name)?.node)
}

fn find<'n>(tree: &'n Node, name: &str) -> Option<&'n Node> {
    tree.get("services")?.as_map()?.get(name).map(|e| &e.node)
}

fn names(tree: &Node) -> BTreeSet<String> {
    tree.get("services")
        .and_then(Node::as_map)
        .into_iter()
        .flat_map(|m| m.keys().map(str::to_owned))
        .collect()
}
