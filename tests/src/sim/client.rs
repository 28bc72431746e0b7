//! The simulated users: what they ask for at random, and what they were promised.

use std::collections::{BTreeMap, BTreeSet};

use model::ServiceId;
use model::spec::{Availability, NetworkSpec, SecretSpec, ServiceMode, ServiceSpec};
use orchestrator_core::State;
use orchestrator_core::command::{Batch, Command, Refusal, RegistryAuth, Response, ServiceChange};

use super::managers::Origin;
use super::world::{Event, World};

/// What the users remember.
#[derive(Default)]
pub struct Client {
    number: u64,
    /// Creations and removals without an answer yet.
    asked: BTreeMap<u64, Asked>,
    /// Services whose creation was acknowledged and whose removal was never asked for.
    promised: BTreeSet<ServiceId>,
    /// No new wishes, only repairs.
    pub peace: bool,
    /// Everything goes.
    pub removing: bool,
}

enum Asked {
    Create,
    Other,
}

impl Client {
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.asked.insert(self.number, Asked::Other);
        self.number
    }

    /// The cluster answered.
    pub(super) fn answered(&mut self, number: u64, answer: &Result<Response, Refusal>) {
        if let (Some(Asked::Create), Ok(Response::Created { id, .. })) =
            (self.asked.remove(&number), answer)
        {
            self.promised.insert(ServiceId(*id));
        }
    }

    /// Nobody will ever answer.
    pub(super) fn unknown(&mut self, number: u64) {
        self.asked.remove(&number);
    }

    /// Whether everything that was acknowledged is there.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn kept(&self, state: &State) -> Result<(), String> {
        match self.promised.iter().find(|id| state.service(**id).is_none()) {
            Some(id) => Err(format!("service {id} was acknowledged and is not there")),
            None => Ok(()),
        }
    }
}

/// The most services at a time.
const SERVICES: usize = 6;

impl World {
    /// The users do something, then something else in a while.
    pub(super) fn client_acts(&mut self) {
        let wait = if self.client.peace || self.client.removing {
            self.repair();
            1_000
        } else {
            if let Some(command) = self.wish() {
                let number = self.client.next_number();
                if matches!(command, Command::CreateService { .. }) {
                    self.client.asked.insert(number, Asked::Create);
                }
                if let Command::RemoveService { id } = &command {
                    self.client.promised.remove(id);
                }
                let batch = Batch { commands: vec![command], base: None };
                self.propose(batch, Origin::Client(number));
            }
            self.random.range(200, 4_000)
        };
        self.later(wait, Event::Client);
    }

    fn repair(&mut self) {
        if !self.client.removing {
            self.mend();
            return;
        }
        let Some((_, state)) = self.managers.leading() else { return };
        let services = state.services().filter(|s| s.removed.is_none());
        let mut commands: Vec<Command> =
            services.map(|s| Command::RemoveService { id: s.id }).collect();
        if commands.is_empty() {
            let networks = state.networks().filter(|n| n.removed.is_none() && !n.spec.ingress);
            commands.extend(networks.map(|n| Command::RemoveNetwork { id: n.id }));
            commands.extend(state.secrets().map(|s| Command::RemoveSecret { id: s.id }));
        }
        for command in commands {
            let number = self.client.next_number();
            let batch = Batch { commands: vec![command], base: None };
            self.propose(batch, Origin::Client(number));
        }
    }

    fn wish(&mut self) -> Option<Command> {
        let (_, state) = self.managers.leading()?;
        let services: Vec<_> = state.services().filter(|s| s.removed.is_none()).cloned().collect();
        let nodes: Vec<_> = state.nodes().cloned().collect();
        let (networks, secrets) = (state.networks().len(), state.secrets().len());
        if networks < 3 {
            let spec = NetworkSpec { name: format!("net{networks}"), ..NetworkSpec::default() };
            return Some(Command::CreateNetwork { spec: Box::new(spec) });
        }
        if secrets < 2 {
            let spec = SecretSpec {
                name: format!("secret{secrets}"),
                data: "c2VjcmV0".to_owned(),
                ..SecretSpec::default()
            };
            return Some(Command::CreateSecret { spec: Box::new(spec) });
        }
        let action = self.random.range(0, 100);
        if services.is_empty() || (action < 25 && services.len() < SERVICES) {
            let spec = Box::new(self.new_service());
            return Some(Command::CreateService { spec, registry_auth: None });
        }
        let service = &services[self.random.index(services.len())];
        let node = &nodes[self.random.index(nodes.len())];
        let mut spec = (*service.spec).clone();
        match action {
            0..40 => {
                if spec.mode.global.is_some() {
                    return None;
                }
                spec.mode = ServiceMode::replicated(self.random.range(0, 8));
            }
            40..65 => {
                let image = if self.random.chance(25) {
                    "app:bad".to_owned()
                } else {
                    format!("app:{}", self.random.range(0, 5))
                };
                if let Some(container) = &mut spec.task_template.container_spec {
                    container.image = image;
                }
                let mut config = spec.effective_update();
                config.parallelism = self.random.range(0, 3);
                config.failure_action =
                    ["pause", "continue", "rollback"][self.random.index(3)].to_owned();
                config.delay = i64::try_from(self.random.range(0, 3)).unwrap_or(0) * 1_000_000_000;
                spec.update_config = Some(config);
            }
            65..72 => {
                return Some(Command::UpdateService {
                    id: service.id,
                    version: service.meta.version,
                    change: ServiceChange::Rollback,
                    registry_auth: RegistryAuth::Keep,
                });
            }
            72..80 => spec.task_template.force_update += 1,
            80..86 => return Some(Command::RemoveService { id: service.id }),
            _ => {
                let mut spec = node.spec.clone();
                spec.availability = [
                    Availability::Active,
                    Availability::Active,
                    Availability::Drain,
                    Availability::Pause,
                ][self.random.index(4)];
                let (id, version) = (node.id, node.meta.version);
                return Some(Command::UpdateNode { id, version, spec: Box::new(spec) });
            }
        }
        Some(Command::UpdateService {
            id: service.id,
            version: service.meta.version,
            change: ServiceChange::Spec(Box::new(spec)),
            registry_auth: RegistryAuth::Keep,
        })
    }

    fn new_service(&mut self) -> ServiceSpec {
        let number = self.client.number;
        let mode = if self.random.chance(20) {
            r#""Global":{}"#.to_owned()
        } else {
            format!(r#""Replicated":{{"Replicas":{}}}"#, self.random.range(1, 8))
        };
        let network = self.random.range(0, 2);
        let order = if self.random.chance(40) { "start-first" } else { "stop-first" };
        let secret = if self.random.chance(40) {
            r#","Secrets":[{"SecretName":"secret0","SecretID":"secret0"}]"#
        } else {
            ""
        };
        let ports = if self.random.chance(50) {
            r#","EndpointSpec":{"Ports":[{"TargetPort":80}]}"#
        } else {
            ""
        };
        let text = format!(
            r#"{{"Name":"s{number}","TaskTemplate":{{
                "ContainerSpec":{{"Image":"app:0"{secret}}},
                "Networks":[{{"Target":"net{network}"}}],
                "Resources":{{"Reservations":{{"NanoCPUs":200000000}}}}}},
                "Mode":{{{mode}}},
                "UpdateConfig":{{"Parallelism":1,"Order":"{order}"}}{ports}}}"#
        );
        serde_json::from_str(&text).expect("a service spec")
    }
}
