//! What is looked up often, kept as objects change.
//!
//! Every index is a function of the objects alone: [`Index::of`] makes it anew, and the tests
//! compare. Objects are put in and taken out whole, so no count is kept by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use rpds::RedBlackTreeSetSync;

use model::lifecycle::Desired;
use model::object::{Config, Network, Secret, Service, Slot, Task, Template, TemplateVersion};
use model::spec::Protocol;
use model::{ConfigId, Id, NetworkId, NodeId, SecretId, ServiceId, TaskId, TaskState};

use super::{Map, State};
use crate::command::ObjectRef;

type Set<T> = RedBlackTreeSetSync<T>;

/// What the tasks of a node hold of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeUse {
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    pub memory_bytes: i64,
    /// Kind to number.
    pub generic: BTreeMap<String, i64>,
    /// Host-mode ports, and how many tasks hold each.
    pub host_ports: BTreeMap<(Protocol, u16), u32>,
    /// Tasks that have not ended.
    pub tasks: u32,
}

/// The tasks of one service on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Wanted and not ended.
    pub live: u32,
    /// Failed or rejected ones that are still on record.
    pub failed: u32,
}

/// What one task takes from its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub nano_cpus: i64,
    pub memory_bytes: i64,
    pub generic: Vec<(String, i64)>,
    pub host_ports: Vec<(Protocol, u16)>,
}

impl Claim {
    /// What a task of this template takes.
    #[must_use]
    pub fn of(template: &Template) -> Claim {
        let reserved = template.task.resources.as_ref().and_then(|r| r.reservations.as_ref());
        Claim {
            nano_cpus: reserved.map_or(0, |r| r.nano_cpus),
            memory_bytes: reserved.map_or(0, |r| r.memory_bytes),
            generic: reserved
                .map(|r| r.generic_resources.iter().filter_map(generic).collect())
                .unwrap_or_default(),
            host_ports: template
                .host_ports
                .iter()
                .filter(|p| p.published_port != 0)
                .map(|p| (p.protocol.effective(), p.published_port))
                .collect(),
        }
    }
}

/// Kind and number of a generic resource; a named one is one of its kind.
pub(crate) fn generic(resource: &model::spec::GenericResource) -> Option<(String, i64)> {
    match (&resource.discrete_resource_spec, &resource.named_resource_spec) {
        (Some(discrete), _) => Some((discrete.kind.clone(), discrete.value)),
        (None, Some(named)) => Some((named.kind.clone(), 1)),
        (None, None) => None,
    }
}

impl NodeUse {
    /// Adds what one more task takes.
    pub fn add(&mut self, claim: &Claim) {
        self.tasks += 1;
        self.nano_cpus += claim.nano_cpus;
        self.memory_bytes += claim.memory_bytes;
        for (kind, number) in &claim.generic {
            *self.generic.entry(kind.clone()).or_default() += number;
        }
        for port in &claim.host_ports {
            *self.host_ports.entry(*port).or_default() += 1;
        }
    }

    fn remove(&mut self, claim: &Claim) {
        self.tasks = self.tasks.saturating_sub(1);
        self.nano_cpus -= claim.nano_cpus;
        self.memory_bytes -= claim.memory_bytes;
        for (kind, number) in &claim.generic {
            *self.generic.entry(kind.clone()).or_default() -= number;
        }
        self.generic.retain(|_, number| *number != 0);
        for port in &claim.host_ports {
            *self.host_ports.entry(*port).or_default() -= 1;
        }
        self.host_ports.retain(|_, holders| *holders != 0);
    }
}

/// All indexes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) service_names: Map<String, ServiceId>,
    pub(super) network_names: Map<String, NetworkId>,
    pub(super) secret_names: Map<String, SecretId>,
    pub(super) config_names: Map<String, ConfigId>,
    /// Service, slot, birth, task: a service's tasks by slot, oldest first.
    pub(super) slots: Map<(ServiceId, Slot, u64, TaskId), Arc<Task>>,
    pub(super) on_node: Map<(NodeId, TaskId), Arc<Task>>,
    /// The tasks that have had a container, by the first digits of its id.
    pub(super) containers: Set<(u64, TaskId)>,
    pub(super) tallies: Map<(ServiceId, NodeId), Tally>,
    pub(super) node_use: Map<NodeId, Arc<NodeUse>>,
    pub(super) template_users: Map<(ServiceId, TemplateVersion), u32>,
    /// Tasks that hold an address of the network on the node.
    pub(super) network_users: Map<(NetworkId, NodeId), u32>,
    /// Running tasks that are on their way out.
    pub(super) draining: Set<TaskId>,
    /// Wanted tasks without a node.
    pub(super) unplaced: Set<(ServiceId, TaskId)>,
    /// Ingress ports.
    pub(super) ports: Map<(Protocol, u16), ServiceId>,
    /// Networks, secrets and configs to the services whose spec names them.
    pub(super) users: Set<(ObjectRef, ServiceId)>,
    /// Service names to the services that depend on them.
    pub(super) dependents: Set<(String, ServiceId)>,
}

/// Whether a task's reservation on its node is in force.
fn is_live_on_node(task: &Task) -> bool {
    task.node.is_some() && !task.status.state.is_terminal()
}

/// Whether a task's addresses may still be in use: also those of an orphan, whose node may run on.
pub(super) fn holds_addresses(task: &Task) -> bool {
    !task.status.state.is_terminal() || task.status.state == TaskState::Orphaned
}

/// The containers' ids that begin with `id`, as a range of their first 16 digits; none when it is not
/// written in hexadecimal digits.
pub(super) fn container_range(id: &str) -> Option<(u64, u64)> {
    let first = id.get(..id.len().min(16))?;
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if first.is_empty() || !first.bytes().all(is_digit) {
        return None;
    }
    let value = u64::from_str_radix(first, 16).ok()?;
    let open = 4 * (16 - u32::try_from(first.len()).ok()?);
    let low = value << open;
    Some((low, low | ((1 << open) - 1)))
}

fn count<K: Ord + Clone>(map: &mut Map<K, u32>, key: K, up: bool) {
    let now = map.get(&key).copied().unwrap_or(0);
    let next = if up { now + 1 } else { now.saturating_sub(1) };
    if next == 0 {
        map.remove_mut(&key);
    } else {
        map.insert_mut(key, next);
    }
}

fn keep<K: Ord>(map: &mut Map<K, Arc<Task>>, key: K, task: &Arc<Task>, up: bool) {
    if up {
        map.insert_mut(key, task.clone());
    } else {
        map.remove_mut(&key);
    }
}

fn mark<T: Ord>(set: &mut Set<T>, key: T, up: bool) {
    if up {
        set.insert_mut(key);
    } else {
        set.remove_mut(&key);
    }
}

impl Index {
    /// The indexes of these objects.
    pub(super) fn of(state: &State) -> Index {
        let mut index = Index::default();
        for service in state.services.values() {
            index.service(service, true);
        }
        for task in state.tasks.values() {
            let template = state
                .services
                .get(&task.service)
                .and_then(|s| s.templates.get(&task.template).cloned());
            index.task(task, template.as_deref(), true);
        }
        for network in state.networks.values() {
            index.network(network, true);
        }
        for secret in state.secrets.values() {
            index.secret(secret, true);
        }
        for config in state.configs.values() {
            index.config(config, true);
        }
        index
    }

    /// Puts a service in (`up`) or takes it out.
    pub(super) fn service(&mut self, service: &Service, up: bool) {
        if service.removed.is_some() {
            return;
        }
        if up {
            self.service_names.insert_mut(service.spec.name.clone(), service.id);
        } else {
            self.service_names.remove_mut(&service.spec.name);
        }
        for port in service.endpoint.ports.iter().filter(|p| !p.publish_mode.is_host()) {
            let key = (port.protocol.effective(), port.published_port);
            if up {
                self.ports.insert_mut(key, service.id);
            } else {
                self.ports.remove_mut(&key);
            }
        }
        for object in references(service) {
            mark(&mut self.users, (object, service.id), up);
        }
        for dependency in &service.spec.depends_on {
            mark(&mut self.dependents, (dependency.service.clone(), service.id), up);
        }
    }

    /// Puts a task in (`up`) or takes it out.
    pub(super) fn task(&mut self, task: &Arc<Task>, template: Option<&Template>, up: bool) {
        let state = task.status.state;
        let wanted = task.desired <= Desired::Running;
        let slot = (task.service, task.slot, task.meta.version.0, task.id);
        keep(&mut self.slots, slot, task, up);
        count(&mut self.template_users, (task.service, task.template), up);
        let container = task.status.container.as_ref().and_then(|c| container_range(&c.id));
        if let Some((first, _)) = container {
            mark(&mut self.containers, (first, task.id), up);
        }
        if task.desired == Desired::Draining && !state.is_terminal() {
            mark(&mut self.draining, task.id, up);
        }
        let Some(node) = task.node else {
            if wanted && !state.is_terminal() {
                mark(&mut self.unplaced, (task.service, task.id), up);
            }
            return;
        };
        keep(&mut self.on_node, (node, task.id), task, up);
        self.tally(task, node, wanted, up);
        if is_live_on_node(task) {
            let claim = template.map(Claim::of).unwrap_or_default();
            let mut used = self.node_use.get(&node).map(|u| (**u).clone()).unwrap_or_default();
            if up {
                used.add(&claim);
            } else {
                used.remove(&claim);
            }
            if used == NodeUse::default() {
                self.node_use.remove_mut(&node);
            } else {
                self.node_use.insert_mut(node, Arc::new(used));
            }
        }
        if holds_addresses(task) {
            for attachment in &task.attachments {
                count(&mut self.network_users, (attachment.network, node), up);
            }
        }
    }

    fn tally(&mut self, task: &Task, node: NodeId, wanted: bool, up: bool) {
        let state = task.status.state;
        let live = wanted && !state.is_terminal();
        let failed = matches!(state, TaskState::Failed | TaskState::Rejected);
        if !live && !failed {
            return;
        }
        let key = (task.service, node);
        let mut tally = self.tallies.get(&key).copied().unwrap_or_default();
        let field = if live { &mut tally.live } else { &mut tally.failed };
        *field = if up { *field + 1 } else { field.saturating_sub(1) };
        if tally == Tally::default() {
            self.tallies.remove_mut(&key);
        } else {
            self.tallies.insert_mut(key, tally);
        }
    }

    pub(super) fn network(&mut self, network: &Network, up: bool) {
        if network.removed.is_some() {
            return;
        }
        if up {
            self.network_names.insert_mut(network.spec.name.clone(), network.id);
        } else {
            self.network_names.remove_mut(&network.spec.name);
        }
    }

    pub(super) fn secret(&mut self, secret: &Secret, up: bool) {
        if up {
            self.secret_names.insert_mut(secret.spec.name.clone(), secret.id);
        } else {
            self.secret_names.remove_mut(&secret.spec.name);
        }
    }

    pub(super) fn config(&mut self, config: &Config, up: bool) {
        if up {
            self.config_names.insert_mut(config.spec.name.clone(), config.id);
        } else {
            self.config_names.remove_mut(&config.spec.name);
        }
    }
}

/// The networks, secrets and configs that a service's current template names.
fn references(service: &Service) -> Vec<ObjectRef> {
    let mut objects = Vec::new();
    let Some(template) = service.templates.get(&service.template) else { return objects };
    for network in &template.task.networks {
        objects.extend(network.target.parse().ok().map(|id: Id| ObjectRef::Network(id.into())));
    }
    if let Some(container) = &template.task.container_spec {
        for secret in &container.secrets {
            objects
                .extend(secret.secret_id.parse().ok().map(|id: Id| ObjectRef::Secret(id.into())));
        }
        for config in &container.configs {
            objects
                .extend(config.config_id.parse().ok().map(|id: Id| ObjectRef::Config(id.into())));
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_containers_id_is_a_range() {
        assert_eq!(container_range("0"), Some((0, 0x0fff_ffff_ffff_ffff)));
        assert_eq!(container_range("ab"), Some((0xab00_0000_0000_0000, 0xabff_ffff_ffff_ffff)));
        let whole = "f".repeat(64);
        assert_eq!(container_range(&whole), Some((u64::MAX, u64::MAX)));
        assert_eq!(container_range(&whole[..15]), Some((u64::MAX - 15, u64::MAX)));
        for not_one in ["", "web", "AB", "+1", "é", "0123456789abcdeé"] {
            assert_eq!(container_range(not_one), None, "{not_one}");
        }
    }
}
