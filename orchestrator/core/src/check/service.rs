//! Judges the spec of a service.

use std::collections::BTreeSet;

use model::object::Service;
use model::spec::{
    ModeKind, Placement, Replicated, ReplicatedJob, ResourceRequirements, RestartPolicy,
    ServiceMode, ServiceSpec, TaskSpec, UpdateConfig,
};

use super::{Checked, Findings, container, endpoint, names};
use crate::State;
use crate::command::{Kind, Refusal};
use crate::constraint::{Constraint, Property};

/// The least that an engine accepts, bytes.
const LEAST_MEMORY: i64 = 4 << 20;
/// The least that an engine accepts, billionths of a CPU.
const LEAST_CPU: i64 = 1_000_000;

/// Judges a new service, or the new spec of `old`. A new service without a name is given one
/// where it is stored.
///
/// # Errors
/// [`Refusal::NameTaken`] and [`Refusal::NotImplemented`] (rename, change of mode) as such, every
/// other problem at once as [`Refusal::Invalid`].
pub fn service(
    state: &State,
    spec: &ServiceSpec,
    old: Option<&Service>,
) -> Result<Checked<ServiceSpec>, Refusal> {
    let unsupported = |message: &str| Err(Refusal::NotImplemented { message: message.to_owned() });
    match old {
        Some(old) if old.spec.name != spec.name => {
            return unsupported("renaming services is not supported");
        }
        Some(old) if kind_of(&old.spec.mode) != kind_of(&spec.mode) => {
            return unsupported("service mode change is not allowed");
        }
        None if state.service_named(&spec.name).is_some() => {
            return Err(Refusal::NameTaken { kind: Kind::Service, name: spec.name.clone() });
        }
        Some(_) | None => {}
    }
    if !["", "container"].contains(&spec.task_template.runtime.as_str()) {
        return unsupported("services of another runtime than containers are not supported");
    }
    let mut found = Findings::default();
    let mut spec = spec.clone();
    if old.is_some() || !spec.name.is_empty() {
        names::component(&mut found, &spec.name);
    }
    found.unknown("", &spec.extra);
    mode(&mut found, &mut spec);
    endpoint::networks(state, &mut found, &mut spec);
    endpoint::ports(state, &mut found, &spec, old);
    task(state, &mut found, &mut spec.task_template);
    change(&mut found, "update", spec.update_config.as_ref());
    change(&mut found, "rollback", spec.rollback_config.as_ref());
    dependencies(state, &mut found, &spec);
    found.verdict(spec)
}

fn kind_of(mode: &ServiceMode) -> u8 {
    match mode.kind() {
        ModeKind::Replicated { .. } => 0,
        ModeKind::Global => 1,
        ModeKind::ReplicatedJob { .. } => 2,
        ModeKind::GlobalJob => 3,
    }
}

/// Exactly one mode, with the numbers that clients rely on filled in.
fn mode(found: &mut Findings, spec: &mut ServiceSpec) {
    let mode = &mut spec.mode;
    let given = [
        mode.replicated.is_some(),
        mode.global.is_some(),
        mode.replicated_job.is_some(),
        mode.global_job.is_some(),
    ];
    if given.iter().filter(|g| **g).count() > 1 {
        found.problem("must specify only one service mode");
        return;
    }
    match mode.kind() {
        ModeKind::Replicated { replicas } => {
            mode.replicated = Some(Replicated { replicas: Some(replicas) });
        }
        ModeKind::ReplicatedJob { at_once, total } => {
            if at_once == 0 {
                found.problem("Number of concurrent job tasks must be greater than 0");
            }
            mode.replicated_job = Some(ReplicatedJob {
                max_concurrent: Some(at_once),
                total_completions: Some(total),
            });
        }
        ModeKind::Global | ModeKind::GlobalJob => {}
    }
    let job = mode.replicated_job.is_some() || mode.global_job.is_some();
    if job && spec.update_config.is_some() {
        found.problem("Jobs may not have an update config");
    }
    if job && spec.rollback_config.is_some() {
        found.problem("Jobs may not have a rollback config");
    }
}

fn task(state: &State, found: &mut Findings, spec: &mut TaskSpec) {
    found.unknown("TaskTemplate: ", &spec.extra);
    match &mut spec.container_spec {
        Some(spec) => container::container(state, found, spec),
        None => found.problem("TaskSpec: missing container spec"),
    }
    if let Some(resources) = &spec.resources {
        reservations(found, resources);
    }
    if let Some(policy) = &spec.restart_policy {
        restart(found, policy);
    }
    if let Some(spec) = &spec.placement {
        placement(found, spec);
    }
}

fn reservations(found: &mut Findings, spec: &ResourceRequirements) {
    found.unknown("Resources: ", &spec.extra);
    let limits = spec.limits.as_ref().map(|l| (l.nano_cpus, l.memory_bytes));
    let reserved = spec.reservations.as_ref().map(|r| (r.nano_cpus, r.memory_bytes));
    for (nano_cpus, memory) in limits.into_iter().chain(reserved) {
        if nano_cpus != 0 && nano_cpus < LEAST_CPU {
            let cpus = format!("{}.{:09}", nano_cpus / 1_000_000_000, nano_cpus % 1_000_000_000);
            found.problem(format!("invalid cpu value {cpus}: Must be at least 0.001"));
        }
        if memory != 0 && memory < LEAST_MEMORY {
            found.problem(format!("invalid memory value {memory}: Must be at least 4MiB"));
        }
    }
    if let (Some((cpus, memory)), Some((reserved_cpus, reserved_memory))) = (limits, reserved) {
        if memory != 0 && reserved_memory > memory {
            found.warn("more memory is reserved than the limit allows to use");
        }
        if cpus != 0 && reserved_cpus > cpus {
            found.warn("more CPU is reserved than the limit allows to use");
        }
    }
}

fn restart(found: &mut Findings, policy: &RestartPolicy) {
    found.unknown("RestartPolicy: ", &policy.extra);
    if !["", "none", "on-failure", "any"].contains(&policy.condition.as_str()) {
        found.problem(format!("invalid RestartCondition: {:?}", policy.condition));
    }
    if policy.delay.is_some_and(|delay| delay < 0) {
        found.problem("TaskSpec: restart-delay cannot be negative");
    }
    if policy.window.is_some_and(|window| window < 0) {
        found.problem("TaskSpec: restart-window cannot be negative");
    }
}

fn placement(found: &mut Findings, spec: &Placement) {
    found.unknown("Placement: ", &spec.extra);
    for text in &spec.constraints {
        match text.parse::<Constraint>() {
            Ok(Constraint { property: Property::Unknown(key), .. }) => {
                found.warn(format!(
                    "constraint {text:?}: no node has {key}, no task will be placed"
                ));
            }
            Ok(_) => {}
            Err(wrong) => found.problem(wrong.to_string()),
        }
    }
    for preference in &spec.preferences {
        found.unknown("preference: ", &preference.extra);
        let over = preference.spread.as_ref().map_or("", |s| s.spread_descriptor.as_str());
        if !over.starts_with("node.labels.") && !over.starts_with("engine.labels.") {
            found.warn(format!("placement preference over {over:?} has no effect"));
        }
    }
}

fn change(found: &mut Findings, what: &str, config: Option<&UpdateConfig>) {
    let Some(config) = config else { return };
    found.unknown(&format!("{what} config: "), &config.extra);
    if config.delay < 0 {
        found.problem(format!("TaskSpec: {what}-delay cannot be negative"));
    }
    if config.monitor < 0 {
        found.problem(format!("TaskSpec: {what}-monitor cannot be negative"));
    }
    if !(0.0..=1.0).contains(&config.max_failure_ratio) {
        found.problem(format!(
            "TaskSpec: {what}-maxfailureratio cannot be less than 0 or bigger than 1"
        ));
    }
    if !["", "pause", "continue", "rollback"].contains(&config.failure_action.as_str()) {
        found.problem(format!("unrecognized {what} failure action {}", config.failure_action));
    }
    if !["", "stop-first", "start-first"].contains(&config.order.as_str()) {
        found.problem(format!("unrecognized {what} order {}", config.order));
    }
}

/// Dependencies: each once, not on itself, not in a circle. What does not exist yet is waited for.
fn dependencies(state: &State, found: &mut Findings, spec: &ServiceSpec) {
    let mut seen = BTreeSet::new();
    for dependency in &spec.depends_on {
        if !seen.insert(&dependency.service) {
            found.problem(format!("dependency on {} is given twice", dependency.service));
        }
    }
    let mut todo: Vec<String> = spec.depends_on.iter().map(|d| d.service.clone()).collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if name == spec.name && !name.is_empty() {
            found.problem(format!("service {name} depends on itself"));
            return;
        }
        if let Some(other) = state.service_named(&name).filter(|_| reached.insert(name)) {
            todo.extend(other.spec.depends_on.iter().map(|d| d.service.clone()));
        }
    }
}
