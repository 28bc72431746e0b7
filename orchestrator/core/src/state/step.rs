//! One entry being applied: the only place where objects enter, change and leave the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::object::{
    Cluster, Config, Meta, Network, Node, Revision, Secret, Service, Task, Version,
};
use model::{Id, NetworkId, ServiceId, TaskId, Timestamp};

use super::State;
use super::index::holds_addresses;
use crate::command::{Change, ChangeKind, ObjectRef, TaskPlace};

/// One entry being applied.
pub(super) struct Step<'a> {
    pub(super) state: &'a mut State,
    pub(super) revision: Revision,
    pub(super) now: Timestamp,
    /// Ids made by this entry so far.
    pub(super) made: u64,
    pub(super) changes: Changes,
}

/// What the entry touched, each object once, in order of the first touch.
#[derive(Clone, Default)]
pub(super) struct Changes {
    pub(super) list: Vec<Change>,
    at: BTreeMap<ObjectRef, usize>,
}

impl Changes {
    fn note(&mut self, object: ObjectRef, kind: ChangeKind, name: &str, task: Option<TaskPlace>) {
        if let Some(at) = self.at.get(&object) {
            let known = &mut self.list[*at];
            known.kind = match (known.kind, kind) {
                (_, ChangeKind::Removed) => ChangeKind::Removed,
                (ChangeKind::Created, _) => ChangeKind::Created,
                (_, kind) => kind,
            };
            if let Some(mut task) = task {
                task.networks.extend(known.task.take().map(|t| t.networks).unwrap_or_default());
                known.task = Some(task);
            }
        } else {
            self.at.insert(object, self.list.len());
            self.list.push(Change { object, kind, name: name.to_owned(), task });
        }
    }
}

impl Step<'_> {
    /// A new id.
    pub(super) fn make_id(&mut self) -> Id {
        let seed = self.state.cluster.as_ref().map_or(0, |c| c.seed);
        self.made += 1;
        Id::derive(seed, self.revision.0, self.made)
    }

    /// The meta data of an object made by this entry.
    pub(super) fn fresh(&self) -> Meta {
        Meta { version: Version(self.revision.0), created_at: self.now, updated_at: self.now }
    }

    /// Marks that a client wrote the object.
    pub(super) fn written(&self, meta: &mut Meta) {
        meta.version = Version(self.revision.0);
        meta.updated_at = self.now;
    }

    pub(super) fn put_cluster(&mut self, cluster: Cluster) {
        let kind = kind(self.state.cluster.is_some());
        self.changes.note(ObjectRef::Cluster, kind, "", None);
        self.state.cluster = Some(Arc::new(cluster));
    }

    pub(super) fn put_node(&mut self, node: Node) {
        let known = self.state.nodes.contains_key(&node.id);
        let name = &node.description.hostname;
        self.changes.note(ObjectRef::Node(node.id), kind(known), name, None);
        self.state.nodes.insert_mut(node.id, Arc::new(node));
    }

    pub(super) fn drop_node(&mut self, node: &Node) {
        let name = &node.description.hostname;
        self.changes.note(ObjectRef::Node(node.id), ChangeKind::Removed, name, None);
        self.state.nodes.remove_mut(&node.id);
    }

    /// Stores a service. A template that is neither current nor a task's goes.
    pub(super) fn put_service(&mut self, mut service: Service) {
        let (id, current) = (service.id, service.template);
        let users = &self.state.index.template_users;
        service.templates.retain(|v, _| *v == current || users.contains_key(&(id, *v)));
        let old = self.state.services.get(&id).cloned();
        if let Some(old) = &old {
            self.state.index.service(old, false);
        }
        self.state.index.service(&service, true);
        self.changes.note(ObjectRef::Service(id), kind(old.is_some()), &service.spec.name, None);
        self.state.services.insert_mut(id, Arc::new(service));
    }

    fn drop_service(&mut self, service: &Service) {
        for (network, address) in &service.endpoint.vips {
            self.give_back(*network, *address);
        }
        let name = &service.spec.name;
        self.changes.note(ObjectRef::Service(service.id), ChangeKind::Removed, name, None);
        self.state.index.service(service, false);
        self.state.services.remove_mut(&service.id);
        for network in service.endpoint.vips.keys() {
            self.drop_network_if_unused(*network);
        }
    }

    /// Ends the record of a service that is being removed, once its last task has gone.
    pub(super) fn drop_service_if_empty(&mut self, id: ServiceId) {
        let Some(service) = self.state.services.get(&id).cloned() else { return };
        if service.removed.is_some() && self.state.tasks_of(id).next().is_none() {
            self.drop_service(&service);
        }
    }

    /// Stores a task. Addresses go back as soon as nothing on its node can use them any more.
    pub(super) fn put_task(&mut self, mut task: Task) {
        let old = self.state.tasks.get(&task.id).cloned();
        let mut place = place(&task);
        if let Some(old) = &old {
            place.networks.extend(old.attachments.iter().map(|a| a.network));
            let kept = (old.node, &old.attachments) == (task.node, &task.attachments);
            if kept && presence(old) == presence(&task) {
                place.networks.clear();
            }
            self.index_task(old, false);
            if holds_addresses(old) && !holds_addresses(&task) {
                for attachment in std::mem::take(&mut task.attachments) {
                    self.give_back(attachment.network, attachment.address);
                }
            }
        }
        let task = Arc::new(task);
        self.index_task(&task, true);
        self.changes.note(ObjectRef::Task(task.id), kind(old.is_some()), "", Some(place));
        self.state.tasks.insert_mut(task.id, task);
        if let Some(old) = old {
            for attachment in &old.attachments {
                self.drop_network_if_unused(attachment.network);
            }
        }
    }

    /// Ends the record of a task, and of the template that only it still had.
    pub(super) fn drop_task(&mut self, id: TaskId) {
        let Some(task) = self.state.tasks.get(&id).cloned() else { return };
        self.index_task(&task, false);
        if holds_addresses(&task) {
            for attachment in &task.attachments {
                self.give_back(attachment.network, attachment.address);
            }
        }
        let place = place(&task);
        self.changes.note(ObjectRef::Task(id), ChangeKind::Removed, "", Some(place));
        self.state.tasks.remove_mut(&id);
        for attachment in &task.attachments {
            self.drop_network_if_unused(attachment.network);
        }
        let key = (task.service, task.template);
        if !self.state.index.template_users.contains_key(&key)
            && let Some(service) = self.state.services.get(&task.service).cloned()
            && service.template != task.template
        {
            self.put_service((*service).clone());
        }
        self.drop_service_if_empty(task.service);
    }

    fn index_task(&mut self, task: &Arc<Task>, up: bool) {
        let service = self.state.services.get(&task.service);
        let template = service.and_then(|s| s.templates.get(&task.template)).cloned();
        self.state.index.task(task, template.as_deref(), up);
    }

    pub(super) fn put_network(&mut self, network: Network) {
        let old = self.state.networks.get(&network.id).cloned();
        if let Some(old) = &old {
            self.state.index.network(old, false);
        }
        self.state.index.network(&network, true);
        let object = ObjectRef::Network(network.id);
        self.changes.note(object, kind(old.is_some()), &network.spec.name, None);
        self.state.networks.insert_mut(network.id, Arc::new(network));
    }

    /// Ends the record of a network that is being removed, once nothing holds an address of it.
    pub(super) fn drop_network_if_unused(&mut self, id: NetworkId) {
        let Some(network) = self.state.networks.get(&id).cloned() else { return };
        if network.removed.is_none() || self.state.network_nodes(id).next().is_some() {
            return;
        }
        // A service that is being removed keeps its virtual address until its last task has gone.
        if self.state.services.values().any(|s| s.endpoint.vips.contains_key(&id)) {
            return;
        }
        let name = &network.spec.name;
        self.changes.note(ObjectRef::Network(id), ChangeKind::Removed, name, None);
        self.state.index.network(&network, false);
        self.state.networks.remove_mut(&id);
        self.state.pools.remove_mut(&id);
    }

    pub(super) fn put_secret(&mut self, secret: Secret) {
        let old = self.state.secrets.get(&secret.id).cloned();
        if let Some(old) = &old {
            self.state.index.secret(old, false);
        }
        self.state.index.secret(&secret, true);
        let object = ObjectRef::Secret(secret.id);
        self.changes.note(object, kind(old.is_some()), &secret.spec.name, None);
        self.state.secrets.insert_mut(secret.id, Arc::new(secret));
    }

    pub(super) fn drop_secret(&mut self, secret: &Secret) {
        let name = &secret.spec.name;
        self.changes.note(ObjectRef::Secret(secret.id), ChangeKind::Removed, name, None);
        self.state.index.secret(secret, false);
        self.state.secrets.remove_mut(&secret.id);
    }

    pub(super) fn put_config(&mut self, config: Config) {
        let old = self.state.configs.get(&config.id).cloned();
        if let Some(old) = &old {
            self.state.index.config(old, false);
        }
        self.state.index.config(&config, true);
        let object = ObjectRef::Config(config.id);
        self.changes.note(object, kind(old.is_some()), &config.spec.name, None);
        self.state.configs.insert_mut(config.id, Arc::new(config));
    }

    pub(super) fn drop_config(&mut self, config: &Config) {
        let name = &config.spec.name;
        self.changes.note(ObjectRef::Config(config.id), ChangeKind::Removed, name, None);
        self.state.index.config(config, false);
        self.state.configs.remove_mut(&config.id);
    }
}

fn kind(known: bool) -> ChangeKind {
    if known { ChangeKind::Updated } else { ChangeKind::Created }
}

/// What others on its networks can notice of a task: whether it may be spoken to, and whether its
/// addresses are held.
fn presence(task: &Task) -> (bool, bool) {
    (task.status.state.is_terminal(), holds_addresses(task))
}

fn place(task: &Task) -> TaskPlace {
    TaskPlace {
        service: task.service,
        slot: task.slot,
        node: task.node,
        networks: task.attachments.iter().map(|a| a.network).collect(),
    }
}
