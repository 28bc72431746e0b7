//! Commands about services: create, update, roll back, remove; and the progress of a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::lifecycle::Desired;
use model::object::{
    Endpoint, JobStatus, Rollout, RolloutKind, RolloutState, Service, Template, TemplateVersion,
    Version,
};
use model::spec::{ModeKind, NetworkAttachmentConfig, PortConfig, ServiceSpec};
use model::{Id, NetworkId, ServiceId};

use super::State;
use super::cluster::fresh_enough;
use super::step::Step;
use crate::check;
use crate::command::{Kind, Refusal, RegistryAuth, Response, ServiceChange};

/// Published ports that are given when the spec says none: Docker's range.
const AUTO_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

impl Step<'_> {
    pub(super) fn create_service(
        &mut self,
        spec: &ServiceSpec,
        registry_auth: Option<String>,
    ) -> Result<Response, Refusal> {
        let mut checked = check::service(self.state, spec, None)?;
        let id = ServiceId(self.make_id());
        if checked.spec.name.is_empty() {
            // Docker makes one up, too.
            checked.spec.name = format!("service-{}", &id.to_string()[..8]);
        }
        let version = TemplateVersion(self.revision.0);
        let template = template_of(self.state, &checked.spec);
        let endpoint = self.endpoint(&checked.spec, &template, &Endpoint::default())?;
        let job =
            is_job(&checked.spec).then_some(JobStatus { iteration: 0, last_execution: self.now });
        self.put_service(Service {
            id,
            meta: self.fresh(),
            spec: Arc::new(checked.spec),
            previous_spec: None,
            template: version,
            templates: BTreeMap::from([(version, Arc::new(template))]),
            endpoint,
            rollout: None,
            job,
            registry_auth,
            removed: None,
        });
        Ok(Response::Created { id: id.0, warnings: checked.warnings })
    }

    pub(super) fn update_service(
        &mut self,
        id: ServiceId,
        version: Version,
        change: &ServiceChange,
        registry_auth: &RegistryAuth,
    ) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Service, name: id.to_string() };
        let old = self.state.service(id).filter(|s| s.removed.is_none()).cloned();
        let old = old.ok_or_else(missing)?;
        fresh_enough(Kind::Service, version, old.meta.version)?;
        let mut service = (*old).clone();
        if let RegistryAuth::Set(auth) = registry_auth {
            service.registry_auth = Some(auth.clone());
        }
        let warnings = match change {
            ServiceChange::Spec(spec) => {
                let checked = check::service(self.state, spec, Some(&old))?;
                self.change_spec(service, checked.spec, RolloutKind::Update, "update in progress")?;
                checked.warnings
            }
            ServiceChange::Rollback => {
                let Some(previous) = old.previous_spec.clone() else {
                    let message = format!("service {id} does not have a previous spec");
                    return Err(Refusal::Invalid { problems: vec![message] });
                };
                // What was valid then may name something that is gone now.
                let checked = check::service(self.state, &previous, Some(&old))?;
                let message = "manually requested rollback";
                self.change_spec(service, checked.spec, RolloutKind::Rollback, message)?;
                checked.warnings
            }
        };
        Ok(Response::Updated { warnings })
    }

    /// Writes a new spec with everything that follows from it, in one go: endpoint, template, run
    /// of a job, and the change that the planner is to carry out.
    fn change_spec(
        &mut self,
        mut service: Service,
        spec: ServiceSpec,
        kind: RolloutKind,
        message: &str,
    ) -> Result<(), Refusal> {
        let template = template_of(self.state, &spec);
        let old_endpoint = service.endpoint.clone();
        service.endpoint = self.endpoint(&spec, &template, &old_endpoint)?;
        for (network, address) in &old_endpoint.vips {
            if service.endpoint.vips.get(network) != Some(address) {
                self.give_back(*network, *address);
            }
        }
        // A template that tasks still have is taken up again, so going back replaces only what
        // had been replaced.
        let known = service.templates.iter().rev().find(|(_, known)| ***known == template);
        let version = known.map(|(v, _)| *v);
        service.template = version.unwrap_or_else(|| {
            let version = TemplateVersion(self.revision.0);
            service.templates.insert(version, Arc::new(template));
            version
        });
        if *service.spec != spec {
            service.previous_spec = Some(std::mem::replace(&mut service.spec, Arc::new(spec)));
        }
        if let Some(job) = &mut service.job {
            job.iteration += 1;
            job.last_execution = self.now;
        }
        let outdated = self
            .state
            .tasks_of(service.id)
            .any(|task| task.desired <= Desired::Running && task.template != service.template);
        service.rollout = (outdated && service.job.is_none()).then(|| Rollout {
            kind,
            state: RolloutState::Running,
            started_at: self.now,
            ended_at: None,
            message: message.to_owned(),
            last_batch_at: None,
            failures: 0,
        });
        self.written(&mut service.meta);
        self.put_service(service);
        for network in old_endpoint.vips.keys() {
            self.drop_network_if_unused(*network);
        }
        Ok(())
    }

    /// The addresses and ports of a spec; what the old endpoint has already is kept.
    fn endpoint(
        &mut self,
        spec: &ServiceSpec,
        template: &Template,
        old: &Endpoint,
    ) -> Result<Endpoint, Refusal> {
        let asked = spec.endpoint_spec.clone().unwrap_or_default();
        let mut ports = Vec::with_capacity(asked.ports.len());
        for port in &asked.ports {
            let mut port = port.clone();
            if port.published_port == 0 && !port.publish_mode.is_host() {
                let taken: Vec<PortConfig> = asked.ports.iter().chain(&ports).cloned().collect();
                port.published_port = self.published(&port, &taken, old)?;
            }
            ports.push(port);
        }
        let mut vips = BTreeMap::new();
        if !asked.is_dnsrr() {
            for network in overlay_networks(template) {
                let kept = old.vips.get(&network).copied();
                let address = kept.or_else(|| self.take_address(network, None));
                let address = address.ok_or_else(|| self.exhausted(network))?;
                vips.insert(network, address);
            }
        }
        Ok(Endpoint { ports, vips })
    }

    fn exhausted(&self, network: NetworkId) -> Refusal {
        let name = self.state.network(network).map_or("", |n| &n.spec.name);
        Refusal::Precondition { message: format!("network {name} has no free address") }
    }

    /// A published port for one that asks for none: the one it had, else the next free one.
    fn published(
        &mut self,
        port: &PortConfig,
        taken: &[PortConfig],
        old: &Endpoint,
    ) -> Result<u16, Refusal> {
        let protocol = port.protocol.effective();
        let free = |step: &Self, number: u16| {
            !step.state.index.ports.contains_key(&(protocol, number))
                && !taken
                    .iter()
                    .any(|p| p.published_port == number && p.protocol.effective() == protocol)
        };
        let had = old.ports.iter().find(|p| {
            p.target_port == port.target_port
                && p.protocol.effective() == protocol
                && !p.publish_mode.is_host()
                && AUTO_PORTS.contains(&p.published_port)
                && !taken.iter().any(|t| t.published_port == p.published_port)
        });
        if let Some(had) = had {
            return Ok(had.published_port);
        }
        let span = AUTO_PORTS.end() - AUTO_PORTS.start() + 1;
        for _ in 0..span {
            let number = AUTO_PORTS.start() + self.state.cursors.port % span;
            self.state.cursors.port = (self.state.cursors.port + 1) % span;
            if free(self, number) {
                return Ok(number);
            }
        }
        Err(Refusal::Precondition { message: "no published port is free".to_owned() })
    }

    pub(super) fn remove_service(&mut self, id: ServiceId) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Service, name: id.to_string() };
        let service = self.state.service(id).filter(|s| s.removed.is_none()).ok_or_else(missing)?;
        let mut service = (**service).clone();
        service.removed = Some(self.now);
        self.written(&mut service.meta);
        self.put_service(service);
        self.drop_service_if_empty(id);
        Ok(Response::Done)
    }

    fn wanting(&self, id: ServiceId, template: TemplateVersion) -> Result<Service, Refusal> {
        self.state
            .service(id)
            .filter(|s| s.removed.is_none() && s.template == template)
            .map(|s| (**s).clone())
            .ok_or_else(|| Refusal::Outdated { what: format!("service {id}") })
    }

    pub(super) fn step_rollout(
        &mut self,
        id: ServiceId,
        template: TemplateVersion,
        rollout: &Rollout,
    ) -> Result<Response, Refusal> {
        let mut service = self.wanting(id, template)?;
        let same = service.rollout.as_ref().is_some_and(|r| r.started_at == rollout.started_at);
        if !same {
            return Err(Refusal::Outdated { what: format!("the change of service {id}") });
        }
        service.rollout = Some(rollout.clone());
        self.put_service(service);
        Ok(Response::Done)
    }

    pub(super) fn roll_back(
        &mut self,
        id: ServiceId,
        template: TemplateVersion,
        message: &str,
    ) -> Result<Response, Refusal> {
        let service = self.wanting(id, template)?;
        let Some(previous) = service.previous_spec.clone() else {
            return Err(Refusal::Outdated { what: format!("service {id} has no previous spec") });
        };
        let checked = check::service(self.state, &previous, Some(&service))?;
        self.change_spec(service, checked.spec, RolloutKind::Rollback, message)?;
        Ok(Response::Done)
    }
}

impl State {
    /// The networks on which a service needs a virtual address by this spec, and has none yet.
    pub(crate) fn wants_addresses_on(&self, spec: &ServiceSpec, has: &Endpoint) -> Vec<NetworkId> {
        if spec.endpoint_spec.as_ref().is_some_and(|endpoint| endpoint.is_dnsrr()) {
            return Vec::new();
        }
        let mut networks = overlay_networks(&template_of(self, spec));
        networks.retain(|network| !has.vips.contains_key(network));
        networks
    }
}

pub(super) fn is_job(spec: &ServiceSpec) -> bool {
    match spec.mode.kind() {
        ModeKind::ReplicatedJob { .. } | ModeKind::GlobalJob => true,
        ModeKind::Replicated { .. } | ModeKind::Global => false,
    }
}

/// The overlay networks of a template, in its order, each once.
pub(crate) fn overlay_networks(template: &Template) -> Vec<NetworkId> {
    let mut networks = Vec::new();
    for attached in &template.task.networks {
        if let Ok(id) = attached.target.parse::<Id>()
            && !networks.contains(&NetworkId(id))
        {
            networks.push(NetworkId(id));
        }
    }
    networks
}

/// What tasks of this spec are made of. A service that publishes an ingress port and is on no
/// network gets the ingress network, so that its tasks have an address.
fn template_of(state: &State, spec: &ServiceSpec) -> Template {
    let mut task = spec.task_template.clone();
    task.networks = spec.effective_networks().to_vec();
    let ports = spec.endpoint_spec.as_ref().map(|e| e.ports.as_slice()).unwrap_or_default();
    let publishes = ports.iter().any(|p| !p.publish_mode.is_host());
    // Clients are shown the word for an absent condition and write it back: that is no change.
    if let Some(policy) = task.restart_policy.as_mut().filter(|p| p.condition.is_empty()) {
        "any".clone_into(&mut policy.condition);
    }
    if publishes
        && task.networks.is_empty()
        && let Some(ingress) = state.ingress_network()
    {
        let target = ingress.id.to_string();
        task.networks.push(NetworkAttachmentConfig { target, ..Default::default() });
    }
    Template {
        task,
        host_ports: ports.iter().filter(|p| p.publish_mode.is_host()).cloned().collect(),
        stack: spec.stack().map(str::to_owned),
    }
}
