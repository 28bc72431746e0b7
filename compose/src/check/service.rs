//! One service by itself: image, health check, and values that only the engine would judge.

use std::net::IpAddr;

use super::{Check, entries, items};
use crate::nearest::did_you_mean;
use crate::path::KeyPath;
use crate::quantity::{duration, image};
use crate::yaml::Node;

impl Check<'_> {
    pub(super) fn service(&mut self, service: &Node, path: &KeyPath<'_>) {
        self.image(service, path);
        self.health(service, path);
        self.restart(service, path);
        self.values(service, path);
    }

    fn image(&mut self, service: &Node, path: &KeyPath<'_>) {
        let given = service.get("image").filter(|i| !i.is_empty());
        let Some(node) = given else {
            let provided = service.get("provider").is_some();
            let span = service
                .as_map()
                .and_then(|m| m.get("image").map(|e| e.key).or(m.first().map(|(_, e)| e.key)))
                .unwrap_or(service.span);
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
        if let Err(error) = image::normal(text) {
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

    fn values(&mut self, service: &Node, path: &KeyPath<'_>) {
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
