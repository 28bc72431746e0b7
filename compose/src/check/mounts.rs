//! Mounts: what each type needs, and what shares a place in the container's tree.

use std::collections::BTreeMap;

use super::{Check, items};
use crate::path::{KeyPath, is_windows};
use crate::source::Span;
use crate::yaml::Node;

impl Check<'_> {
    pub(super) fn mounts(&mut self, service: &Node, path: &KeyPath<'_>) {
        let mut taken: BTreeMap<String, Span> = BTreeMap::new();
        let key = path.key("volumes");
        for (index, mount) in items(service, "volumes") {
            if mount.as_map().is_none() {
                continue;
            }
            let path = key.index(index);
            self.mount(mount, &path);
            if let Some(target) = mount.get("target") {
                let text = target.as_str().unwrap_or("");
                self.target(text, target.span, &path, &mut taken);
            }
        }
        let key = path.key("tmpfs");
        for (index, mount) in items(service, "tmpfs") {
            let target = mount.as_str().unwrap_or("").split(':').next().unwrap_or("");
            self.target(target, mount.span, &key.index(index), &mut taken);
        }
        for section in ["secrets", "configs"] {
            let mut taken: BTreeMap<String, Span> = BTreeMap::new();
            let key = path.key(section);
            for (index, usage) in items(service, section) {
                let target = usage.str("target").filter(|t| !t.is_empty());
                let Some(target) = target.or(usage.str("source")) else { continue };
                self.once(target, usage.span, &key.index(index), &mut taken);
            }
        }
    }

    fn target(
        &mut self,
        target: &str,
        span: Span,
        path: &KeyPath<'_>,
        taken: &mut BTreeMap<String, Span>,
    ) {
        if target.is_empty() {
            self.warn(span, path, "the target is empty: the engine will refuse it".to_owned());
            return;
        }
        if !target.starts_with('/') && !is_windows(target) {
            self.refusal(span, path, format!("the target `{target}` is not absolute")).help =
                Some(format!("write `/{}`", target.trim().trim_start_matches('/')));
            return;
        }
        if target == "/" {
            self.refusal(span, path, "nothing can be mounted on `/`".to_owned());
            return;
        }
        let normal = target.trim_end_matches('/').to_owned();
        self.once(&normal, span, path, taken);
    }

    fn once(
        &mut self,
        target: &str,
        span: Span,
        path: &KeyPath<'_>,
        taken: &mut BTreeMap<String, Span>,
    ) {
        match taken.get(target) {
            Some(&first) => {
                let message = format!("something is mounted at `{target}` already");
                self.refusal(span, path, message).related = Some((first, "first here".to_owned()));
            }
            None => {
                taken.insert(target.to_owned(), span);
            }
        }
    }

    fn mount(&mut self, mount: &Node, path: &KeyPath<'_>) {
        let Some(kind) = mount.str("type") else { return };
        let source = mount.str("source").unwrap_or("");
        let span = mount.span;
        let needs = matches!(kind, "bind" | "image" | "npipe" | "cluster");
        if needs && source.is_empty() {
            self.refusal(span, path, format!("a mount of type {kind} needs a `source`"));
        }
        if kind == "tmpfs" && !source.is_empty() {
            self.refusal(span, path, "a mount of type tmpfs has no `source`".to_owned());
        }
        if mount.as_map().is_some_and(|m| !m.contains_key("target")) {
            self.refusal(span, path, "the mount has no `target`".to_owned());
        }
        for options in ["bind", "volume", "tmpfs", "image", "cluster"] {
            let own = options == kind
                || (options == "bind" && kind == "npipe")
                || (kind.is_empty() && options == "volume");
            if !own && let Some(given) = mount.get(options) {
                let message = format!("`{options}` options do not go with the type {kind}");
                self.error(given.span, &path.key(options), message);
            }
        }
    }
}
