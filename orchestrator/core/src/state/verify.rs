//! What always holds of a state, looked at from scratch. For tests and the simulator.

use std::collections::{BTreeMap, BTreeSet};

use model::lifecycle::Desired;
use model::object::Slot;

use super::index::{Index, holds_addresses};
use super::{State, gateway};

impl State {
    /// Checks every index against the objects, and what must be true of the objects.
    ///
    /// # Errors
    /// What does not hold, for people.
    pub fn verify(&self) -> Result<(), String> {
        if self.index != Index::of(self) {
            return Err("an index differs from the objects".to_owned());
        }
        self.verify_slots()?;
        self.verify_room()?;
        self.verify_addresses()
    }

    /// At most one wanted live task in a slot, two during a start-first replacement.
    fn verify_slots(&self) -> Result<(), String> {
        let mut live: BTreeMap<_, u32> = BTreeMap::new();
        for task in self.tasks.values() {
            let Some(service) = self.services.get(&task.service) else {
                return Err(format!("task {} has no service", task.id));
            };
            if !service.templates.contains_key(&task.template) {
                return Err(format!("task {} has no template", task.id));
            }
            if matches!((task.slot, task.node), (Slot::Node(slot), Some(node)) if slot != node) {
                return Err(format!("task {} is on another node than its slot", task.id));
            }
            if task.desired <= Desired::Running && !task.status.state.is_terminal() {
                *live.entry((task.service, task.slot)).or_default() += 1;
            }
        }
        match live.iter().find(|(_, tasks)| **tasks > 2) {
            Some((slot, tasks)) => Err(format!("{tasks} wanted tasks in slot {slot:?}")),
            None => Ok(()),
        }
    }

    /// Host ports have one holder each; reservations fit.
    fn verify_room(&self) -> Result<(), String> {
        for (id, used) in &self.index.node_use {
            if let Some((port, _)) = used.host_ports.iter().find(|(_, holders)| **holders > 1) {
                return Err(format!("host port {port:?} of node {id} has several holders"));
            }
            let Some(node) = self.nodes.get(id) else { continue };
            let has = &node.description.resources;
            if (used.nano_cpus > 0 && used.nano_cpus > has.nano_cpus)
                || (used.memory_bytes > 0 && used.memory_bytes > has.memory_bytes)
            {
                return Err(format!("more is reserved on node {id} than it has"));
            }
        }
        Ok(())
    }

    /// An address has one holder, and its pool knows. The one shown as the gateway has none.
    fn verify_addresses(&self) -> Result<(), String> {
        let mut held = BTreeSet::new();
        let tasks = self.tasks.values().filter(|t| holds_addresses(t));
        let of_tasks = tasks.flat_map(|t| t.attachments.iter().map(|a| (a.network, a.address)));
        let of_services =
            self.services.values().flat_map(|s| s.endpoint.vips.iter().map(|(n, a)| (*n, *a)));
        let of_nodes = self.networks.values().flat_map(|n| n.gateways.values().map(|a| (n.id, *a)));
        for (network, address) in of_tasks.chain(of_services).chain(of_nodes) {
            if !held.insert((network, address)) {
                return Err(format!("{address} of network {network} has two holders"));
            }
            let known = self.networks.get(&network);
            if known.is_some_and(|n| gateway(n.subnet, &n.spec) == Some(address)) {
                return Err(format!("{address} of network {network} is its gateway, and held"));
            }
            if !self.pools.get(&network).is_some_and(|pool| pool.holds(address)) {
                return Err(format!("{address} of network {network} is held but counts as free"));
            }
        }
        Ok(())
    }
}
