//! Lays one tree over another: several files, an extended service, an included file.
//!
//! Both trees are in their one form already (see [`crate::canon`]), so that ports meet ports and
//! mounts meet mounts. An empty value says nothing and overrides nothing, as in the docker CLI;
//! `!reset` and `!override` say so explicitly.

use std::collections::{BTreeMap, BTreeSet};

use crate::schema::{Bare, Kind, Merge, Shape, Short};
use crate::yaml::{Entry, Map, Mark, Node, Value};

/// Lays `over` on `base`; `kind` is what both are.
pub fn merge(base: &mut Node, over: Node, kind: &'static Kind) {
    match over.mark {
        Mark::Reset => {
            base.value = Value::Null;
            return;
        }
        Mark::Override => {
            *base = Node { mark: Mark::None, ..over };
            return;
        }
        Mark::None => {}
    }
    match (&mut base.value, over.value) {
        (Value::Map(under), Value::Map(above)) => maps(under, above, kind),
        (Value::List(under), Value::List(above)) => match kind {
            Kind::Set(_) | Kind::OneOrMore(_) => {
                let mut there: BTreeSet<String> = under.iter().map(as_key).collect();
                under.extend(above.into_iter().filter(|item| there.insert(as_key(item))));
            }
            _ => under.extend(above),
        },
        (_, value) => {
            let over = Node { value, span: over.span, mark: over.mark };
            if !over.is_empty() {
                *base = over;
            }
        }
    }
}

/// What tells two items of a list apart.
fn as_key(item: &Node) -> String {
    item.to_json().to_string()
}

fn maps(under: &mut Map, above: Map, kind: &'static Kind) {
    for (key, entry) in above {
        let (inner, rule) = inside(kind, &key);
        if entry.node.mark == Mark::Reset {
            under.shift_remove(&key);
            continue;
        }
        match under.get_mut(&key) {
            None => {
                let node = Node { mark: Mark::None, ..entry.node };
                under.insert(key, Entry { key: entry.key, node });
            }
            Some(there) => {
                one(&mut there.node, entry.node, inner, rule);
                there.key = entry.key;
            }
        }
    }
}

fn one(base: &mut Node, over: Node, kind: &'static Kind, rule: Merge) {
    if over.mark == Mark::Override {
        *base = Node { mark: Mark::None, ..over };
        return;
    }
    match rule {
        Merge::Deep => merge(base, over, kind),
        Merge::Replace => {
            if !over.is_empty() {
                *base = over;
            }
        }
        Merge::Later => *base = over,
        Merge::Logging => {
            let (old, new) = (base.str("driver"), over.str("driver"));
            if old.is_none() || new.is_none() || old == new {
                merge(base, over, kind);
            } else {
                *base = over;
            }
        }
        Merge::Ports => keyed(base, over, port_key, |n| n.get("published").and_then(Node::as_int)),
        Merge::Mounts => {
            let target = |n: &Node| n.str("target").map(str::to_owned);
            keyed(base, over, target, target);
        }
        Merge::FileUses => file_uses(base, over),
        Merge::Health => {
            let disables = |n: &Node| n.get("disable").and_then(Node::as_bool) == Some(true);
            let tests = over.get("test").is_some();
            if disables(&over) && !tests {
                *base = over;
            } else {
                if tests && let Some(map) = base.as_map_mut() {
                    map.shift_remove("disable");
                }
                merge(base, over, kind);
            }
        }
        Merge::Definition => {
            let external = |n: &Node| n.get("external").and_then(Node::as_bool) == Some(true);
            if external(base) == external(&over) || over.is_empty() {
                merge(base, over, kind);
            } else {
                *base = over;
            }
        }
    }
}

/// What makes two ports the same: the later one replaces the earlier. The address is not among it,
/// since an orchestrator's port is open on every address.
fn port_key(node: &Node) -> Option<String> {
    let published = node.get("published").and_then(Node::as_int).unwrap_or(0);
    let target = node.get("target").and_then(Node::as_int).unwrap_or(0);
    let protocol = node.str("protocol").unwrap_or("tcp");
    Some(if published == 0 {
        format!("{target}/{protocol}")
    } else {
        format!("{published}:/{protocol}")
    })
}

/// Items of `over` replace those of `base` with the same key; the result is sorted by `order`.
fn keyed<O: Ord>(
    base: &mut Node,
    over: Node,
    key: impl Fn(&Node) -> Option<String>,
    order: impl Fn(&Node) -> O,
) {
    let (Value::List(items), Value::List(more)) = (&mut base.value, over.value) else { return };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if let Some(key) = key(item) {
            places.entry(key).or_insert(at);
        }
    }
    for item in more {
        let key = key(&item);
        match key.as_ref().and_then(|key| places.get(key)) {
            Some(at) => items[*at] = item,
            None => {
                if let Some(key) = key {
                    places.insert(key, items.len());
                }
                items.push(item);
            }
        }
    }
    items.sort_by_key(|n| order(n));
}

/// A use replaces one with the same target; one of the same source too, where both files use that
/// source once.
fn file_uses(base: &mut Node, over: Node) {
    let target = |n: &Node| n.str("target").or(n.str("source")).map(str::to_owned);
    let source = |n: &Node| n.str("source").map(str::to_owned);
    let (Value::List(items), Value::List(more)) = (&mut base.value, over.value) else { return };
    let uses = |list: &[Node]| {
        let mut uses: BTreeMap<Option<String>, usize> = BTreeMap::new();
        list.iter().for_each(|n| *uses.entry(source(n)).or_default() += 1);
        uses
    };
    let (before, after) = (uses(items), uses(&more));
    // The first place of each target and of each source; what is replaced may move them.
    let mut targets: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut sources: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        targets.entry(target(item)).or_insert(at);
        sources.entry(source(item)).or_insert(at);
    }
    for item in more {
        let name = source(&item);
        let only = before.get(&name) == Some(&1) && after.get(&name) == Some(&1);
        let place = targets.get(&target(&item)).or(sources.get(&name).filter(|_| only)).copied();
        let at = place.unwrap_or(items.len());
        targets.entry(target(&item)).or_insert(at);
        sources.entry(name).or_insert(at);
        match items.get_mut(at) {
            Some(old) => *old = item,
            None => items.push(item),
        }
    }
    items.sort_by_key(source);
}

/// The kind and the rule of what is under `key`.
fn inside(kind: &'static Kind, key: &str) -> (&'static Kind, Merge) {
    const ANY: Kind = Kind::Any;
    match kind {
        Kind::Object(shape) => of_shape(shape, key),
        Kind::Nullable(inner) => inside(inner, key),
        Kind::Short { long, .. } => inside(long, key),
        Kind::Map(item) | Kind::Named(item) => (item, rule_of_item(item)),
        // An empty variable of a later file leaves the earlier one, as in the docker CLI; an empty
        // label does not.
        Kind::Pairs(Bare::Null) => (&ANY, Merge::Deep),
        Kind::Pairs(Bare::Empty) => (&ANY, Merge::Later),
        _ => (&ANY, Merge::Deep),
    }
}

fn of_shape(shape: &'static Shape, key: &str) -> (&'static Kind, Merge) {
    const ANY: Kind = Kind::Any;
    shape.field(key).map_or((&ANY, Merge::Deep), |field| (field.kind, field.merge))
}

/// A limit of one name is replaced as a whole.
fn rule_of_item(kind: &'static Kind) -> Merge {
    match kind {
        Kind::Short { expand: Short::Ulimit, .. } => Merge::Replace,
        Kind::WordOrEmpty => Merge::Later,
        Kind::Object(shape) | Kind::Nullable(Kind::Object(shape))
            if shape.field("external").is_some() =>
        {
            Merge::Definition
        }
        _ => Merge::Deep,
    }
}

#[cfg(test)]
mod tests;
