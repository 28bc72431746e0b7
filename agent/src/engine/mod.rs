//! The local engine: what the agent wants of it ([`Containers`]) and how Docker does that ([`Docker`]).
//!
//! Every verb has a deadline and may be repeated. The answer to each is done, refused (with the
//! engine's words), or unknown. Containers of ours are found again by their labels, see [`labels`].
//!
//! Read `create` for how a task becomes a container, `image` for when an image is pulled, `seen` for
//! how a container's state is read, `http` for the wire.

pub mod create;
pub mod docker;
pub mod files;
pub mod http;
pub mod image;
pub mod seen;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use model::object::NodeDescription;
use model::spec::Hook;
use model::{Millis, TaskId};
use serde_json::Value;

pub use docker::Docker;
pub use http::EngineError;
pub use image::ImageWish;
pub use seen::{Place, Seen};

use crate::plane::Sent;

/// The labels by which the agent knows its containers again.
pub mod labels {
    /// The task's id.
    pub const TASK: &str = "swarmctl.task";
    /// The container's name. A container that carries the labels of ours under another name was made
    /// by somebody else, from an image committed from one of ours.
    pub const NAME: &str = "swarmctl.name";
}

/// Something happened to a container of ours; look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    pub task: TaskId,
    /// `start`, `die`, `health_status`, `destroy` …
    pub action: String,
}

/// A hook's command has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEnd {
    pub exit_code: i64,
    /// What it printed, at most a few KiB.
    pub output: String,
}

/// What the agent wants of an engine.
pub trait Containers: Send + Sync + 'static {
    /// Has the image here when it returns.
    ///
    /// # Errors
    /// As [`EngineError`] says; a refusal names the image.
    fn ensure_image(&self, wish: ImageWish) -> Sent<'_, Result<(), EngineError>>;

    /// Makes a container from an engine's own create body and connects it to further networks (name,
    /// endpoint settings). Gives its id. One that exists under that name with our task label is taken.
    ///
    /// # Errors
    /// As [`EngineError`] says; a half-made container is removed.
    fn create(&self, made: create::Made) -> Sent<'_, Result<String, EngineError>>;

    /// # Errors
    /// As [`EngineError`] says. Starting what runs is none.
    fn start(&self, container: &str) -> Sent<'_, Result<(), EngineError>>;

    /// Stop signal, grace, kill; returns when it has ended. Without a grace: the container's own.
    ///
    /// # Errors
    /// As [`EngineError`] says. Stopping what does not run is none.
    fn stop(&self, container: &str, grace: Option<Millis>) -> Sent<'_, Result<(), EngineError>>;

    /// # Errors
    /// As [`EngineError`] says. Killing what does not run is none.
    fn kill(&self, container: &str) -> Sent<'_, Result<(), EngineError>>;

    /// Removes a container that has ended, and its anonymous volumes.
    ///
    /// # Errors
    /// As [`EngineError`] says. Removing what is not there is none.
    fn remove(&self, container: &str) -> Sent<'_, Result<(), EngineError>>;

    /// Looks at one container by id or name; none when there is none.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    fn inspect(&self, container: &str) -> Sent<'_, Result<Option<Seen>, EngineError>>;

    /// Every container of ours, by task.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    fn list(&self) -> Sent<'_, Result<BTreeMap<TaskId, Seen>, EngineError>>;

    /// What happens to containers of ours from now on. Ends when the engine goes away.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    fn watch(&self) -> Sent<'_, Result<BoxStream<'static, Happened>, EngineError>>;

    /// Runs a command inside a container and waits for its end.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    fn exec(&self, container: &str, hook: &Hook) -> Sent<'_, Result<HookEnd, EngineError>>;

    /// What the engine says of itself and the host (`GET /info`).
    ///
    /// # Errors
    /// As [`EngineError`] says.
    fn info(&self) -> Sent<'_, Result<Value, EngineError>>;

    /// Any other request (logs, stats, exec streams): status, headers, and bytes both ways.
    ///
    /// # Errors
    /// As [`EngineError`] says; an answer of any status is none.
    fn request(
        &self,
        request: ::http::Request<http::Body>,
    ) -> Sent<'_, Result<::http::Response<hyper::body::Incoming>, EngineError>>;
}

/// The host in the words of the cluster, from the engine's `GET /info`.
#[must_use]
pub fn describe(info: &Value, hostname: &str, address: &str) -> NodeDescription {
    let text = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let number = |key: &str| info.get(key).and_then(Value::as_i64).unwrap_or(0);
    let list = |value: Option<&Value>| -> Vec<String> {
        let names = value.and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let labels = list(info.get("Labels"))
        .into_iter()
        .map(|label| match label.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (label, String::new()),
        })
        .collect();
    let plugins = ["Volume", "Network", "Log"]
        .into_iter()
        .map(|kind| {
            let mut names = list(info.get("Plugins").and_then(|p| p.get(kind)));
            // Ours: the cluster's overlay is on every node, whatever the engine has.
            if kind == "Network" && !names.iter().any(|n| n == "overlay") {
                names.push(String::from("overlay"));
            }
            (kind.to_owned(), names)
        })
        .collect();
    let mut description = NodeDescription {
        hostname: hostname.to_owned(),
        address: address.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..NodeDescription::default()
    };
    description.platform.architecture = text("Architecture");
    description.platform.os = text("OSType");
    description.resources.nano_cpus = number("NCPU").saturating_mul(1_000_000_000);
    description.resources.memory_bytes = number("MemTotal");
    description.engine.version = text("ServerVersion");
    description.engine.labels = labels;
    description.engine.plugins = plugins;
    description
}

/// Bytes for a body that is JSON.
#[must_use]
pub fn json_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
