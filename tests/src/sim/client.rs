//! The simulated users: what they ask for at random, and what they were promised.

use std::collections::{BTreeMap, BTreeSet};

use model::object::{NodeState, RolloutState, Service, Slot};
use model::reason::Reason;
use model::spec::{
    Availability, ConfigSpec, ModeKind, NetworkSpec, Role, SecretSpec, ServiceMode, ServiceSpec,
};
use model::{NodeId, ServiceId};
use orchestrator_core::State;
use orchestrator_core::command::{
    Batch, Command, Force, Refusal, RegistryAuth, Response, ServiceChange,
};

use super::event::Event;
use super::managers::Origin;
use super::random::Random;
use super::services::{new_service, otherwise, shown};
use super::world::World;

/// What the users remember.
#[derive(Default)]
pub struct Client {
    number: u64,
    /// Creations without an answer yet.
    asked: BTreeSet<u64>,
    /// What the cluster answered, for whoever waits for it.
    pub(super) answers: BTreeMap<u64, Result<Response, Refusal>>,
    /// The service that the next wish is about, too.
    dwell: Option<ServiceId>,
    /// The next wish is about a node: it meets a plan on its way.
    node_next: bool,
    /// Services whose creation was acknowledged and whose removal was never asked for.
    pub(super) promised: BTreeSet<ServiceId>,
    /// No new wishes, only repairs.
    pub(super) peace: bool,
    /// Every node takes tasks again.
    pub(super) activate: bool,
    /// Everything goes.
    pub(super) removing: bool,
    /// Keeps answers: there is somebody to read them.
    pub(super) keeps_answers: bool,
}

impl Client {
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The cluster answered.
    pub(super) fn answered(&mut self, number: u64, answer: &Result<Response, Refusal>) {
        if self.asked.remove(&number)
            && let Ok(Response::Created { id, .. }) = answer
        {
            self.promised.insert(ServiceId(*id));
        }
        if self.keeps_answers {
            self.answers.insert(number, answer.clone());
        }
    }

    /// Nobody will ever answer.
    pub(super) fn unknown(&mut self, number: u64) {
        self.asked.remove(&number);
    }
}

/// The most services at a time.
const SERVICES: usize = 6;

impl World {
    /// Asks the cluster for something. Answers the number under which the answer will come.
    pub(super) fn ask(&mut self, command: Command) -> Option<u64> {
        let number = self.client.next_number();
        if matches!(command, Command::CreateService { .. }) {
            self.client.asked.insert(number);
        }
        if let Command::RemoveService { id } = &command {
            self.client.promised.remove(id);
        }
        let batch = Batch { commands: vec![command], base: None };
        self.propose(batch, Origin::Client(number)).then_some(number)
    }

    /// The users want something, then something else in a while.
    pub(super) fn wish(&mut self, wish: u64) {
        if self.client.peace {
            return;
        }
        let number = wish * 2;
        let mut chance = Random::of_act(self.seed, number);
        // Some change their mind at once.
        let again = chance.chance(15);
        let wait =
            if again { chance.range(5, 400) } else { chance.range(200, 4_000) * self.pace() };
        self.later(wait, Event::Wish(wish + 1));
        if !self.admits(number) {
            return;
        }
        if let Some((mut command, mut what)) = self.choose(&mut chance, wish) {
            if let Command::UpdateService { version, .. } | Command::UpdateNode { version, .. } =
                &mut command
                && chance.chance(5)
            {
                version.0 -= 1;
                what.push_str(", by somebody who has not seen the last change");
            }
            self.client.dwell = match &command {
                Command::UpdateService { id, .. } if again => Some(*id),
                _ => None,
            };
            self.client.node_next = again && chance.chance(40);
            self.note_act(number, what);
            self.ask(command);
        }
    }

    fn choose(&mut self, chance: &mut Random, wish: u64) -> Option<(Command, String)> {
        let (_, state) = self.managers.leading()?;
        if let Some(first) = groundwork(state, wish) {
            return Some(first);
        }
        let services: Vec<_> = state.services().filter(|s| s.removed.is_none()).cloned().collect();
        let action = chance.range(0, 100);
        let dwelt_on = services.iter().find(|s| self.client.dwell == Some(s.id));
        if std::mem::take(&mut self.client.node_next) {
            return change_node(chance, state);
        }
        if let Some(service) = dwelt_on {
            return change_service(chance, service, action % 72);
        }
        // Whoever has many hosts sees soon to what fails on every one of them.
        if self.pace() > 1
            && let Some(service) = services.iter().find(|s| fails_everywhere(s))
            && chance.chance(60)
        {
            return Some(mend(service));
        }
        if services.is_empty() || (action < 25 && services.len() < SERVICES) {
            let others: Vec<&str> = services.iter().map(|s| s.spec.name.as_str()).collect();
            let spec = Box::new(new_service(chance, wish, &others));
            let what = format!("create service {}: {}", spec.name, shown(&spec));
            return Some((Command::CreateService { spec, registry_auth: None }, what));
        }
        let service = &services[chance.index(services.len())];
        match action {
            0..86 => change_service(chance, service, action),
            86..88 => remove_node(state),
            88 => remove_thing(chance, state),
            89..92 => {
                // What a rebalancing asks for.
                let tasks: Vec<_> = state.tasks_of(service.id).map(|t| t.id).collect();
                let tasks: Vec<_> = tasks.into_iter().filter(|_| chance.chance(40)).collect();
                let what = format!("move {} tasks of {}", tasks.len(), service.spec.name);
                Some((Command::MoveTasks { tasks }, what))
            }
            _ => change_node(chance, state),
        }
    }

    /// Users repair what was broken on purpose, or remove everything.
    pub(super) fn users_mend(&mut self) {
        self.later(1_000, Event::Mend);
        let Some((_, state)) = self.managers.leading() else { return };
        let commands = if self.client.removing { removals(state) } else { self.repairs(state) };
        for command in commands {
            self.ask(command);
        }
    }

    /// Every image a good one, every change able to go on; every node active, if so wished.
    fn repairs(&self, state: &State) -> Vec<Command> {
        let mut commands = Vec::new();
        for node in state.nodes() {
            let idle = node.spec.availability != Availability::Active && self.client.activate;
            if idle {
                let mut spec = node.spec.clone();
                spec.availability = Availability::Active;
                let (id, version) = (node.id, node.meta.version);
                commands.push(Command::UpdateNode { id, version, spec: Box::new(spec) });
            }
            // A host that joined again under another name left this one behind.
            if !self.hosts.iter().any(|h| h.node == node.id) && node.status.state == NodeState::Down
            {
                commands.push(Command::RemoveNode { id: node.id, force: Force::Yes });
            }
        }
        for service in state.services().filter(|s| s.removed.is_none()) {
            let image = image_of(&service.spec);
            let paused = service.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Paused);
            // On a paused node nothing starts again, however often it is asked for.
            let takes = |node: NodeId| {
                state.node(node).is_some_and(|n| n.spec.availability != Availability::Pause)
            };
            let given_up = state.tasks_of(service.id).any(|t| {
                let exhausted = matches!(t.waiting, Some(Reason::RestartsExhausted { .. }));
                exhausted && !matches!(t.slot, Slot::Node(node) if !takes(node))
            });
            if is_ill(&image) || paused || given_up {
                let mut spec = (*service.spec).clone();
                if let Some(container) = &mut spec.task_template.container_spec {
                    let good = if image.starts_with("job:") { "job:0" } else { "app:mended" };
                    good.clone_into(&mut container.image);
                }
                spec.task_template.force_update += 1;
                commands.push(update(service, ServiceChange::Spec(Box::new(spec))));
            }
        }
        commands
    }
}

/// It ends by itself, sooner or later.
fn is_ill(image: &str) -> bool {
    image.ends_with(":bad") || image.ends_with(":flaky")
}

fn fails_everywhere(service: &Service) -> bool {
    let everywhere = matches!(service.spec.mode.kind(), ModeKind::Global);
    everywhere && is_ill(&image_of(&service.spec))
}

/// A good image, everywhere at once.
fn mend(service: &Service) -> (Command, String) {
    let mut spec = (*service.spec).clone();
    if let Some(container) = &mut spec.task_template.container_spec {
        "app:mended".clone_into(&mut container.image);
    }
    let mut config = spec.effective_update();
    config.parallelism = 0;
    spec.update_config = Some(config);
    let what = format!("mend {}", spec.name);
    (update(service, ServiceChange::Spec(Box::new(spec))), what)
}

fn image_of(spec: &ServiceSpec) -> String {
    spec.task_template.container_spec.as_ref().map(|c| c.image.clone()).unwrap_or_default()
}

fn update(service: &Service, change: ServiceChange) -> Command {
    let (id, version) = (service.id, service.meta.version);
    Command::UpdateService { id, version, change, registry_auth: RegistryAuth::Keep }
}

fn removals(state: &State) -> Vec<Command> {
    let services = state.services().filter(|s| s.removed.is_none());
    let mut commands: Vec<Command> =
        services.map(|s| Command::RemoveService { id: s.id }).collect();
    if commands.is_empty() {
        let networks = state.networks().filter(|n| n.removed.is_none() && !n.spec.ingress);
        commands.extend(networks.map(|n| Command::RemoveNetwork { id: n.id }));
        commands.extend(state.secrets().map(|s| Command::RemoveSecret { id: s.id }));
        commands.extend(state.configs().map(|c| Command::RemoveConfig { id: c.id }));
    }
    commands
}

/// Networks, secrets and a config that services use.
fn groundwork(state: &State, wish: u64) -> Option<(Command, String)> {
    for number in 0..4 {
        let name = format!("net{number}");
        if state.network_named(&name).is_some() {
            continue;
        }
        // The last has few addresses.
        let spec = match number {
            3 => format!(
                r#"{{"Name":"{name}","IPAM":{{"Config":[{{"Subnet":"10.99.{}.0/28"}}]}}}}"#,
                wish % 250
            ),
            _ => format!(r#"{{"Name":"{name}"}}"#),
        };
        let spec: NetworkSpec = serde_json::from_str(&spec).expect("a network");
        let what = format!("create network {}", spec.name);
        return Some((Command::CreateNetwork { spec: Box::new(spec) }, what));
    }
    for name in ["secret0", "secret1"] {
        if state.secret_named(name).is_some() {
            continue;
        }
        let what = format!("create secret {name}");
        let (name, data) = (name.to_owned(), "c2VjcmV0".to_owned());
        let spec = SecretSpec { name, data, ..SecretSpec::default() };
        return Some((Command::CreateSecret { spec: Box::new(spec) }, what));
    }
    if state.configs().len() == 0 {
        let name = "config0".to_owned();
        let spec = ConfigSpec { name, data: "Y29uZmln".to_owned(), ..ConfigSpec::default() };
        let what = "create config config0".to_owned();
        return Some((Command::CreateConfig { spec: Box::new(spec) }, what));
    }
    None
}

fn change_service(
    chance: &mut Random,
    service: &Service,
    action: u64,
) -> Option<(Command, String)> {
    let name = &service.spec.name;
    let mut spec = (*service.spec).clone();
    let what = match action {
        0..34 => {
            spec.mode.replicated.as_ref()?;
            let replicas = chance.range(0, 8);
            spec.mode = ServiceMode::replicated(replicas);
            format!("scale {name} to {replicas}")
        }
        34..56 => {
            if service.job.is_some() {
                // Another run of it, maybe in the middle of this one.
                spec.task_template.force_update += 1;
                let what = format!("run {name} again");
                return Some((update(service, ServiceChange::Spec(Box::new(spec))), what));
            }
            let image = match chance.range(0, 100) {
                0..20 => "app:bad".to_owned(),
                20..30 => "app:flaky".to_owned(),
                _ => format!("app:{}", chance.range(0, 5)),
            };
            let mut config = spec.effective_update();
            config.parallelism = chance.range(0, 3);
            config.failure_action = ["pause", "continue", "rollback"][chance.index(3)].to_owned();
            config.delay = i64::try_from(chance.range(0, 3)).unwrap_or(0) * 1_000_000_000;
            config.monitor = i64::try_from(chance.range(0, 3)).unwrap_or(0) * 1_500_000_000;
            config.max_failure_ratio = [0.0, 0.0, 0.3][chance.index(3)];
            let what = format!(
                "update {name} to {image}, {} at a time, {} s apart, on failure {}",
                config.parallelism,
                config.delay / 1_000_000_000,
                config.failure_action
            );
            if let Some(container) = &mut spec.task_template.container_spec {
                container.image = image;
            }
            spec.update_config = Some(config);
            what
        }
        56..65 => {
            let (spec, what) = otherwise(chance, service)?;
            return Some((update(service, ServiceChange::Spec(Box::new(spec))), what));
        }
        65..72 => {
            let what = format!("roll {name} back");
            return Some((update(service, ServiceChange::Rollback), what));
        }
        72..80 => {
            spec.task_template.force_update += 1;
            format!("update {name} by force")
        }
        _ => {
            let what = format!("remove {name}");
            return Some((Command::RemoveService { id: service.id }, what));
        }
    };
    Some((update(service, ServiceChange::Spec(Box::new(spec))), what))
}

fn change_node(chance: &mut Random, state: &State) -> Option<(Command, String)> {
    let nodes: Vec<_> = state.nodes().collect();
    let node = nodes[chance.index(nodes.len())];
    let mut spec = node.spec.clone();
    let (id, version) = (node.id, node.meta.version);
    match chance.range(0, 100) {
        0..20 => {
            let zone = if spec.labels.get("zone").is_some_and(|z| z == "a") { "b" } else { "a" };
            spec.labels.insert("zone".to_owned(), zone.to_owned());
            let what = format!("{} is in zone {zone}", node.description.hostname);
            return Some((Command::UpdateNode { id, version, spec: Box::new(spec) }, what));
        }
        20..35 => {
            let managers = nodes.iter().filter(|n| n.spec.role == Role::Manager).count();
            spec.role = match spec.role {
                Role::Worker => Role::Manager,
                // Somebody must be left whom nobody has removed.
                Role::Manager if managers > 2 => Role::Worker,
                Role::Manager => return None,
            };
            let what = format!("make {} a {:?}", node.description.hostname, spec.role);
            return Some((Command::UpdateNode { id, version, spec: Box::new(spec) }, what));
        }
        _ => {}
    }
    spec.availability =
        [Availability::Active, Availability::Active, Availability::Drain, Availability::Pause]
            [chance.index(4)];
    let what = format!("set {} to {:?}", node.description.hostname, spec.availability);
    Some((Command::UpdateNode { id, version, spec: Box::new(spec) }, what))
}

/// A worker that is down is removed; when its host comes back it has to join anew.
fn remove_node(state: &State) -> Option<(Command, String)> {
    let gone =
        state.nodes().find(|n| n.status.state == NodeState::Down && n.spec.role == Role::Worker)?;
    let what = format!("remove node {}", gone.description.hostname);
    Some((Command::RemoveNode { id: gone.id, force: Force::No }, what))
}

/// A network or secret that may be in use; then it stays.
fn remove_thing(chance: &mut Random, state: &State) -> Option<(Command, String)> {
    if chance.chance(50) {
        let secret = state.secret_named(["secret0", "secret1"][chance.index(2)])?;
        let what = format!("remove {}", secret.spec.name);
        return Some((Command::RemoveSecret { id: secret.id }, what));
    }
    let network = state.network_named(["net1", "net2", "net3"][chance.index(3)])?;
    let what = format!("remove {}", network.spec.name);
    Some((Command::RemoveNetwork { id: network.id }, what))
}
