//! What may be read of the state: objects by id, by name, by the beginning of an id; their relations.

use std::sync::Arc;

use model::object::{Cluster, Config, Network, Node, Revision, Secret, Service, Slot, Task};
use model::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId, Timestamp};

use super::State;

/// What a text from a user named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lookup<'a, T> {
    One(&'a Arc<T>),
    None,
    /// The beginning of several ids.
    Several,
}

impl<'a, T> Lookup<'a, T> {
    /// The one object, if it is one.
    #[must_use]
    pub fn one(self) -> Option<&'a Arc<T>> {
        match self {
            Lookup::One(object) => Some(object),
            Lookup::None | Lookup::Several => None,
        }
    }
}

impl State {
    /// The position of the last entry applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The time of the last entry applied.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Absent until the first entry.
    #[must_use]
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }
}

macro_rules! objects {
    ($($one:ident, $all:ident, $find:ident, $id:ty, $object:ty, $what:literal;)+) => {
        impl State {$(
            #[doc = concat!("The ", $what, " with this id.")]
            #[must_use]
            pub fn $one(&self, id: $id) -> Option<&Arc<$object>> {
                self.$all.get(&id)
            }

            #[doc = concat!("Every ", $what, ", by id.")]
            pub fn $all(&self) -> impl ExactSizeIterator<Item = &Arc<$object>> {
                self.$all.values()
            }
        )+}
    };
}

objects! {
    node, nodes, find_node, NodeId, Node, "node";
    service, services, find_service, ServiceId, Service, "service (also one being removed)";
    task, tasks, find_task, TaskId, Task, "task";
    network, networks, find_network, NetworkId, Network, "network (also one being removed)";
    secret, secrets, find_secret, SecretId, Secret, "secret";
    config, configs, find_config, ConfigId, Config, "config";
}

macro_rules! find {
    ($($find:ident, $id:ty, $object:ty, $what:literal;)+) => {
        impl State {$(
            #[doc = concat!("The ", $what, " that a user means: by full id, else by exact name, ")]
            #[doc = "else by the beginning of its id. What is being removed is not found."]
            #[must_use]
            pub fn $find(&self, text: &str) -> Lookup<'_, $object> {
                let _ = text;
                Lookup::None
            }
        )+}
    };
}

find! {
    find_node, NodeId, Node, "node";
    find_service, ServiceId, Service, "service";
    find_task, TaskId, Task, "task";
    find_network, NetworkId, Network, "network";
    find_secret, SecretId, Secret, "secret";
    find_config, ConfigId, Config, "config";
}

impl State {
    /// The service of this name that is not being removed.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        let _ = name;
        None
    }

    /// The network of this name that is not being removed.
    #[must_use]
    pub fn network_named(&self, name: &str) -> Option<&Arc<Network>> {
        let _ = name;
        None
    }

    /// The secret of this name.
    #[must_use]
    pub fn secret_named(&self, name: &str) -> Option<&Arc<Secret>> {
        let _ = name;
        None
    }

    /// The config of this name.
    #[must_use]
    pub fn config_named(&self, name: &str) -> Option<&Arc<Config>> {
        let _ = name;
        None
    }

    /// A service's tasks by slot, oldest first in each.
    pub fn tasks_of(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values().filter(move |t| t.service == service)
    }

    /// The tasks of one slot, oldest first.
    pub fn tasks_in(&self, service: ServiceId, slot: Slot) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_of(service).filter(move |t| t.slot == slot)
    }

    /// The tasks that have this node, also ended ones.
    pub fn tasks_on(&self, node: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values().filter(move |t| t.node == Some(node))
    }
}
