//! Judges the container of a task, and turns names of secrets and configs into ids.

use std::collections::BTreeMap;

use model::spec::{ContainerSpec, FileTarget, HealthConfig, Mount};

use super::Findings;
use crate::State;

/// The smallest time a health check may name, nanoseconds.
const SHORTEST: i64 = 1_000_000;

pub(super) fn container(state: &State, found: &mut Findings, spec: &mut ContainerSpec) {
    image(found, &spec.image);
    found.unknown("ContainerSpec: ", &spec.extra);
    if let Some(engine) = &spec.engine {
        found.unknown("Engine: ", &engine.extra);
    }
    if let Some(privileges) = &spec.privileges {
        found.unknown("Privileges: ", &privileges.extra);
    }
    if spec.hostname.len() > 63 {
        found.problem("ContainerSpec: hostname must be 63 characters or fewer");
    }
    if spec.stop_grace_period.is_some_and(|grace| grace < 0) {
        found.problem("ContainerSpec: stop-grace-period cannot be negative");
    }
    mounts(found, &spec.mounts);
    if let Some(check) = &spec.healthcheck {
        health(found, check);
    }
    secrets(state, found, spec);
    configs(state, found, spec);
}

fn image(found: &mut Findings, image: &str) {
    if image.is_empty() {
        found.problem("ContainerSpec: image reference must be provided");
        return;
    }
    let (name, digest) = image.split_once('@').unwrap_or((image, "sha256:0"));
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[slash..].rfind(':') {
        Some(at) => (&name[..slash + at], &name[slash + at + 1..]),
        None => (name, "latest"),
    };
    let host_end = path.find('/').filter(|at| path[..*at].contains(['.', ':'])).unwrap_or(0);
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_./".contains(c);
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let parts_filled = path.split('/').all(|part| !part.is_empty());
    let good = parts_filled
        && path[host_end..].chars().all(lower)
        && path[..host_end].chars().all(|c| word(c) || "[]:".contains(c))
        && !tag.is_empty()
        && tag.len() <= 128
        && tag.chars().all(word)
        && digest.contains(':');
    if !good {
        found.problem(format!("ContainerSpec: {image:?} is not a valid repository/tag"));
    }
}

fn mounts(found: &mut Findings, mounts: &[Mount]) {
    let mut targets = BTreeMap::new();
    for mount in mounts {
        found.unknown("mount: ", &mount.extra);
        if mount.target.is_empty() {
            found.problem("ContainerSpec: a mount needs a target");
        } else if targets.insert(mount.target.trim_end_matches('/'), ()).is_some() {
            found.problem(format!("ContainerSpec: duplicate mount point: {}", mount.target));
        }
        match mount.r#type.as_str() {
            "" | "volume" | "tmpfs" => {}
            "bind" | "image" if mount.source.is_empty() => {
                found.problem(format!(
                    "ContainerSpec: the mount at {} needs a source",
                    mount.target
                ));
            }
            "bind" if !mount.source.starts_with('/') => found.problem(format!(
                "invalid bind mount source, must be an absolute path: {}",
                mount.source
            )),
            "bind" | "image" => {}
            other => found.problem(format!("mount type {other} is not supported")),
        }
    }
}

fn health(found: &mut Findings, check: &HealthConfig) {
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < SHORTEST {
            found.problem(format!("ContainerSpec: {name} in HealthConfig cannot be less than 1ms"));
        }
    }
    if check.retries < 0 {
        found.problem("ContainerSpec: Retries in HealthConfig cannot be negative");
    }
}

/// Finds what a reference means: by id, else by the name it carries. Says what is missing as
/// Docker does, all of a kind in one sentence.
fn missing(found: &mut Findings, kind: &str, names: &[String]) {
    let s = if names.len() == 1 { "" } else { "s" };
    if !names.is_empty() {
        found.problem(format!("{kind}{s} not found: {}", names.join(", ")));
    }
}

fn conflicts(found: &mut Findings, kind: &str, targets: &[(&str, Option<&FileTarget>)]) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, file) in targets {
        let Some(file) = file else { continue };
        if let Some(first) = seen.insert(&file.name, name) {
            found.problem(format!(
                "{kind} references '{first}' and '{name}' have a conflicting target: '{}'",
                file.name
            ));
        }
    }
}

fn secrets(state: &State, found: &mut Findings, spec: &mut ContainerSpec) {
    let mut absent = Vec::new();
    for reference in &mut spec.secrets {
        let known = state
            .find_secret(&reference.secret_id)
            .one()
            .or_else(|| state.secret_named(&reference.secret_name));
        if let Some(secret) = known {
            reference.secret_id = secret.id.to_string();
            reference.secret_name.clone_from(&secret.spec.name);
        } else {
            absent.push(shown(&reference.secret_name, &reference.secret_id));
        }
        if reference.file.is_none() {
            let name = reference.secret_name.clone();
            reference.file = Some(default_file(name));
        }
    }
    missing(found, "secret", &absent);
    let targets: Vec<_> =
        spec.secrets.iter().map(|r| (r.secret_name.as_str(), r.file.as_ref())).collect();
    conflicts(found, "secret", &targets);
}

fn configs(state: &State, found: &mut Findings, spec: &mut ContainerSpec) {
    let mut absent = Vec::new();
    for reference in &mut spec.configs {
        let known = state
            .find_config(&reference.config_id)
            .one()
            .or_else(|| state.config_named(&reference.config_name));
        if let Some(config) = known {
            reference.config_id = config.id.to_string();
            reference.config_name.clone_from(&config.spec.name);
        } else {
            absent.push(shown(&reference.config_name, &reference.config_id));
        }
        if reference.file.is_none() && reference.runtime.is_none() {
            let name = format!("/{}", reference.config_name);
            reference.file = Some(default_file(name));
        }
    }
    missing(found, "config", &absent);
    let targets: Vec<_> =
        spec.configs.iter().map(|r| (r.config_name.as_str(), r.file.as_ref())).collect();
    conflicts(found, "config", &targets);
}

fn shown(name: &str, id: &str) -> String {
    if name.is_empty() { id.to_owned() } else { name.to_owned() }
}

/// Docker's default: owned by root, readable by all (0444).
fn default_file(name: String) -> FileTarget {
    FileTarget { name, uid: "0".to_owned(), gid: "0".to_owned(), mode: 0o444 }
}
