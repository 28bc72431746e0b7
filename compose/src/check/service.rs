//! One service by itself: image, health check, and values that only the engine would judge.

use std::net::IpAddr;

use super::{Check, entries, items};
use crate::nearest::did_you_mean;
use crate::path::KeyPath;
use crate::problem::Severity;
use crate::quantity::{duration, image, size};
use crate::spec::is_anothers;
use crate::yaml::Node;

/// The least memory that the engine gives a container, in bytes.
const LEAST_MEMORY: i64 = 6 * 1024 * 1024;

impl Check<'_> {
    pub(super) fn service(&mut self, service: &Node, path: &KeyPath<'_>) {
        self.image(service, path);
        self.health(service, path);
        self.restart(service, path);
        self.values(service, path);
        self.limits(service, path);
        self.modes(service, path);
    }

    fn image(&mut self, service: &Node, path: &KeyPath<'_>) {
        let given = service.get("image").filter(|i| !i.is_empty());
        let Some(node) = given else {
            let provided = service.get("provider").is_some();
            let span = service
                .as_map()
                .and_then(|m| m.get("image").map(|e| e.key).or(m.first().map(|(_, e)| e.key)))
                .unwrap_or(service.span);
            if self.image_was_meant(path) {
                return;
            }
            let problem = self.error(span, path, "the service has no image".to_owned());
            problem.help = Some(if service.get("build").is_some() {
                "build and push it first, and name it by `image:`".to_owned()
            } else if provided {
                "providers run on one machine; a cluster needs an image".to_owned()
            } else {
                "add `image:`".to_owned()
            });
            return;
        };
        let text = node.as_str().unwrap_or("");
        if let Err(error) = image::check(text) {
            let problem = self.error(
                node.span,
                &path.key("image"),
                format!("`{text}` is not an image: {error}"),
            );
            problem.allowed = Some(image::ALLOWED.to_owned());
            if let image::ImageError::Capital(_) = error {
                problem.help = Some(format!("write `{}`", text.to_lowercase()));
            }
        }
    }

    /// True when an error says already why there is none: the image itself is wrong, its key is
    /// misspelt, or what it would come from is not there.
    fn image_was_meant(&self, path: &KeyPath<'_>) -> bool {
        // In a sea of problems it costs more than it helps.
        if self.problems.len() > 300 {
            return false;
        }
        let path = path.to_string();
        self.problems.iter().filter(|p| p.severity == Severity::Error).any(|problem| {
            let key = problem.path.strip_prefix(&path).and_then(|rest| rest.strip_prefix('.'));
            key.is_some_and(|key| {
                key == "image"
                    || key.starts_with("extends")
                    || did_you_mean(key, ["image"]).is_some()
            })
        })
    }

    fn health(&mut self, service: &Node, path: &KeyPath<'_>) {
        let Some(health) = service.get("healthcheck") else { return };
        let path = path.key("healthcheck");
        let words = health.strings("test");
        if health.get("disable").and_then(crate::yaml::Node::as_bool) == Some(true)
            && !words.is_empty()
            && words != ["NONE"]
        {
            let span = health.get("disable").map_or(health.span, |n| n.span);
            let message = "`disable` and `test` contradict each other".to_owned();
            self.error(span, &path, message).help = Some("keep one of the two".to_owned());
        }
        if let (Some(first), Some(test)) = (words.first(), health.get("test"))
            && !matches!(first.as_str(), "NONE" | "CMD" | "CMD-SHELL")
        {
            let key = path.key("test");
            let problem =
                self.refusal(test.span, &key, format!("a test cannot begin with `{first}`"));
            problem.allowed = Some("NONE, CMD, CMD-SHELL".to_owned());
            problem.help = did_you_mean(first, ["NONE", "CMD", "CMD-SHELL"])
                .or_else(|| Some(format!("write [\"CMD\", \"{first}\", …], or one text")));
        }
        for key in ["interval", "timeout", "start_period", "start_interval"] {
            let Some(node) = health.get(key) else { continue };
            let nanos = node.as_str().and_then(|t| duration::parse(t).ok()).unwrap_or(0);
            if nanos > 0 && nanos < 1_000_000 {
                let message = "less than a millisecond".to_owned();
                self.refusal(node.span, &path.key(key), message).allowed =
                    Some("0 for the default, or 1ms and more".to_owned());
            }
        }
    }

    fn restart(&mut self, service: &Node, path: &KeyPath<'_>) {
        let Some(restart) = service.get("restart").filter(|r| !r.is_empty()) else { return };
        let text = restart.as_str().unwrap_or("");
        let (word, count) = match text.split_once(':') {
            Some((word, count)) => (word, Some(count)),
            None => (text, None),
        };
        const WORDS: [&str; 4] = ["no", "always", "unless-stopped", "on-failure"];
        let counted = count.is_none_or(|c| word == "on-failure" && c.parse::<u32>().is_ok());
        if !WORDS.contains(&word) || !counted {
            let message = format!("`{text}` is not a restart policy");
            let key = path.key("restart");
            let overruled = service.get("deploy").and_then(|d| d.get("restart_policy")).is_some();
            let problem = if overruled {
                self.warn(restart.span, &key, message)
            } else {
                self.error(restart.span, &key, message)
            };
            problem.allowed = Some("no, always, unless-stopped, on-failure[:N]".to_owned());
            problem.help = did_you_mean(word, WORDS);
        }
        if service.get("deploy").and_then(|d| d.get("restart_policy")).is_some() {
            let message = "`deploy.restart_policy` counts, not `restart`".to_owned();
            self.warn(restart.span, &path.key("restart"), message);
        }
    }

    /// Limits of the service itself, which the engine compares with one another.
    fn limits(&mut self, service: &Node, path: &KeyPath<'_>) {
        let resources = service.get("deploy").and_then(|d| d.get("resources"));
        let bytes = |node: Option<&Node>| size::parse(node?.as_str()?).ok().filter(|b| *b > 0);
        let own = bytes(service.get("mem_limit"));
        let limit = bytes(resources.and_then(|r| r.get("limits")?.get("memory"))).or(own);
        if let Some(swap) = service.get("memswap_limit") {
            let key = path.key("memswap_limit");
            match (bytes(Some(swap)), limit) {
                (Some(_), None) => {
                    let message = "`memswap_limit` needs a limit of memory".to_owned();
                    self.refusal(swap.span, &key, message).help =
                        Some("it is memory and swap together: add `mem_limit:`".to_owned());
                }
                (Some(both), Some(limit)) if both < limit => {
                    let message =
                        format!("{both} bytes of memory and swap are less than the memory");
                    self.refusal(swap.span, &key, message).allowed =
                        Some(format!("{limit} and more, or -1"));
                }
                _ => {}
            }
        }
        if let (Some(reserved), Some(limit), Some(node)) =
            (bytes(service.get("mem_reservation")), limit, service.get("mem_reservation"))
            && reserved > limit
        {
            let message = "more memory is reserved than the limit allows".to_owned();
            self.refusal(node.span, &path.key("mem_reservation"), message);
        }
        if let (Some(own), Some(node)) = (own, service.get("mem_limit"))
            && own < LEAST_MEMORY
        {
            let message = format!("{own} bytes are too few for a container to start");
            self.refusal(node.span, &path.key("mem_limit"), message).allowed =
                Some("6 MiB and more".to_owned());
        }
        let limited = resources.and_then(|r| r.get("limits")?.get("cpus")).or(service.get("cpus"));
        for key in ["cpu_period", "cpu_quota"] {
            if let (Some(node), Some(cpus)) = (service.get(key), limited) {
                let message = format!("`{key}` and `cpus` say the same in two ways");
                let problem = self.refusal(node.span, &path.key(key), message);
                problem.help = Some("keep one of the two".to_owned());
                problem.related = Some((cpus.span, "the other one".to_owned()));
            }
        }
    }

    /// What a container shares with its host or with others.
    fn modes(&mut self, service: &Node, path: &KeyPath<'_>) {
        for (key, allowed) in [
            ("pid", &["host"][..]),
            ("ipc", &["host", "private", "shareable", "none"][..]),
            ("uts", &["host"][..]),
            ("userns_mode", &["host"][..]),
        ] {
            let Some(node) = service.get(key).filter(|n| !n.is_empty()) else { continue };
            let text = node.as_str().unwrap_or("");
            if is_anothers(text) {
                let message = format!(
                    "tasks cannot share the {key} of another container: they may be on different nodes; this is left out"
                );
                self.warn(node.span, &path.key(key), message);
            } else if !allowed.contains(&text) {
                let message = format!("`{text}` is not known");
                let help = did_you_mean(text, allowed.iter().copied());
                let problem = self.refusal(node.span, &path.key(key), message);
                problem.allowed = Some(allowed.join(", "));
                problem.help = help;
            }
        }
        let on_networks = entries(service, "networks")
            .filter_map(|(_, e)| e.node.get("mac_address"))
            .chain(service.get("mac_address"));
        for node in on_networks.collect::<Vec<_>>() {
            let text = node.as_str().unwrap_or("");
            let parts: Vec<&str> = text.split([':', '-']).collect();
            let fine = parts.len() == 6
                && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            if fine {
                let message = "other nodes find a task by the MAC address that belongs to its IP address: with its own it is reached from its own node only";
                self.warn(node.span, &path.key("mac_address"), message.to_owned());
            } else {
                let message = format!("`{text}` is not a MAC address");
                self.refusal(node.span, &path.key("mac_address"), message).allowed =
                    Some("six bytes such as 02:42:ac:11:00:02".to_owned());
            }
        }
    }

    fn values(&mut self, service: &Node, path: &KeyPath<'_>) {
        if let Some(node) = service.get("entrypoint").filter(|node| node.is_empty()) {
            let message = "an empty entry point is that of the image".to_owned();
            self.warn(node.span, &path.key("entrypoint"), message).help =
                Some("write [\"\"] for none at all".to_owned());
        }
        let key = path.key("dns");
        for (index, node) in items(service, "dns") {
            let text = node.as_str().unwrap_or("");
            if text.parse::<IpAddr>().is_err() && !text.contains("{{") {
                let message = format!("`{text}` is not an IP address");
                self.refusal(node.span, &key.index(index), message);
            }
        }
        let key = path.key("ulimits");
        for (name, entry) in entries(service, "ulimits") {
            let limit = |k: &str| entry.node.get(k).and_then(Node::as_int);
            if let (Some(soft), Some(hard)) = (limit("soft"), limit("hard"))
                && hard >= 0
                && (soft > hard || soft < 0)
            {
                let message = format!("the soft limit {soft} is above the hard one, {hard}");
                self.refusal(entry.key, &key.key(name), message);
            }
        }
        if let Some(policy) = service.get("pull_policy") {
            let text = policy.as_str().unwrap_or("");
            const WORDS: [&str; 8] = [
                "always",
                "never",
                "missing",
                "if_not_present",
                "build",
                "refresh",
                "daily",
                "weekly",
            ];
            let every = text.strip_prefix("every_").is_some_and(|d| {
                !d.is_empty() && d.chars().all(|c| c.is_ascii_digit() || "wdhms".contains(c))
            });
            if !WORDS.contains(&text) && !every {
                let message = format!("`{text}` is not known");
                let problem = self.error(policy.span, &path.key("pull_policy"), message);
                problem.allowed =
                    Some("always, missing, never, build, daily, weekly, every_12h …".to_owned());
                problem.help = did_you_mean(text, WORDS);
            }
        }
        if let Some(hostname) = service.get("hostname") {
            let text = hostname.as_str().unwrap_or("");
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if !text.contains("{{") && (text.len() > 253 || !text.chars().all(fine)) {
                let message = format!("`{text}` is not a host name");
                self.refusal(hostname.span, &path.key("hostname"), message).allowed =
                    Some("letters, digits, `-`, `.` and `_`".to_owned());
            }
        }
        if let Some(spec) = service.get("credential_spec") {
            let given = ["config", "file", "registry"]
                .into_iter()
                .filter(|k| spec.str(k).is_some_and(|v| !v.is_empty()))
                .count();
            if given > 1 {
                let message = "more than one source is given".to_owned();
                self.error(spec.span, &path.key("credential_spec"), message).allowed =
                    Some("one of config, file, registry".to_owned());
            }
        }
    }
}
