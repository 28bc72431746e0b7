//! How many tasks, how they restart and how they are replaced.

use model::spec::{
    Dependency, DependencyCondition, Empty, Placement, PlacementPreference, Platform, Replicated,
    ReplicatedJob, RestartPolicy, ServiceMode, SpreadOver, UpdateConfig,
};

use super::{Source, count, flag, nanos, string};
use crate::yaml::Node;

/// `deploy.mode`, and `deploy.replicas` or `scale`.
pub(super) fn mode(service: &Node) -> ServiceMode {
    let deploy = service.get("deploy");
    let replicas = deploy.and_then(|d| count(d, "replicas")).or_else(|| count(service, "scale"));
    match deploy.and_then(|d| d.str("mode")).unwrap_or("") {
        "global" => ServiceMode { global: Some(Empty {}), ..ServiceMode::default() },
        "global-job" => ServiceMode { global_job: Some(Empty {}), ..ServiceMode::default() },
        "replicated-job" => ServiceMode {
            replicated_job: Some(ReplicatedJob {
                max_concurrent: replicas,
                total_completions: replicas,
            }),
            ..ServiceMode::default()
        },
        _ => ServiceMode { replicated: Some(Replicated { replicas }), ..ServiceMode::default() },
    }
}

/// `deploy.restart_policy`, else what `restart` means.
pub(super) fn restart(service: &Node) -> Option<RestartPolicy> {
    if let Some(policy) = service.get("deploy").and_then(|d| d.get("restart_policy")) {
        return Some(RestartPolicy {
            condition: string(policy, "condition"),
            delay: nanos(policy, "delay"),
            max_attempts: count(policy, "max_attempts"),
            window: nanos(policy, "window"),
            ..RestartPolicy::default()
        });
    }
    let (word, attempts) = match service.str("restart")?.split_once(':') {
        Some((word, attempts)) => (word, attempts.parse::<u64>().ok()),
        None => (service.str("restart")?, None),
    };
    let condition = match word {
        "always" | "unless-stopped" => "any",
        "on-failure" => "on-failure",
        "no" => "none",
        _ => return None,
    };
    Some(RestartPolicy {
        condition: condition.to_owned(),
        // The docker CLI says 0, for "no limit", explicitly here.
        max_attempts: (word == "on-failure").then(|| attempts.unwrap_or(0)),
        ..RestartPolicy::default()
    })
}

/// `update_config` or `rollback_config`.
pub(super) fn update(deploy: Option<&Node>, key: &str) -> Option<UpdateConfig> {
    let node = deploy?.get(key)?;
    Some(UpdateConfig {
        parallelism: count(node, "parallelism").unwrap_or(1),
        delay: nanos(node, "delay").unwrap_or(0),
        failure_action: string(node, "failure_action"),
        monitor: nanos(node, "monitor").unwrap_or(0),
        max_failure_ratio: node.get("max_failure_ratio").and_then(Node::as_float).unwrap_or(0.0),
        order: string(node, "order"),
        ..UpdateConfig::default()
    })
}

/// `deploy.placement`, and the `platform` as a demand on the node.
pub(super) fn placement(service: &Node) -> Placement {
    let node = service.get("deploy").and_then(|d| d.get("placement"));
    let preferences = node
        .and_then(|n| n.get("preferences"))
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .map(|p| PlacementPreference {
            spread: Some(SpreadOver { spread_descriptor: string(p, "spread") }),
            ..PlacementPreference::default()
        })
        .collect();
    Placement {
        constraints: node.map(|n| n.strings("constraints")).unwrap_or_default(),
        preferences,
        max_replicas: node.and_then(|n| count(n, "max_replicas_per_node")).unwrap_or(0),
        platforms: service
            .str("platform")
            .filter(|p| !p.is_empty())
            .map(platform)
            .into_iter()
            .collect(),
        ..Placement::default()
    }
}

/// `os[/arch[/variant]]` or just `arch`.
fn platform(text: &str) -> Platform {
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or("").to_owned();
    match parts.next() {
        Some(arch) => Platform { architecture: arch.to_owned(), os: first },
        None if matches!(first.as_str(), "linux" | "windows") => {
            Platform { os: first, ..Platform::default() }
        }
        None => Platform { architecture: first, ..Platform::default() },
    }
}

/// `depends_on`, by the other services' full names.
pub(super) fn dependencies(source: &Source<'_>, service: &Node) -> Vec<Dependency> {
    let mut out: Vec<Dependency> = service
        .get("depends_on")
        .and_then(Node::as_map)
        .into_iter()
        .flatten()
        .map(|(key, entry)| Dependency {
            service: source.scoped(key),
            condition: match entry.node.str("condition") {
                Some("service_healthy") => DependencyCondition::Healthy,
                Some("service_completed_successfully") => {
                    DependencyCondition::CompletedSuccessfully
                }
                _ => DependencyCondition::Started,
            },
            restart: flag(&entry.node, "restart"),
            optional: entry.node.get("required").and_then(Node::as_bool) == Some(false),
        })
        .collect();
    out.sort_by(|a, b| a.service.cmp(&b.service));
    out
}
