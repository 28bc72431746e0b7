//! Who this instance is and where it listens, read from the environment once at start.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::metrics::Metrics;

/// What every answer and log line of this process says about itself.
pub struct Instance {
    /// The service's name as in the stack file: `customers`, `webapp` …
    pub service: &'static str,
    /// `X-Instance`: the host name, which Docker sets to the container's short id or chosen name.
    pub host: String,
    /// `X-Version`: the image's version, from `SAMPLE_VERSION`.
    pub version: String,
    pub metrics: Metrics,
    /// Set once the process was asked to stop; answers then close their connection.
    pub stopping: AtomicBool,
}

impl Instance {
    pub fn new(service: &'static str, host: String, version: String) -> Arc<Self> {
        let metrics = Metrics::default();
        Arc::new(Self { service, host, version, metrics, stopping: AtomicBool::new(false) })
    }

    /// Takes host name and version from the environment.
    pub fn from_env(service: &'static str) -> Arc<Self> {
        Self::new(service, host_name(), text("SAMPLE_VERSION", "1"))
    }
}

/// A variable that is not one that can be used.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {name} is {value:?}, wanted {wanted}")]
pub struct BadVariable {
    pub name: &'static str,
    pub value: String,
    pub wanted: &'static str,
}

/// The variable's text, or `default` when it is unset or empty.
pub fn text(name: &'static str, default: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => default.to_owned(),
    }
}

/// A port number, or `default` when the variable is unset or empty.
///
/// # Errors
/// [`BadVariable`] for anything that is not 1..=65535.
pub fn port(name: &'static str, default: u16) -> Result<u16, BadVariable> {
    let value = text(name, "");
    if value.is_empty() {
        return Ok(default);
    }
    match value.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(BadVariable { name, value, wanted: "a port number, 1 to 65535" }),
    }
}

/// Where to listen, best first: every address of both families, else (no IPv6 here) IPv4 alone.
pub fn listen_addresses(port: u16) -> [SocketAddr; 2] {
    [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
}

/// The host name: Docker's `HOSTNAME`, else the kernel's.
pub fn host_name() -> String {
    let named = text("HOSTNAME", "");
    if !named.is_empty() {
        return named;
    }
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}
