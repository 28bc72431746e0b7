//! `deploy`: numbers that contradict each other.

use super::{Check, constraint, items};
use crate::path::KeyPath;
use crate::quantity::{cpus, size};
use crate::yaml::Node;

/// The least memory that the engine gives a container, in bytes.
const LEAST_MEMORY: i64 = 6 * 1024 * 1024;
const LEAST_MEMORY_OF_SWARM: i64 = 4 * 1024 * 1024;

/// The fewest CPUs that Docker accepts, in billionths.
const LEAST_CPUS: i64 = 1_000_000;

impl Check<'_> {
    pub(super) fn deploy(&mut self, service: &Node, path: &KeyPath<'_>) {
        if let Some(scale) = service.get("scale")
            && let Some(replicas) = service.get("deploy").and_then(|d| d.get("replicas"))
            && scale.value != replicas.value
        {
            let message = "`scale` and `deploy.replicas` differ".to_owned();
            self.error(scale.span, &path.key("scale"), message).related =
                Some((replicas.span, "the other number".to_owned()));
        }
        let Some(deploy) = service.get("deploy") else { return };
        let path = path.key("deploy");
        let mode = deploy.str("mode").unwrap_or("replicated");
        if mode.starts_with("global")
            && let Some(replicas) = deploy.get("replicas")
        {
            let message = format!("`replicas` does not go with the mode {mode}");
            let place = deploy.get("mode").map_or(replicas.span, |mode| mode.span);
            let problem = self.error(replicas.span, &path.key("replicas"), message);
            problem.help = Some("global means one task on every node that fits".to_owned());
            problem.related = Some((place, "the mode".to_owned()));
        }
        for key in ["update_config", "rollback_config"] {
            let Some(config) = deploy.get(key) else { continue };
            let path = path.key(key);
            if let Some(ratio) = config.get("max_failure_ratio")
                && !ratio.as_float().is_some_and(|r| (0.0..=1.0).contains(&r))
            {
                let text = ratio.scalar_text().unwrap_or_default();
                let message = format!("{text} is no ratio");
                self.refusal(ratio.span, &path.key("max_failure_ratio"), message).allowed =
                    Some("a number from 0 to 1".to_owned());
            }
            if key == "rollback_config" && config.str("failure_action") == Some("rollback") {
                let span = config.get("failure_action").map_or(config.span, |n| n.span);
                let message = "a failed rollback cannot be rolled back; it pauses".to_owned();
                self.warn(span, &path.key("failure_action"), message).allowed =
                    Some("pause, continue".to_owned());
            }
        }
        if let Some(placement) = deploy.get("placement") {
            self.placement(placement, &path.key("placement"));
        }
        if let Some(resources) = deploy.get("resources") {
            self.resources(resources, &path.key("resources"));
        }
    }

    fn placement(&mut self, placement: &Node, path: &KeyPath<'_>) {
        let key = path.key("constraints");
        for (index, node) in items(placement, "constraints") {
            let Some(text) = node.as_str() else { continue };
            if let Err(error) = constraint::check(text) {
                let problem = self.refusal(node.span, &key.index(index), error.message);
                problem.allowed = error.allowed;
                problem.help = error.help;
            }
        }
        let key = path.key("preferences");
        for (index, node) in items(placement, "preferences") {
            let Some(spread) = node.get("spread") else { continue };
            let text = spread.as_str().unwrap_or("");
            if !constraint::is_property(text) {
                let path = key.index(index);
                self.warn(
                    spread.span,
                    &path.key("spread"),
                    format!("nothing is spread over `{text}`: it is not a label of nodes"),
                )
                .allowed = Some("node.labels.NAME, engine.labels.NAME".to_owned());
            }
        }
    }

    fn resources(&mut self, resources: &Node, path: &KeyPath<'_>) {
        let value = |part: &str, key: &str| {
            let node = resources.get(part)?.get(key)?;
            let text = node.as_str()?;
            let number =
                if key == "cpus" { cpus::parse(text).ok() } else { size::parse(text).ok() };
            Some((number?, node))
        };
        for key in ["cpus", "memory"] {
            if let (Some((limit, _)), Some((reserved, node))) =
                (value("limits", key), value("reservations", key))
                && limit > 0
                && reserved > limit
            {
                let reservations = path.key("reservations");
                let limit = resources.get("limits").and_then(|limits| limits.get(key));
                self.refusal(
                    node.span,
                    &reservations.key(key),
                    format!("more {key} is reserved than the limit allows"),
                )
                .related = limit.map(|limit| (limit.span, "the limit".to_owned()));
            }
        }
        for part in ["limits", "reservations"] {
            let path = path.key(part);
            if let Some((memory, node)) = value(part, "memory") {
                let key = path.key("memory");
                if memory > 0 && memory < LEAST_MEMORY_OF_SWARM {
                    self.refusal(node.span, &key, format!("{memory} bytes are too few")).allowed =
                        Some("4 MiB and more".to_owned());
                } else if part == "limits" && memory > 0 && memory < LEAST_MEMORY {
                    let message = format!("{memory} bytes are too few for a container to start");
                    self.warn(node.span, &key, message).allowed = Some("6 MiB and more".to_owned());
                }
            }
            if let Some((cpus, node)) = value(part, "cpus")
                && cpus > 0
                && cpus < LEAST_CPUS
            {
                self.refusal(
                    node.span,
                    &path.key("cpus"),
                    "too small a part of a CPU".to_owned(),
                )
                .allowed = Some("0.001 and more".to_owned());
            }
        }
    }
}
