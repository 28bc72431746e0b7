//! An image as layers and configuration, and the archive of several for `docker load`.
//!
//! Format: the archive of `docker save` (`manifest.json`, one configuration per image, layers by
//! digest). A layer that several images share is in it once.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::tar::{TarError, Tree};

/// The creation time in every image: fixed, for the same content to give the same image.
pub const CREATED: &str = "2026-11-01T00:00:00Z";

/// A file system layer, uncompressed.
#[derive(Clone, Debug)]
pub struct Layer {
    pub tree: Tree,
    /// Shown by `docker history`.
    pub made_by: String,
}

/// One image and the names it goes by.
#[derive(Clone, Debug)]
pub struct Image {
    pub tags: Vec<String>,
    /// Bottom first, as places in the list of layers given to [`archive`].
    pub layers: Vec<usize>,
    pub config: Config,
}

/// The part of Docker's image configuration that we use, in Docker's words.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What asks the program to end, where that is not SIGTERM.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Empty {}

/// Times in nanoseconds, as Docker has them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub start_interval: u64,
    pub retries: u32,
}

/// Everything in one archive for `docker load`.
///
/// # Errors
/// [`TarError`] when a path does not fit.
pub fn archive(layers: &[Layer], images: &[Image]) -> Result<Vec<u8>, TarError> {
    let mut out = Tree::default();
    let mut digests = Vec::new();
    for layer in layers {
        let content = layer.tree.archive()?;
        digests.push(digest(&content));
        out.file(&blob(&digests[digests.len() - 1]), 0o644, content);
    }
    let mut manifest = Vec::new();
    for image in images {
        let of = |layer: &usize| digests[*layer].as_str();
        let config = configuration(image, layers, &image.layers.iter().map(of).collect::<Vec<_>>());
        let path = blob(&digest(config.as_bytes()));
        out.file(&path, 0o644, config);
        manifest.push(json!({
            "Config": path,
            "RepoTags": image.tags,
            "Layers": image.layers.iter().map(|layer| blob(of(layer))).collect::<Vec<_>>(),
        }));
    }
    out.file("manifest.json", 0o644, Value::Array(manifest).to_string());
    out.archive()
}

/// The image's id is the digest of this text.
fn configuration(image: &Image, layers: &[Layer], digests: &[&str]) -> String {
    let history = image
        .layers
        .iter()
        .map(|layer| json!({"created": CREATED, "created_by": layers[*layer].made_by}));
    let settings = json!({
        "created": CREATED,
        "created_by": format!("configuration of {}", image.tags.join(", ")),
        "empty_layer": true,
    });
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": CREATED,
        "config": image.config,
        "rootfs": {
            "type": "layers",
            "diff_ids": digests.iter().map(|hex| format!("sha256:{hex}")).collect::<Vec<_>>(),
        },
        "history": history.chain([settings]).collect::<Vec<_>>(),
    })
    .to_string()
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn digest(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

/// This machine's architecture in Docker's words; our programs are built for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
