//! Tasks. Templates and networks that many tasks share are made once for a whole list.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::api::{
    AttachedIpam, AttachedNetwork, AttachedNetworkSpec, ContainerStatus, Index, NetworkAttachment,
    PortStatus, Task, TaskStatus,
};
use model::lifecycle::Desired;
use model::object::{self, Slot, TemplateVersion};
use model::spec::{ContainerSpec, Driver, IpamConfig, Labels, TaskSpec};
use model::{NetworkId, ServiceId, TaskState};
use orchestrator_core::state::State;

use super::{Detail, States, brief};

/// Shows tasks of one state.
pub(in crate::api) struct TaskView<'a> {
    state: &'a State,
    states: States,
    detail: Detail,
    specs: BTreeMap<(ServiceId, TemplateVersion), Arc<TaskSpec>>,
    networks: BTreeMap<NetworkId, (Arc<AttachedNetwork>, u8)>,
}

impl<'a> TaskView<'a> {
    pub(in crate::api) fn new(state: &'a State, states: States) -> TaskView<'a> {
        TaskView {
            state,
            states,
            detail: Detail::Whole,
            specs: BTreeMap::new(),
            networks: BTreeMap::new(),
        }
    }

    /// The same, showing so much of each task.
    pub(in crate::api) fn in_detail(mut self, detail: Detail) -> TaskView<'a> {
        self.detail = detail;
        self
    }

    /// The task as clients see it.
    pub(in crate::api) fn show(&mut self, task: &object::Task) -> Task {
        let service = self.state.service(task.service);
        let is_job = service.is_some_and(|s| {
            s.spec.mode.replicated_job.is_some() || s.spec.mode.global_job.is_some()
        });
        Task {
            id: task.id.to_string(),
            version: task.meta.version.into(),
            created_at: task.meta.created_at.into(),
            updated_at: task.meta.updated_at.into(),
            name: String::new(),
            labels: Labels::new(),
            spec: self.spec(task),
            service_id: task.service.to_string(),
            slot: match task.slot {
                Slot::Replica(slot) => slot,
                Slot::Node(_) => 0,
            },
            node_id: task.node.map(|n| n.to_string()).unwrap_or_default(),
            status: self.status(task),
            desired_state: desired_name(task.desired, is_job, self.states).to_owned(),
            networks_attachments: match self.detail {
                Detail::Whole => task.attachments.iter().map(|a| self.attachment(*a)).collect(),
                Detail::Brief => Vec::new(),
            },
            job_iteration: is_job.then_some(Index { index: task.job_iteration }),
            waiting: task.waiting.clone(),
            failures: task.restarts.in_a_row,
        }
    }

    fn status(&self, task: &object::Task) -> TaskStatus {
        let status = &task.status;
        let err = match &task.waiting {
            Some(reason) if status.error.is_empty() => reason.to_string(),
            _ => status.error.clone(),
        };
        let message = match status.state {
            TaskState::Pending if status.message.is_empty() => "pending task scheduling".to_owned(),
            _ => status.message.clone(),
        };
        // Before a node has it there is no container; from then on some clients need the field.
        let container_status = task.node.map(|_| {
            let container = status.container.clone().unwrap_or_default();
            ContainerStatus {
                container_id: container.id,
                pid: container.pid,
                exit_code: container.exit_code.unwrap_or(0),
            }
        });
        TaskStatus {
            timestamp: status.since.into(),
            state: state_name(status.state, self.states).to_owned(),
            message,
            err,
            container_status,
            port_status: PortStatus { ports: status.ports.clone() },
        }
    }

    /// What the task was made of. Clients fail on a task without a container spec.
    fn spec(&mut self, task: &object::Task) -> Arc<TaskSpec> {
        let key = (task.service, task.template);
        if let Some(spec) = self.specs.get(&key) {
            return spec.clone();
        }
        let service = self.state.service(task.service);
        let template = service.and_then(|s| s.templates.get(&task.template));
        let mut spec = match (template, self.detail) {
            (None, _) => TaskSpec::default(),
            (Some(template), Detail::Whole) => template.task.clone(),
            (Some(template), Detail::Brief) => brief::task_spec(&template.task),
        };
        spec.container_spec.get_or_insert_with(ContainerSpec::default);
        let spec = Arc::new(spec);
        self.specs.insert(key, spec.clone());
        spec
    }

    fn attachment(&mut self, attachment: object::Attachment) -> NetworkAttachment {
        let state = self.state;
        let (network, prefix) = self.networks.entry(attachment.network).or_insert_with(|| {
            match state.network(attachment.network) {
                Some(network) => (Arc::new(attached(network)), network.subnet.prefix),
                None => {
                    let id = attachment.network.to_string();
                    (Arc::new(AttachedNetwork { id, ..AttachedNetwork::default() }), 32)
                }
            }
        });
        NetworkAttachment {
            network: network.clone(),
            addresses: vec![format!("{}/{prefix}", attachment.address)],
        }
    }
}

/// `service.slot.id`, which is also the container's name.
pub(in crate::api) fn name(state: &State, task: &object::Task) -> String {
    let service = state.service(task.service);
    let service = service.map_or_else(|| task.service.to_string(), |s| s.spec.name.clone());
    format!("{service}.{}.{}", task.slot.in_name(task.node), task.id)
}

/// The state's name in the words asked for.
fn state_name(state: TaskState, states: States) -> &'static str {
    match (state, states) {
        (TaskState::Draining, States::Docker) => TaskState::Shutdown.name(),
        (state, _) => state.name(),
    }
}

/// What is wanted, in the words asked for. A job's tasks are wanted to complete.
fn desired_name(desired: Desired, is_job: bool, states: States) -> &'static str {
    match (desired, states) {
        (Desired::Ready, _) => "ready",
        (Desired::Running, _) if is_job => "complete",
        (Desired::Running, _) => "running",
        (Desired::Draining, States::Exact) => "draining",
        (Desired::Draining, States::Docker) | (Desired::Shutdown, _) => "shutdown",
        (Desired::Remove, _) => "remove",
    }
}

/// A network in the form in which tasks have it.
fn attached(network: &object::Network) -> AttachedNetwork {
    let spec = &network.spec;
    let asked = spec.ipam.as_ref();
    let mut options = spec.options.clone();
    options.insert(super::network::VXLAN_OPTION.to_owned(), network.vni.to_string());
    AttachedNetwork {
        id: network.id.to_string(),
        version: network.meta.version.into(),
        created_at: network.meta.created_at.into(),
        updated_at: network.meta.updated_at.into(),
        spec: AttachedNetworkSpec {
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            driver_configuration: Driver {
                name: spec.driver.clone(),
                options: spec.options.clone(),
            },
            internal: spec.internal,
            attachable: spec.attachable,
            ingress: spec.ingress,
            ipam_options: asked.map(|ipam| AttachedIpam {
                driver: Driver { name: ipam.driver.clone(), options: ipam.options.clone() },
                configs: ipam.config.clone(),
            }),
            scope: "swarm".to_owned(),
        },
        driver_state: Driver { name: "overlay".to_owned(), options },
        ipam_options: AttachedIpam {
            driver: Driver { name: "default".to_owned(), options: Labels::new() },
            configs: vec![IpamConfig {
                subnet: network.subnet.to_string(),
                gateway: super::network::gateway(network),
                ..IpamConfig::default()
            }],
        },
    }
}
