//! Lays one tree over another: several files, an extended service, an included file.
//!
//! Both trees are in their one form already (see [`crate::canon`]), so that ports meet ports and
//! mounts meet mounts. An empty value says nothing and overrides nothing, as in the docker CLI;
//! `!reset` and `!override` say so explicitly.

use crate::schema::{Kind, Merge, Shape, Short};
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
                for item in above {
                    if under.iter().all(|old| old.value != item.value) {
                        under.push(item);
                    }
                }
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

/// What makes two ports the same: the later one replaces the earlier.
fn port_key(node: &Node) -> Option<String> {
    let published = node.get("published").and_then(Node::as_int).unwrap_or(0);
    let target = node.get("target").and_then(Node::as_int).unwrap_or(0);
    let protocol = node.str("protocol").unwrap_or("tcp");
    let address = node.str("host_ip").unwrap_or("");
    Some(if published == 0 {
        format!("{target}/{protocol} {address}")
    } else {
        format!("{published}:/{protocol} {address}")
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
    for item in more {
        let wanted = key(&item);
        match items.iter_mut().find(|old| wanted.is_some() && key(old) == wanted) {
            Some(old) => *old = item,
            None => items.push(item),
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
    let uses =
        |list: &[Node], name: &Option<String>| list.iter().filter(|n| &source(n) == name).count();
    let before = items.clone();
    for item in &more {
        let name = source(item);
        let only = uses(&before, &name) == 1 && uses(&more, &name) == 1;
        let place = items
            .iter()
            .position(|old| target(old) == target(item))
            .or_else(|| only.then(|| items.iter().position(|old| source(old) == name)).flatten());
        match place {
            Some(at) => items[at] = item.clone(),
            None => items.push(item.clone()),
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
