//! What a service mounts.

use model::spec::{BindOptions, Driver, Extra, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
use serde_json::json;

use super::{Source, flag, is_external, string, text_map};
use crate::yaml::Node;

/// The mounts of a service, in the order of the file; those of `volumes_from` follow.
pub(super) fn mounts(source: &Source<'_>, service: &Node) -> Vec<Mount> {
    let mut out: Vec<Mount> = own(source, service);
    for from in service.strings("volumes_from") {
        let (name, read_only) = match from.split_once(':') {
            Some((name, options)) => (name.to_owned(), options == "ro"),
            None => (from, false),
        };
        let Some(other) = source.definition("services", &name) else { continue };
        for mut mount in own(source, other) {
            if out.iter().all(|m| m.target != mount.target) {
                mount.read_only |= read_only;
                out.push(mount);
            }
        }
    }
    if flag(service, "use_api_socket") {
        const SOCKET: &str = "/var/run/docker.sock";
        if out.iter().all(|m| m.target != SOCKET) {
            out.push(Mount {
                r#type: "bind".to_owned(),
                source: SOCKET.to_owned(),
                target: SOCKET.to_owned(),
                ..Mount::default()
            });
        }
    }
    out
}

/// Names of the volumes in use that must exist before.
pub(super) fn external(source: &Source<'_>) -> Vec<String> {
    let mut out: Vec<String> = source
        .section("volumes")
        .into_iter()
        .flatten()
        .filter(|(_, e)| is_external(&e.node))
        .map(|(key, _)| source.full_name("volumes", key))
        .collect();
    out.sort();
    out
}

fn own(source: &Source<'_>, service: &Node) -> Vec<Mount> {
    service
        .get("volumes")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter(|n| n.as_map().is_some())
        .map(|node| mount(source, node))
        .collect()
}

fn mount(source: &Source<'_>, node: &Node) -> Mount {
    let kind = node.str("type").unwrap_or("volume");
    let base = Mount {
        r#type: kind.to_owned(),
        source: string(node, "source"),
        target: string(node, "target"),
        read_only: flag(node, "read_only"),
        consistency: string(node, "consistency"),
        ..Mount::default()
    };
    match kind {
        "volume" | "" => volume(source, node, base),
        "bind" | "npipe" => {
            Mount { bind_options: node.get("bind").filter(|b| asks(b)).map(bind), ..base }
        }
        "tmpfs" => Mount {
            tmpfs_options: node.get("tmpfs").map(|t| TmpfsOptions {
                size_bytes: super::int(t, "size").unwrap_or(0),
                mode: super::int(t, "mode").and_then(|m| u32::try_from(m).ok()).unwrap_or(0),
                ..TmpfsOptions::default()
            }),
            ..base
        },
        "image" => Mount {
            image_options: node
                .get("image")
                .map(|i| ImageOptions { subpath: string(i, "subpath"), ..ImageOptions::default() }),
            ..base
        },
        "cluster" => cluster(source, base),
        _ => base,
    }
}

fn volume(source: &Source<'_>, node: &Node, mut base: Mount) -> Mount {
    if base.source.is_empty() {
        // The engine makes one of its own for each task.
        return base;
    }
    let key = std::mem::take(&mut base.source);
    let definition = source.definition("volumes", &key);
    base.source = source.full_name("volumes", &key);
    let mut options = VolumeOptions::default();
    if let Some(given) = node.get("volume") {
        options.no_copy = flag(given, "nocopy");
        options.subpath = string(given, "subpath");
    }
    if !definition.is_some_and(is_external) {
        options.labels = source.labels(definition);
        if let Some(given) = node.get("volume") {
            options.labels.extend(text_map(given, "labels"));
        }
        if let Some(definition) = definition {
            let name = string(definition, "driver");
            let driver_options = text_map(definition, "driver_opts");
            if !name.is_empty() || definition.get("driver_opts").is_some() {
                options.driver_config = Some(Driver { name, options: driver_options });
            }
        }
    }
    base.volume_options = Some(options);
    base
}

/// True unless all it says is a label, which a mount request cannot carry.
fn asks(bind: &Node) -> bool {
    bind.as_map().is_some_and(|map| map.is_empty() || map.keys().any(|key| key != "selinux"))
}

fn bind(node: &Node) -> BindOptions {
    let mut extra = Extra::new();
    let recursive = node.str("recursive").unwrap_or("");
    match recursive {
        "writable" => {
            extra.insert("ReadOnlyNonRecursive".to_owned(), json!(true));
        }
        "readonly" => {
            extra.insert("ReadOnlyForceRecursive".to_owned(), json!(true));
        }
        _ => {}
    }
    BindOptions {
        propagation: string(node, "propagation"),
        non_recursive: recursive == "disabled",
        create_mountpoint: flag(node, "create_host_path"),
        extra,
    }
}

fn cluster(source: &Source<'_>, mut base: Mount) -> Mount {
    if !base.source.starts_with("group:") {
        base.source = source.full_name("volumes", &base.source);
    }
    base.extra.insert("ClusterOptions".to_owned(), json!({}));
    base
}
