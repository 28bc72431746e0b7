//! A plan being written: its commands so far, and the room that they will take.

use std::collections::{BTreeMap, BTreeSet};

use model::object::Template;
use model::{NetworkId, NodeId, ServiceId, Timestamp};

use super::Limits;
use crate::State;
use crate::command::{Batch, Command};
use crate::state::{Claim, NodeUse, overlay_networks};

/// A plan being written.
pub(super) struct Draft<'a> {
    pub(super) state: &'a State,
    pub(super) now: Timestamp,
    limits: Limits,
    done: Vec<Batch>,
    current: Vec<Command>,
    written: usize,
    /// What nodes will hold once the plan is applied, where that differs from the state.
    used: BTreeMap<NodeId, NodeUse>,
    /// Tasks of a service on a node that the plan adds, less those that it stops.
    added: BTreeMap<(ServiceId, NodeId), i64>,
    /// Tasks that stop as soon as their start-first replacement runs: they still take room, but
    /// do not speak against the node.
    passing: BTreeMap<(ServiceId, NodeId), i64>,
    /// Tasks that a rebalancing takes from a node; their room is not free before they have ended.
    going: BTreeMap<NodeId, u32>,
    /// Addresses that are left once the plan is applied.
    addresses: BTreeMap<NetworkId, usize>,
    gateways: BTreeSet<(NetworkId, NodeId)>,
    /// Services still to look at; a service that is not finished puts itself back.
    pub(super) services: BTreeSet<ServiceId>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State, now: Timestamp, limits: Limits) -> Self {
        Draft {
            state,
            now,
            limits,
            done: Vec::new(),
            current: Vec::new(),
            written: 0,
            used: BTreeMap::new(),
            added: BTreeMap::new(),
            passing: BTreeMap::new(),
            going: BTreeMap::new(),
            addresses: BTreeMap::new(),
            gateways: BTreeSet::new(),
            services: BTreeSet::new(),
        }
    }

    pub(super) fn push(&mut self, command: Command) {
        self.written += 1;
        self.current.push(command);
    }

    /// Between two slots, where a batch may end.
    pub(super) fn may_cut(&mut self) {
        if self.current.len() >= self.limits.batch {
            self.cut();
        }
    }

    /// After a key. Several small keys share a batch; a large one stands alone.
    pub(super) fn end_of_key(&mut self) {
        const SHARED: usize = 64;
        if self.current.len() >= SHARED.min(self.limits.batch) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let commands = std::mem::take(&mut self.current);
        if !commands.is_empty() {
            self.done.push(Batch { commands, base: Some(self.state.revision()) });
        }
    }

    /// Nothing is to be done so far.
    pub(super) fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// As many commands as one plan may have.
    pub(super) fn is_full(&self) -> bool {
        self.written >= self.limits.commands
    }

    pub(super) fn finish(mut self) -> Vec<Batch> {
        self.cut();
        self.done
    }

    /// What the node will hold.
    pub(super) fn used(&self, node: NodeId) -> NodeUse {
        self.used.get(&node).cloned().unwrap_or_else(|| (*self.state.node_use(node)).clone())
    }

    /// How many tasks of the service the node will have.
    pub(super) fn live(&self, service: ServiceId, node: NodeId) -> u32 {
        let added = self.added.get(&(service, node)).copied().unwrap_or(0);
        let live = i64::from(self.state.tally(service, node).live) + added;
        u32::try_from(live).unwrap_or(0)
    }

    /// How many of them are there to stay.
    pub(super) fn staying(&self, service: ServiceId, node: NodeId) -> u32 {
        let passing = self.passing.get(&(service, node)).copied().unwrap_or(0);
        u32::try_from(i64::from(self.live(service, node)) - passing).unwrap_or(0)
    }

    /// Notes that the plan stops a task there.
    pub(super) fn leaves(&mut self, service: ServiceId, node: NodeId) {
        *self.added.entry((service, node)).or_default() -= 1;
    }

    /// Notes that a task there is about to be followed by another.
    pub(super) fn passes(&mut self, service: ServiceId, node: NodeId) {
        *self.passing.entry((service, node)).or_default() += 1;
    }

    /// Notes that a rebalancing takes a task from there.
    pub(super) fn gone(&mut self, node: NodeId) {
        *self.going.entry(node).or_default() += 1;
    }

    /// How many a rebalancing takes from there.
    pub(super) fn going(&self, node: NodeId) -> u32 {
        self.going.get(&node).copied().unwrap_or(0)
    }

    /// Notes that the plan puts a task there.
    pub(super) fn take_room(
        &mut self,
        service: ServiceId,
        node: NodeId,
        claim: &Claim,
        template: &Template,
    ) {
        let mut used = self.used(node);
        used.add(claim);
        self.used.insert(node, used);
        *self.added.entry((service, node)).or_default() += 1;
        for network in overlay_networks(template) {
            let asked = self.asked(network, node);
            let left = self.left(network).saturating_sub(asked);
            self.addresses.insert(network, left);
            self.gateways.insert((network, node));
        }
    }

    /// A network of the template that has no address left for a task on the node.
    pub(super) fn exhausted(&self, node: NodeId, template: &Template) -> Option<NetworkId> {
        overlay_networks(template)
            .into_iter()
            .find(|network| self.left(*network) < self.asked(*network, node))
    }

    /// Takes an address of each network for a service; false, and nothing taken, if one has none.
    pub(super) fn take_addresses(&mut self, networks: &[NetworkId]) -> bool {
        if networks.iter().any(|network| self.left(*network) == 0) {
            return false;
        }
        for network in networks {
            self.addresses.insert(*network, self.left(*network) - 1);
        }
        true
    }

    fn left(&self, network: NetworkId) -> usize {
        let known = self.addresses.get(&network).copied();
        known.unwrap_or_else(|| self.state.free_addresses(network))
    }

    /// One address for the task, one for the node's gateway if it has none there yet, or one that
    /// counts as free so far.
    fn asked(&self, network: NetworkId, node: NodeId) -> usize {
        let has_gateway =
            self.gateways.contains(&(network, node)) || self.state.has_address_on(network, node);
        if has_gateway { 1 } else { 2 }
    }
}
