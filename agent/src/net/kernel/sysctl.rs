//! Kernel settings of this host. None is fatal: in a namespace some belong to the whole machine.

use std::fs;
use std::path::{Path, PathBuf};

use tracing::debug;

/// Neighbour table sizes: a container has one entry for each task that it talks to, all
/// namespaces together share these limits, and the defaults (128, 512, 1024) are for one LAN.
const NEIGHBOURS: [(&str, u32); 3] = [
    ("net/ipv4/neigh/default/gc_thresh1", 8_192),
    ("net/ipv4/neigh/default/gc_thresh2", 32_768),
    ("net/ipv4/neigh/default/gc_thresh3", 65_536),
];
/// Loose: an answer to a client's address may come in by another bridge than its own route's.
const REVERSE_PATH_LOOSE: u32 = 2;

/// Settings that hold for the host as a whole.
pub fn prepare_host() {
    at_least("net/ipv4/ip_forward", 1);
    for (key, value) in NEIGHBOURS.iter().rev() {
        at_least(key, *value);
    }
}

/// Settings of one of our bridges.
pub fn prepare_bridge(bridge: &str) {
    at_least(&format!("net/ipv4/conf/{bridge}/rp_filter"), REVERSE_PATH_LOOSE);
    // The overlay is IPv4; a link-local address would be flooded for nothing.
    set(&format!("net/ipv6/conf/{bridge}/disable_ipv6"), "1");
}

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}

fn at_least(key: &str, value: u32) {
    let now = fs::read_to_string(path(key)).ok().and_then(|text| text.trim().parse::<u32>().ok());
    if now.is_none_or(|now| now < value) {
        set(key, &value.to_string());
    }
}

fn set(key: &str, value: &str) {
    if let Err(error) = fs::write(path(key), value) {
        debug!(key, value, %error, "a kernel setting stays as it is");
    }
}
