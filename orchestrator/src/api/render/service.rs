//! A service, its tasks counted, its change in Docker's words.

use std::sync::Arc;

use model::TaskState;
use model::api::{Endpoint, Index, JobStatus, Service, ServiceStatus, UpdateStatus, VirtualIp};
use model::lifecycle::Desired;
use model::object::{self, RolloutKind, RolloutState};
use model::spec::{ModeKind, PublishMode, ReplicatedJob, ServiceMode, ServiceSpec};
use orchestrator_core::state::State;

/// A service. Clients fail on a replicated service without a number: it is always filled in.
pub(in crate::api) fn service(state: &State, service: &object::Service) -> Service {
    let spec = complete(&service.spec);
    let endpoint = service.endpoint.ports.iter().map(|port| {
        let mut port = port.clone();
        port.protocol = port.protocol.effective();
        if port.publish_mode == PublishMode::Unset {
            port.publish_mode = PublishMode::Ingress;
        }
        port
    });
    let virtual_ips = service.endpoint.vips.iter().map(|(network, address)| VirtualIp {
        network_id: network.to_string(),
        addr: match state.network(*network) {
            Some(network) => format!("{address}/{}", network.subnet.prefix),
            None => format!("{address}/32"),
        },
    });
    Service {
        id: service.id.to_string(),
        version: service.meta.version.into(),
        created_at: service.meta.created_at.into(),
        updated_at: service.meta.updated_at.into(),
        endpoint: Endpoint {
            spec: spec.endpoint_spec.clone().unwrap_or_default(),
            ports: endpoint.collect(),
            virtual_ips: virtual_ips.collect(),
        },
        spec,
        previous_spec: service.previous_spec.as_ref().map(complete),
        update_status: service.rollout.as_ref().map(update_status),
        service_status: None,
        job_status: job_status(service),
    }
}

/// The spec with what clients fail without and Docker's engine therefore always shows: the mode's
/// numbers, and the words for "not said" in what is given.
fn complete(spec: &Arc<ServiceSpec>) -> Arc<ServiceSpec> {
    let mut spec = ServiceSpec::clone(spec);
    match spec.mode.kind() {
        ModeKind::Replicated { replicas } => spec.mode = ServiceMode::replicated(replicas),
        ModeKind::ReplicatedJob { at_once, total } => {
            spec.mode.replicated_job = Some(ReplicatedJob {
                max_concurrent: Some(at_once),
                total_completions: Some(total),
            });
        }
        ModeKind::Global | ModeKind::GlobalJob => {}
    }
    let unless_said = |word: &mut String, default: &str| {
        if word.is_empty() {
            default.clone_into(word);
        }
    };
    for config in [&mut spec.update_config, &mut spec.rollback_config].into_iter().flatten() {
        unless_said(&mut config.failure_action, "pause");
        unless_said(&mut config.order, "stop-first");
    }
    if let Some(policy) = &mut spec.task_template.restart_policy {
        unless_said(&mut policy.condition, "any");
    }
    if let Some(endpoint) = &mut spec.endpoint_spec {
        unless_said(&mut endpoint.mode, "vip");
    }
    Arc::new(spec)
}

/// How far a change has come.
pub(in crate::api) fn update_status(rollout: &object::Rollout) -> UpdateStatus {
    let message = match (rollout.kind, rollout.state) {
        _ if !rollout.message.is_empty() => rollout.message.clone(),
        (RolloutKind::Update, RolloutState::Running) => "update in progress".to_owned(),
        (RolloutKind::Update, RolloutState::Completed) => "update completed".to_owned(),
        (RolloutKind::Update, RolloutState::Paused) => "update paused".to_owned(),
        (RolloutKind::Rollback, RolloutState::Running) => "rollback in progress".to_owned(),
        (RolloutKind::Rollback, RolloutState::Completed) => "rollback completed".to_owned(),
        (RolloutKind::Rollback, RolloutState::Paused) => "rollback paused".to_owned(),
    };
    UpdateStatus {
        state: rollout.docker_state().to_owned(),
        started_at: Some(rollout.started_at.into()),
        completed_at: rollout.ended_at.map(Into::into),
        message,
    }
}

/// Of jobs: clients fail on one without it.
fn job_status(service: &object::Service) -> Option<JobStatus> {
    let is_job =
        service.spec.mode.replicated_job.is_some() || service.spec.mode.global_job.is_some();
    is_job.then(|| {
        let job = service.job.unwrap_or_default();
        JobStatus {
            job_iteration: Index { index: job.iteration },
            last_execution: if job.last_execution.0 == 0 {
                service.meta.created_at.into()
            } else {
                job.last_execution.into()
            },
        }
    })
}

/// The service's tasks counted.
pub(in crate::api) fn status(state: &State, service: &object::Service) -> ServiceStatus {
    let run = service.job.map(|job| job.iteration);
    let tasks = state.tasks_of(service.id).filter(|t| run.is_none_or(|run| t.job_iteration == run));
    let (mut running, mut wanted, mut completed) = (0, 0, 0);
    for task in tasks {
        let is_wanted = task.desired <= Desired::Running;
        wanted += u64::from(is_wanted);
        running += u64::from(is_wanted && task.status.state == TaskState::Running);
        completed += u64::from(task.status.state == TaskState::Complete);
    }
    let desired = match service.spec.mode.kind() {
        ModeKind::Replicated { replicas } => replicas,
        ModeKind::ReplicatedJob { at_once, .. } => at_once,
        ModeKind::Global | ModeKind::GlobalJob => wanted,
    };
    ServiceStatus { running_tasks: running, desired_tasks: desired, completed_tasks: completed }
}
