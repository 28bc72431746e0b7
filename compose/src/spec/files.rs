//! Secrets and configs: their content, and their uses by a service.

use model::spec::{
    ConfigReference, ConfigSpec, Driver, Empty, FileTarget, SecretReference, SecretSpec,
};

use super::{MOST_CONTENT, Source, Specs, is_external, string, text_map};
use crate::input::ReadError;
use crate::path::KeyPath;
use crate::problem::Problem;
use crate::yaml::{Node, Text};

/// The most that a secret or config may hold, in bytes: Docker's limits.
const SECRET_BYTES: usize = 500 * 1024;
const CONFIG_BYTES: usize = 1000 * 1024;

/// Requests for the stack's own secrets.
pub(super) fn secrets(source: &Source<'_>, out: &mut Specs, problems: &mut Vec<Problem>) {
    for (key, entry) in sorted(source, "secrets") {
        let name = source.full_name("secrets", key);
        if is_external(entry) {
            out.external.secrets.push(name);
            continue;
        }
        let driver = entry.str("driver").filter(|d| !d.is_empty()).map(|driver| Driver {
            name: driver.to_owned(),
            options: text_map(entry, "driver_opts"),
        });
        let data = if driver.is_some() {
            String::new()
        } else {
            content(source, "secrets", key, entry, SECRET_BYTES, problems)
        };
        out.secrets.push(SecretSpec {
            name,
            labels: source.labels(Some(entry)),
            data,
            driver,
            templating: templating(entry),
            ..SecretSpec::default()
        });
    }
    out.secrets.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Requests for the stack's own configs.
pub(super) fn configs(source: &Source<'_>, out: &mut Specs, problems: &mut Vec<Problem>) {
    for (key, entry) in sorted(source, "configs") {
        let name = source.full_name("configs", key);
        if is_external(entry) {
            out.external.configs.push(name);
            continue;
        }
        out.configs.push(ConfigSpec {
            name,
            labels: source.labels(Some(entry)),
            data: content(source, "configs", key, entry, CONFIG_BYTES, problems),
            templating: templating(entry),
            ..ConfigSpec::default()
        });
    }
    out.configs.sort_by(|a, b| a.name.cmp(&b.name));
}

fn sorted<'a>(source: &'a Source<'_>, section: &str) -> Vec<(&'a Text, &'a Node)> {
    let mut all: Vec<_> = source
        .section(section)
        .into_iter()
        .flatten()
        .map(|(key, entry)| (key, &entry.node))
        .filter(|(_, node)| node.as_map().is_some())
        .collect();
    all.sort_by_key(|(key, _)| *key);
    all
}

fn templating(node: &Node) -> Option<Driver> {
    node.str("template_driver")
        .filter(|d| !d.is_empty())
        .map(|name| Driver { name: name.to_owned(), ..Driver::default() })
}

/// The content in base64, from a file, a variable or the document itself.
fn content(
    source: &Source<'_>,
    section: &str,
    key: &str,
    node: &Node,
    most: usize,
    problems: &mut Vec<Problem>,
) -> String {
    let path = KeyPath::ROOT;
    let path = path.key(section);
    let path = path.key(key);
    let data = if let Some(file) = node.get("file").filter(|f| !f.is_empty()) {
        let name = file.as_str().unwrap_or("");
        match source.reader.read(name) {
            Ok(data) => data,
            Err(error) => {
                let help = match error {
                    ReadError::NotFound => "the path starts at the project's directory",
                    ReadError::Other(_) => "it must be a file that can be read",
                };
                problems.push(
                    Problem::error(
                        file.span,
                        path.key("file").to_string(),
                        format!("`{name}` cannot be read: {error}"),
                    )
                    .help(help),
                );
                return String::new();
            }
        }
    } else if let Some(variable) = node.get("environment").filter(|f| !f.is_empty()) {
        let name = variable.as_str().unwrap_or("");
        match (source.environment)(name) {
            Some(value) => value.into_bytes(),
            None => {
                problems.push(
                    Problem::error(
                        variable.span,
                        path.key("environment").to_string(),
                        format!("the variable `{name}` is not set"),
                    )
                    .help(format!("set {name}; its value becomes the content")),
                );
                return String::new();
            }
        }
    } else if let Some(text) = node.get("content") {
        text.as_str().unwrap_or("").as_bytes().to_vec()
    } else {
        return String::new();
    };
    let Some(left) = source.room.get().checked_sub(data.len()) else {
        let message = format!("more than {MOST_CONTENT} bytes of content in all");
        problems.push(Problem::error(node.span, path.to_string(), message));
        return String::new();
    };
    source.room.set(left);
    if data.len() > most {
        problems.push(
            Problem::error(node.span, path.to_string(), format!("{} bytes of content", data.len()))
                .allowed(format!("{most} bytes")),
        );
    }
    data_encoding::BASE64.encode(&data)
}

/// The secrets that a service uses, by name.
pub(super) fn secret_references(source: &Source<'_>, service: &Node) -> Vec<SecretReference> {
    let mut out: Vec<SecretReference> = service
        .get("secrets")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter(|n| n.as_map().is_some())
        .map(|node| SecretReference {
            file: Some(target(node)),
            secret_id: String::new(),
            secret_name: source.full_name("secrets", node.str("source").unwrap_or("")),
        })
        .collect();
    out.sort_by(|a, b| a.secret_name.cmp(&b.secret_name));
    out
}

/// The configs that a service uses, by name; one for its credential spec among them.
pub(super) fn config_references(source: &Source<'_>, service: &Node) -> Vec<ConfigReference> {
    let mut out: Vec<ConfigReference> = service
        .get("configs")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter(|n| n.as_map().is_some())
        .map(|node| ConfigReference {
            file: Some(target(node)),
            config_name: source.full_name("configs", node.str("source").unwrap_or("")),
            ..ConfigReference::default()
        })
        .collect();
    if let Some(config) = service.get("credential_spec").and_then(|c| c.str("config")) {
        out.push(ConfigReference {
            runtime: Some(Empty {}),
            config_name: source.full_name("configs", config),
            ..ConfigReference::default()
        });
    }
    out.sort_by(|a, b| a.config_name.cmp(&b.config_name));
    out
}

fn target(node: &Node) -> FileTarget {
    let or_root = |key: &str| {
        let given = string(node, key);
        if given.is_empty() { "0".to_owned() } else { given }
    };
    let name = node.str("target").filter(|t| !t.is_empty()).or(node.str("source")).unwrap_or("");
    let mode = node.get("mode").and_then(Node::as_int).and_then(|m| u32::try_from(m).ok());
    FileTarget {
        name: name.to_owned(),
        uid: or_root("uid"),
        gid: or_root("gid"),
        mode: mode.unwrap_or(0o444),
    }
}
