//! Short forms become long ones.

use super::Canon;
use crate::nearest::did_you_mean;
use crate::path::KeyPath;
use crate::problem::{Problem, Severity};
use crate::quantity::{port, volume};
use crate::schema::{Kind, Shape, Short, TEXT, field, service, shape};
use crate::yaml::{Entry, Map, Mark, Node, Value, map_of};

impl Canon<'_> {
    pub(super) fn expand(&mut self, node: &mut Node, short: Short, path: &KeyPath<'_>) {
        match short {
            Short::Build => wrap(node, "context"),
            Short::Extends => wrap(node, "service"),
            Short::EnvFile => wrap(node, "path"),
            Short::Include => wrap(node, "path"),
            Short::FileUse => wrap(node, "source"),
            Short::DependsOn => self.depends_on(node, path),
            Short::Networks | Short::Models => self.names_to_map(node, path),
            Short::Mount => self.mount(node, path),
            Short::Device => self.device(node, path),
            Short::Gpus => self.gpus(node, path),
            Short::External => self.external(node, path),
            Short::Ulimit => self.ulimit(node, path),
        }
    }

    fn depends_on(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &mut node.value {
            Value::List(_) => {
                self.names_to_map(node, path);
                let Some(map) = node.as_map_mut() else { return };
                for (_, entry) in map.iter_mut() {
                    let condition = Value::Str("service_started".into());
                    entry.node.value = map_of([("condition", condition)], entry.node.span);
                }
            }
            Value::Map(map) => {
                // Compose fills in the condition of an empty entry as well.
                for (_, entry) in map.iter_mut() {
                    if entry.node.value == Value::Null {
                        let condition = Value::Str("service_started".into());
                        entry.node.value = map_of([("condition", condition)], entry.node.span);
                    }
                }
            }
            _ => {}
        }
    }

    /// `[a, b]` becomes `{a: null, b: null}`.
    fn names_to_map(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        let Value::List(items) = &mut node.value else { return };
        let mut map = Map::with_capacity(items.len());
        for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
            let path = path.index(index);
            self.text(&mut item, &path);
            let Value::Str(name) = item.value else { continue };
            if let Some(first) = map.get(&name).map(|e: &Entry| e.key) {
                self.problems.push(
                    Problem::new(
                        Severity::Warning,
                        item.span,
                        path.to_string(),
                        format!("`{name}` is given twice"),
                    )
                    .related(first, "first here"),
                );
            }
            let node = Node { value: Value::Null, span: item.span, mark: item.mark };
            map.insert(name, Entry { key: item.span, node });
        }
        node.value = Value::Map(map);
    }

    fn mount(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        let Value::Str(text) = &node.value else { return };
        let short = match volume::parse(text) {
            Ok(short) => short,
            Err(error) => {
                let message = format!("`{text}` is not a mount: {error}");
                self.bad(node, message, volume::ALLOWED, None, path);
                return;
            }
        };
        for option in &short.unknown {
            let known = ["ro", "rw", "nocopy", "z", "Z"].into_iter().chain(volume::PROPAGATIONS);
            self.problems.push(
                Problem::new(
                    Severity::Warning,
                    node.span,
                    path.to_string(),
                    format!("the option `{option}` of a mount means nothing"),
                )
                .allowed(volume::ALLOWED)
                .maybe_help(did_you_mean(option, known)),
            );
        }
        let span = node.span;
        let text = |t: String| Value::Str(t.into());
        let bind = volume::is_path(&short.source);
        let mut entries = vec![("type", text(if bind { "bind" } else { "volume" }.to_owned()))];
        if !short.source.is_empty() {
            entries.push(("source", text(short.source)));
        }
        entries.push(("target", text(short.target)));
        if short.read_only {
            entries.push(("read_only", Value::Bool(true)));
        }
        let mut of_bind = Vec::new();
        if !short.propagation.is_empty() {
            of_bind.push(("propagation", text(short.propagation)));
        }
        if let Some(label) = short.selinux.filter(|_| bind) {
            of_bind.push(("selinux", text(label.to_string())));
        }
        if !of_bind.is_empty() {
            entries.push(("bind", map_of(of_bind, span)));
        }
        let mut of_volume = Vec::new();
        if short.no_copy {
            of_volume.push(("nocopy", Value::Bool(true)));
        }
        if !short.subpath.is_empty() {
            of_volume.push(("subpath", text(short.subpath)));
        }
        if !of_volume.is_empty() {
            entries.push(("volume", map_of(of_volume, span)));
        }
        node.value = map_of(entries, span);
    }

    fn device(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        if !matches!(node.value, Value::Map(_)) {
            return;
        }
        self.object(node, &DEVICE, path);
        let Some(source) = node.str("source").map(str::to_owned) else {
            node.value = Value::Null;
            return;
        };
        let target = node.str("target").unwrap_or(&source);
        let mut text = format!("{source}:{target}");
        if let Some(permissions) = node.str("permissions") {
            text.push(':');
            text.push_str(permissions);
        }
        node.value = Value::Str(text.into());
    }

    fn gpus(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        let Value::Str(text) = &node.value else {
            if let Value::List(items) = &mut node.value {
                for item in items {
                    if let Value::Map(map) = &mut item.value
                        && !map.contains_key("count")
                        && !map.contains_key("device_ids")
                    {
                        let count = Node::text("all", item.span);
                        map.insert("count", Entry { key: item.span, node: count });
                    }
                }
            }
            return;
        };
        if text != "all" {
            let message = format!("`{text}` is not known");
            self.bad(node, message, "`all`, or a list of requests", None, path);
            return;
        }
        let span = node.span;
        let all = map_of([("count", Value::Str("all".into()))], span);
        node.value = Value::List(vec![Node::new(all, span)]);
    }

    /// `external: {name: x}`: the name has been moved out by [`Canon::external_names`].
    fn external(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        if matches!(node.value, Value::Map(_)) {
            self.object(node, &EXTERNAL, path);
            node.value = Value::Bool(true);
        }
    }

    fn ulimit(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        match &node.value {
            Value::Map(_) => self.object(node, &service::ULIMIT_SHAPE, path),
            Value::Str(text) if text == "unlimited" => {
                let message = "`unlimited` is not a whole number".to_owned();
                let help = Some("write -1: no limit".to_owned());
                self.bad(node, message, "a whole number, or `soft` and `hard`", help, path);
            }
            Value::Int(_) | Value::Float(_) | Value::Str(_) => {
                self.int(node, i64::MIN, i64::MAX, path);
            }
            Value::Null | Value::Bool(_) | Value::List(_) => {
                self.wrong_type(node, "a whole number, or `soft` and `hard`", path);
            }
        }
    }

    pub(super) fn ports(&mut self, node: &mut Node, path: &KeyPath<'_>) {
        let Some(items) = self.expect_list(node, "a list of ports", path) else { return };
        let mut ports = Vec::with_capacity(items.len());
        for (index, item) in std::mem::take(items).into_iter().enumerate() {
            if item.mark == Mark::Reset || self.ports_left == 0 {
                continue;
            }
            self.port(item, &path.index(index), &mut ports);
        }
        node.value = Value::List(ports);
        self.unique(node, path);
    }

    fn port(&mut self, mut item: Node, path: &KeyPath<'_>, ports: &mut Vec<Node>) {
        let text = match &item.value {
            Value::Int(number) => number.to_string().into(),
            Value::Str(text) => text.clone(),
            Value::Map(_) => {
                self.object(&mut item, &PORT, path);
                self.long_port(item, path, ports);
                return;
            }
            Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Null => {
                self.wrong_type(&mut item, "a port, as text or mapping", path);
                return;
            }
        };
        match port::parse(&text) {
            Ok(read) => {
                if !self.room_for(read.len(), &item, path) {
                    return;
                }
                self.base_sixty(&text, &item, path);
                for one in read {
                    let mut entries = vec![
                        ("mode", Value::Str("ingress".into())),
                        ("target", Value::Int(one.target.into())),
                    ];
                    if let Some(published) = one.published {
                        entries.push(("published", Value::Int(published.into())));
                    }
                    entries.push(("protocol", Value::Str(one.protocol.into())));
                    if !one.host_ip.is_empty() {
                        entries.push(("host_ip", Value::Str(one.host_ip.into())));
                    }
                    ports.push(Node::new(map_of(entries, item.span), item.span));
                }
            }
            Err(error) => {
                let message = format!("`{text}` is not a port: {error}");
                self.bad(&mut item, message, port::ALLOWED, None, path);
            }
        }
    }

    /// `22:22` without quotes is the number 1342 to readers of YAML 1.1.
    fn base_sixty(&mut self, text: &str, item: &Node, path: &KeyPath<'_>) {
        let Some((first, second)) = text.split_once(':') else { return };
        let small = |part: &str| part.parse::<u8>().is_ok_and(|n| n < 60);
        if small(first) && small(second) && self.sources.text(item.span) == text {
            self.problems.push(
                Problem::new(
                    Severity::Warning,
                    item.span,
                    path.to_string(),
                    format!("`{text}` is a number to base 60 for some YAML readers"),
                )
                .help(format!("quote it: \"{text}\"")),
            );
        }
    }

    fn room_for(&mut self, count: usize, item: &Node, path: &KeyPath<'_>) -> bool {
        let room = count <= self.ports_left;
        if room {
            self.ports_left -= count;
        } else {
            self.ports_left = 0;
            let message = "too many ports are published".to_owned();
            self.problems.push(Problem::error(item.span, path.to_string(), message));
        }
        room
    }

    /// A long port may publish a range: one entry for each.
    fn long_port(&mut self, mut item: Node, path: &KeyPath<'_>, ports: &mut Vec<Node>) {
        let Some(map) = item.as_map_mut() else { return };
        let Some(published) = map.get_mut("published") else {
            ports.push(item);
            return;
        };
        let Value::Str(text) = &published.node.value else {
            ports.push(item);
            return;
        };
        if text.is_empty() {
            map.shift_remove("published");
            ports.push(item);
            return;
        }
        let range = format!("{text}:1");
        match port::parse(&range) {
            Ok(read) => {
                let span = published.node.span;
                if !self.room_for(read.len(), &Node::new(Value::Null, span), path) {
                    return;
                }
                for one in read {
                    let mut copy = item.clone();
                    if let Some(entry) = copy.as_map_mut().and_then(|m| m.get_mut("published")) {
                        entry.node.value = Value::Int(one.published.unwrap_or(0).into());
                    }
                    if one.published.is_none()
                        && let Some(map) = copy.as_map_mut()
                    {
                        map.shift_remove("published");
                    }
                    ports.push(copy);
                }
            }
            Err(error) => {
                let message = format!("`{text}` is not a port: {error}");
                let path = path.key("published");
                self.bad(&mut published.node, message, PORTS, None, &path);
            }
        }
    }

    /// Moves the name out of the old form `external: {name: x}`, in every entry of a section.
    pub fn external_names(&mut self, section: &mut Node, path: &KeyPath<'_>) {
        let Some(map) = section.as_map_mut() else { return };
        for (key, entry) in map.iter_mut() {
            let Some(thing) = entry.node.as_map_mut() else { continue };
            let old = thing.get_mut("external").and_then(|e| e.node.as_map_mut());
            let Some(name) = old.and_then(|map| map.shift_remove("name")) else { continue };
            if let Some(own) = thing.get("name") {
                self.problems.push(
                    Problem::error(
                        name.key,
                        path.key(key).key("external").to_string(),
                        "`external.name` and `name` are both given",
                    )
                    .related(own.key, "the other name")
                    .help("keep `name`, and `external: true`"),
                );
                continue;
            }
            thing.insert("name", name);
        }
    }
}

const PORTS: &str = "a port from 0 to 65535, or a range such as 8000-8010";

const PORT: Shape = shape(
    "ports",
    &[
        field("name", &TEXT),
        field("mode", &Kind::OneOf(&["ingress", "host"])),
        field("host_ip", &TEXT),
        // The short form may say 0 as well; `check` refuses it.
        field("target", &Kind::Int { min: 0, max: 65535 }),
        field("published", &crate::schema::WORD),
        field("protocol", &Kind::OneOf(&["tcp", "udp", "sctp"])),
        field("app_protocol", &TEXT),
    ],
)
.required(&["target"]);

const DEVICE: Shape = shape(
    "devices",
    &[field("source", &TEXT), field("target", &TEXT), field("permissions", &TEXT)],
)
.required(&["source"]);

const EXTERNAL: Shape = shape("external", &[field("name", &TEXT)]);

/// A text becomes a mapping with it under `key`.
fn wrap(node: &mut Node, key: &str) {
    if let Value::Str(text) = &node.value {
        node.value = map_of([(key, Value::Str(text.clone()))], node.span);
    }
}
