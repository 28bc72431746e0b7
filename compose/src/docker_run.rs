//! `docker run` line, or a container that is there, to Compose file.
//!
//! Input: the words of the line, or what `docker inspect` says ([`inspected`]). Output: a document with one service, and what could not be said
//! in it. Deliberately absent: running anything, or asking an engine about the image.

mod flags;
mod inspect;

pub use inspect::inspected;

use crate::source::Span;
use crate::yaml::emit::emit;
use crate::yaml::{Entry, Map, Node, Value};
use flags::{Flag, Takes};

/// A Compose file made of a command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    pub yaml: String,
    /// Options that have no place in the file, and why.
    pub notes: Vec<String>,
}

/// Why a line could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    #[error("there is no option `{option}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown { option: String, near: Option<String> },
    #[error("the option `{0}` needs a value")]
    NoValue(String),
    #[error("the line names no image")]
    NoImage,
    #[error("the line is not `docker run …` or `docker create …`")]
    NotRun,
    #[error("this is no command line: {0}")]
    Words(String),
    #[error("this is not what `docker inspect` says of one container")]
    NotContainer,
}

/// Makes a Compose file of the words of a `docker run` line; `docker run` itself may be left out.
///
/// # Errors
/// When the words are no such line.
pub fn convert(words: &[String]) -> Result<Converted, ConvertError> {
    let mut words = words.iter().map(String::as_str).peekable();
    if words.peek().is_some_and(|w| matches!(*w, "docker" | "podman")) {
        words.next();
        if words.peek() == Some(&"container") {
            words.next();
        }
        match words.next() {
            Some("run" | "create") => {}
            _ => return Err(ConvertError::NotRun),
        }
    } else if words.peek().is_some_and(|w| matches!(*w, "run" | "create")) {
        words.next();
    }
    let mut made = Making::default();
    let mut image = None;
    while let Some(word) = words.next() {
        if word == "--" {
            image = words.next();
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let flag = flags::long(name).ok_or_else(|| ConvertError::Unknown {
                option: format!("--{name}"),
                near: flags::near(name),
            })?;
            let value = match (flag.takes, value) {
                (Takes::Nothing, given) => given.unwrap_or_else(|| "true".to_owned()),
                (Takes::Value, Some(given)) => given,
                (Takes::Value, None) => words
                    .next()
                    .map(str::to_owned)
                    .ok_or_else(|| ConvertError::NoValue(format!("--{name}")))?,
            };
            made.option(flag, &value);
        } else if let Some(shorts) = word.strip_prefix('-').filter(|s| !s.is_empty()) {
            let mut rest = shorts;
            while let Some(letter) = rest.chars().next() {
                rest = &rest[letter.len_utf8()..];
                let flag = flags::short(letter).ok_or_else(|| ConvertError::Unknown {
                    option: format!("-{letter}"),
                    near: None,
                })?;
                if flag.takes == Takes::Nothing {
                    made.option(flag, "true");
                    continue;
                }
                let value = if rest.is_empty() {
                    words
                        .next()
                        .map(str::to_owned)
                        .ok_or_else(|| ConvertError::NoValue(format!("-{letter}")))?
                } else {
                    rest.trim_start_matches('=').to_owned()
                };
                made.option(flag, &value);
                break;
            }
        } else {
            image = Some(word);
            break;
        }
    }
    let image = image.ok_or(ConvertError::NoImage)?;
    made.set("image", text(image));
    let command: Vec<Value> = words.map(text).collect();
    if !command.is_empty() {
        made.set("command", list(command));
    }
    Ok(made.finish(image))
}

/// What a named volume is called outside the file.
#[derive(Clone, Copy, Default)]
enum VolumeNames {
    /// As every volume of a stack: after the stack.
    #[default]
    Stack,
    /// As here: a container's data is to be found again.
    Kept,
}

#[derive(Default)]
struct Making {
    service: Map,
    name: Option<String>,
    volumes: Vec<String>,
    volume_names: VolumeNames,
    networks: Vec<String>,
    aliases: Vec<String>,
    notes: Vec<String>,
}

impl Making {
    fn option(&mut self, flag: &Flag, value: &str) {
        match flag.to {
            flags::To::Text(key) => self.set(key, text(value)),
            flags::To::Bool(key) => self.set(key, Value::Bool(value != "false")),
            flags::To::Item(key) => self.push(key, text(value)),
            flags::To::Pair(key) => self.push(key, text(value)),
            flags::To::Under(outer, inner) => {
                let map = self.map(outer);
                map.insert(inner.to_owned(), entry(text(value)));
            }
            flags::To::Nothing(reason) => {
                self.notes.push(format!("--{} is left out: {reason}", flag.name));
            }
            flags::To::Name => self.name = Some(value.to_owned()),
            flags::To::Volume => self.volume(value),
            flags::To::Mount => self.mount(value),
            flags::To::Network => self.network(value),
            flags::To::Alias => self.aliases.push(value.to_owned()),
            flags::To::Seconds(key) => self.set(key, text(&format!("{value}s"))),
            flags::To::Restart => self.set("restart", text(value)),
            flags::To::Health(key) => {
                let value = match key {
                    "retries" => value.parse().map_or_else(|_| text(value), Value::Int),
                    _ => text(value),
                };
                self.map("healthcheck").insert(key.to_owned(), entry(value));
            }
            flags::To::NoHealth => {
                self.map("healthcheck").insert("disable", entry(Value::Bool(true)));
            }
            flags::To::Ulimit => self.ulimit(value),
            flags::To::Int(key) => {
                self.set(key, value.parse().map_or_else(|_| text(value), Value::Int));
            }
            flags::To::Gpus => {
                if value == "all" {
                    self.set("gpus", text(value));
                } else {
                    self.set("gpus", list(vec![Value::Map(gpu_request(value))]));
                }
            }
            flags::To::LogOption => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                let logging = self.map("logging");
                let options =
                    logging.get_or_insert_with("options", || entry(Value::Map(Map::new())));
                if let Some(map) = options.node.as_map_mut() {
                    map.insert(key.to_owned(), entry(text(value)));
                }
            }
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        self.service.insert(key.to_owned(), entry(value));
    }

    fn push(&mut self, key: &str, value: Value) {
        let slot = self.service.get_or_insert_with(key, || entry(Value::List(Vec::new())));
        if let Value::List(items) = &mut slot.node.value {
            items.push(node(value));
        }
    }

    fn map(&mut self, key: &str) -> &mut Map {
        let slot = self.service.get_or_insert_with(key, || entry(Value::Map(Map::new())));
        if slot.node.as_map().is_none() {
            slot.node.value = Value::Map(Map::new());
        }
        slot.node.as_map_mut().expect("it was just made one")
    }

    fn volume(&mut self, value: &str) {
        if let Ok(parts) = crate::quantity::volume::parse(value)
            && !parts.source.is_empty()
            && !crate::quantity::volume::is_path(&parts.source)
        {
            self.volumes.push(parts.source);
        }
        self.push("volumes", text(value));
    }

    /// `type=volume,source=x,target=/y,readonly`
    fn mount(&mut self, value: &str) {
        let mut long = Map::new();
        long.insert("type".to_owned(), entry(text("volume")));
        for part in value.split(',') {
            let (key, given) = part.split_once('=').unwrap_or((part, "true"));
            let (key, value) = match key {
                "type" => ("type", text(given)),
                "source" | "src" => ("source", text(given)),
                "target" | "dst" | "destination" => ("target", text(given)),
                "readonly" | "ro" => ("read_only", Value::Bool(given != "false" && given != "0")),
                _ => {
                    let (outer, inner, value) = match key {
                        "bind-propagation" => ("bind", "propagation", text(given)),
                        "volume-nocopy" => ("volume", "nocopy", Value::Bool(given != "false")),
                        "volume-subpath" => ("volume", "subpath", text(given)),
                        "tmpfs-size" => ("tmpfs", "size", text(given)),
                        "tmpfs-mode" => ("tmpfs", "mode", text(given)),
                        _ => {
                            self.notes.push(format!("`{part}` of --mount is left out"));
                            continue;
                        }
                    };
                    let slot = long.get_or_insert_with(outer, || entry(Value::Map(Map::new())));
                    if let Some(options) = slot.node.as_map_mut() {
                        options.insert(inner.to_owned(), entry(value));
                    }
                    continue;
                }
            };
            long.insert(key.to_owned(), entry(value));
        }
        let get = |key: &str| long.get(key).and_then(|e| e.node.as_str()).unwrap_or("");
        if get("type") == "volume" && !get("source").is_empty() {
            self.volumes.push(get("source").to_owned());
        }
        self.push("volumes", Value::Map(long));
    }

    fn network(&mut self, value: &str) {
        let name = value
            .split(',')
            .find_map(|part| part.strip_prefix("name="))
            .unwrap_or(value)
            .to_owned();
        match name.as_str() {
            "host" | "none" => self.set("network_mode", text(&name)),
            "bridge" | "default" => {}
            _ => self.networks.push(name),
        }
    }

    fn ulimit(&mut self, value: &str) {
        let Some((name, limits)) = value.split_once('=') else { return };
        let number = |t: &str| t.parse().map_or_else(|_| text(t), Value::Int);
        let value = match limits.split_once(':') {
            Some((soft, hard)) => Value::Map(Map::from_iter([
                ("soft".to_owned(), entry(number(soft))),
                ("hard".to_owned(), entry(number(hard))),
            ])),
            None => number(limits),
        };
        self.map("ulimits").insert(name.to_owned(), entry(value));
    }

    fn finish(mut self, image: &str) -> Converted {
        if !self.networks.is_empty() {
            let uses = self.networks.iter().map(|name| {
                let value = if self.aliases.is_empty() {
                    Value::Null
                } else {
                    let aliases = self.aliases.iter().map(|a| text(a)).collect();
                    Value::Map(Map::from_iter([("aliases".to_owned(), entry(list(aliases)))]))
                };
                (name.clone(), entry(value))
            });
            let uses = Value::Map(uses.collect());
            self.service.insert("networks".to_owned(), entry(uses));
        }
        let name = self.name.take().map_or_else(|| name_of(image), |name| name_of(&name));
        let service = Value::Map(std::mem::take(&mut self.service));
        let mut file = Map::new();
        let services = Map::from_iter([(name, entry(service))]);
        file.insert("services".to_owned(), entry(Value::Map(services)));
        let networks = std::mem::take(&mut self.networks);
        section(&mut file, "networks", networks, |_| {
            Value::Map(Map::from_iter([("external".to_owned(), entry(Value::Bool(true)))]))
        });
        let volumes = std::mem::take(&mut self.volumes);
        section(&mut file, "volumes", volumes, |name| match self.volume_names {
            VolumeNames::Stack => Value::Map(Map::new()),
            VolumeNames::Kept => {
                Value::Map(Map::from_iter([("name".to_owned(), entry(text(name)))]))
            }
        });
        // What the line says is meant literally: no variable of the file is in it.
        let mut root = node(Value::Map(file));
        crate::document::escape(&mut root);
        Converted { yaml: emit(&root), notes: self.notes }
    }
}

fn section(file: &mut Map, name: &str, keys: Vec<String>, value: impl Fn(&str) -> Value) {
    if !keys.is_empty() {
        let map: Map = keys
            .into_iter()
            .map(|key| {
                let value = entry(value(&key));
                (key, value)
            })
            .collect();
        file.insert(name.to_owned(), entry(Value::Map(map)));
    }
}

/// `2`, `count=2`, `"device=0,1"`, `driver=nvidia,capabilities=utility`.
fn gpu_request(value: &str) -> Map {
    let mut request = Map::new();
    let mut key = "count";
    for part in value.trim_matches(['"', '\'']).split(',') {
        let value = match part.split_once('=') {
            Some((name, value)) => {
                key = match name {
                    "device" => "device_ids",
                    "capabilities" => "capabilities",
                    "driver" => "driver",
                    _ => "count",
                };
                value
            }
            // A further value of the same key.
            None => part,
        };
        if key == "count" || key == "driver" {
            request.insert(key.to_owned(), entry(text(value)));
            continue;
        }
        let slot = request.get_or_insert_with(key, || entry(list(Vec::new())));
        if let Value::List(items) = &mut slot.node.value {
            items.push(node(text(value)));
        }
    }
    request
}

/// The last part of an image's name, as the name of a service.
fn name_of(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split([':', '@']).next().unwrap_or("");
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.chars().filter(|&c| fine(c)).collect();
    if name.is_empty() { "app".to_owned() } else { name }
}

fn text(value: &str) -> Value {
    Value::Str(value.into())
}

fn list(values: Vec<Value>) -> Value {
    Value::List(values.into_iter().map(node).collect())
}

fn node(value: Value) -> Node {
    Node::new(value, Span::default())
}

fn entry(value: Value) -> Entry {
    Entry { key: Span::default(), node: node(value) }
}

#[cfg(test)]
mod tests;
