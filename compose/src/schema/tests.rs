//! Tests of the tables: complete, and told in the documentation.

use super::service::SERVICE_SHAPE;
use super::*;

/// The keys of a service in the Compose Specification, as of 2026.
const SPECIFICATION: [&str; 93] = [
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
    "cgroupns_mode",
];

#[test]
fn every_key_of_the_specification_has_a_fate() {
    for key in SPECIFICATION {
        let field = SERVICE_SHAPE.field(key).unwrap_or_else(|| panic!("{key} is not in the table"));
        match field.fate {
            Fate::Carried(place) => assert!(!place.is_empty(), "{key}"),
            Fate::Used(purpose) => assert!(!purpose.is_empty(), "{key}"),
            Fate::Noted(reason) => assert!(!reason.is_empty(), "{key}"),
        }
    }
}

#[test]
fn keys_are_in_the_order_of_the_alphabet_and_given_once() {
    let names: Vec<&str> = SERVICE_SHAPE.fields.iter().map(|f| f.name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
}

#[test]
fn the_documentation_says_what_becomes_of_every_key() {
    let told = include_str!("../../../docs/compose.md");
    let rows: Vec<String> = SERVICE_SHAPE
        .fields
        .iter()
        .map(|field| match field.fate {
            Fate::Carried(place) => format!("| `{}` | `{place}` |", field.name),
            Fate::Used(purpose) => format!("| `{}` | {purpose} |", field.name),
            Fate::Noted(reason) => format!("| `{}` | note: {reason} |", field.name),
        })
        .collect();
    let missing: Vec<&String> =
        rows.iter().filter(|row| !told.lines().any(|line| line == row.as_str())).collect();
    assert!(missing.is_empty(), "docs/compose.md lacks:\n{missing:#?}");
}

#[test]
fn the_keys_of_a_service_are_in_the_order_of_their_names() {
    assert!(SERVICE_SHAPE.fields.iter().map(|f| f.name).is_sorted());
    assert!(SERVICE_SHAPE.fields.iter().all(|f| SERVICE_SHAPE.field(f.name).is_some()));
}

#[test]
fn every_key_that_is_carried_to_the_engine_is_known_as_such() {
    for field in SERVICE_SHAPE.fields {
        let carried = matches!(field.fate, Fate::Carried(place) if place.contains(".Engine."));
        assert_eq!(field.of_engine, carried, "{}", field.name);
    }
}
