//! The container of a service's tasks.

use std::collections::BTreeSet;

use model::spec::{ContainerSpec, DnsConfig, HealthConfig, Privileges, Ulimit};
use serde_json::json;

use super::{Source, engine, files, flag, int, mounts, nanos, string, text_map};
use crate::path::KeyPath;
use crate::problem::Problem;
use crate::quantity::image;
use crate::yaml::Node;

/// `TaskTemplate.ContainerSpec` of a service.
pub(super) fn container(
    source: &Source<'_>,
    service: &Node,
    path: &KeyPath<'_>,
    problems: &mut Vec<Problem>,
) -> ContainerSpec {
    let given = service.str("image").unwrap_or("");
    let (capability_add, capability_drop) = capabilities(service);
    ContainerSpec {
        image: image::normal(given).unwrap_or_else(|_| given.to_owned()),
        labels: source.labels(Some(service)),
        command: service.strings("entrypoint"),
        args: service.strings("command"),
        hostname: string(service, "hostname"),
        env: variables(service),
        dir: string(service, "working_dir"),
        user: string(service, "user"),
        groups: service.strings("group_add"),
        privileges: Some(privileges(service)),
        init: service.get("init").and_then(Node::as_bool),
        stop_signal: string(service, "stop_signal"),
        tty: flag(service, "tty"),
        open_stdin: flag(service, "stdin_open"),
        read_only: flag(service, "read_only"),
        mounts: mounts::mounts(source, service),
        stop_grace_period: nanos(service, "stop_grace_period"),
        healthcheck: service.get("healthcheck").map(health),
        hosts: service.strings("extra_hosts").iter().filter_map(|h| host(h)).collect(),
        dns_config: dns(service),
        secrets: files::secret_references(source, service),
        configs: files::config_references(source, service),
        isolation: string(service, "isolation"),
        sysctls: text_map(service, "sysctls"),
        capability_add,
        capability_drop,
        ulimits: ulimits(service),
        oom_score_adj: int(service, "oom_score_adj").unwrap_or(0),
        engine: engine::engine(source, service, path, problems),
        ..ContainerSpec::default()
    }
}

/// `environment` as `NAME=value`, sorted; `NAME` alone where it has no value.
pub(super) fn variables(node: &Node) -> Vec<String> {
    let Some(map) = node.get("environment").and_then(Node::as_map) else { return Vec::new() };
    let mut out: Vec<String> = map
        .iter()
        .map(|(name, entry)| match entry.node.as_str() {
            Some(value) => [name.as_str(), "=", value].concat(),
            None => name.to_string(),
        })
        .collect();
    out.sort();
    out
}

fn privileges(service: &Node) -> Privileges {
    let credential = service.get("credential_spec").filter(|c| !c.is_empty()).map(|node| {
        json!({
            "Config": string(node, "config"),
            "File": string(node, "file"),
            "Registry": string(node, "registry"),
        })
    });
    Privileges { credential_spec: credential, ..Privileges::default() }
}

fn health(node: &Node) -> HealthConfig {
    if flag(node, "disable") {
        return HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() };
    }
    HealthConfig {
        test: node.strings("test"),
        interval: nanos(node, "interval").unwrap_or(0),
        timeout: nanos(node, "timeout").unwrap_or(0),
        start_period: nanos(node, "start_period").unwrap_or(0),
        start_interval: nanos(node, "start_interval").unwrap_or(0),
        retries: int(node, "retries").unwrap_or(0),
    }
}

/// `name:address` becomes a line of `/etc/hosts`.
fn host(text: &str) -> Option<String> {
    text.split_once(':').map(|(name, address)| format!("{address} {name}"))
}

fn dns(service: &Node) -> Option<DnsConfig> {
    let config = DnsConfig {
        nameservers: service.strings("dns"),
        search: service.strings("dns_search"),
        options: service.strings("dns_opt"),
    };
    (config != DnsConfig::default()).then_some(config)
}

/// `cap_add` and `cap_drop` in their full names, sorted; what is added is not dropped as well.
fn capabilities(service: &Node) -> (Vec<String>, Vec<String>) {
    if service.get("cap_add").is_none() && service.get("cap_drop").is_none() {
        return (Vec::new(), Vec::new());
    }
    let read = |key: &str| -> BTreeSet<String> {
        let all: BTreeSet<String> = service.strings(key).iter().map(|c| capability(c)).collect();
        if all.contains("ALL") { BTreeSet::from(["ALL".to_owned()]) } else { all }
    };
    let (add, drop) = (read("cap_add"), read("cap_drop"));
    let drop = drop.difference(&add).filter(|c| *c != "RESET").cloned().collect();
    (add.into_iter().filter(|c| c != "RESET").collect(), drop)
}

fn capability(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    if upper == "ALL" || upper == "RESET" || upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    }
}

fn ulimits(service: &Node) -> Vec<Ulimit> {
    let mut out: Vec<Ulimit> = service
        .get("ulimits")
        .and_then(Node::as_map)
        .into_iter()
        .flatten()
        .map(|(name, entry)| {
            let one = entry.node.as_int();
            Ulimit {
                name: name.to_string(),
                hard: one.or(int(&entry.node, "hard")).unwrap_or(0),
                soft: one.or(int(&entry.node, "soft")).unwrap_or(0),
            }
        })
        .collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}
