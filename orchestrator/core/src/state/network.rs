//! Commands about networks, secrets and configs, and the giving of addresses.

use std::net::Ipv4Addr;
use std::sync::Arc;

use model::object::{Config, Network, Secret, Subnet, Version};
use model::spec::{ConfigSpec, NetworkSpec, SecretSpec};
use model::{ConfigId, NetworkId, NodeId, SecretId};

use super::cluster::fresh_enough;
use super::pool::Pool;
use super::step::Step;
use crate::check;
use crate::command::{Kind, ObjectRef, Refusal, Response};

/// The first VXLAN identifier we give: above those of Docker's swarm mode, so that both can run on
/// the same hosts during a migration.
const FIRST_VNI: u32 = 1 << 20;
/// VXLAN identifiers have 24 bits.
const VNIS: u32 = (1 << 24) - FIRST_VNI;

impl Step<'_> {
    pub(super) fn create_network(&mut self, spec: &NetworkSpec) -> Result<Response, Refusal> {
        let checked = check::network(self.state, spec)?;
        let size = self.state.cluster.as_ref().map_or(24, |c| c.subnet_size);
        let size = if spec.ingress { self.ingress_size() } else { size };
        let id = self.add_network(&checked.spec, size)?;
        Ok(Response::Created { id: id.0, warnings: checked.warnings })
    }

    pub(super) fn add_network(
        &mut self,
        spec: &NetworkSpec,
        prefix: u8,
    ) -> Result<NetworkId, Refusal> {
        let given = spec.ipam.as_ref().and_then(|ipam| ipam.config.first());
        let subnet = match given.filter(|c| !c.subnet.is_empty()) {
            Some(config) => config
                .subnet
                .parse::<Subnet>()
                .map_err(|wrong| Refusal::Invalid { problems: vec![wrong.to_string()] })?,
            None => self.next_subnet(prefix).ok_or_else(|| Refusal::Precondition {
                message: "could not find an available, non-overlapping IPv4 address pool among \
                          the defaults to assign to the network"
                    .to_owned(),
            })?,
        };
        let id = NetworkId(self.make_id());
        let pool = Pool::new(subnet, spec);
        self.state.pools.insert_mut(id, Arc::new(pool));
        let vni = self.next_vni();
        self.put_network(Network {
            id,
            meta: self.fresh(),
            spec: Arc::new(spec.clone()),
            vni,
            subnet,
            gateways: std::collections::BTreeMap::new(),
            removed: None,
        });
        Ok(id)
    }

    /// The next subnet of this size that overlaps with none in use.
    fn next_subnet(&mut self, prefix: u8) -> Option<Subnet> {
        let cluster = self.state.cluster.clone()?;
        let pools: Vec<Subnet> =
            cluster.address_pools.iter().filter_map(|p| p.parse().ok()).collect();
        let in_pool = |pool: &Subnet| 1u32 << prefix.saturating_sub(pool.prefix).min(31);
        let total: u32 = pools.iter().map(in_pool).fold(0, u32::saturating_add);
        let start = if prefix == cluster.subnet_size { self.state.cursors.subnet } else { 0 };
        for step in 0..total {
            let number = start.wrapping_add(step) % total;
            let mut rest = number;
            let pool = pools.iter().find(|pool| {
                let here = rest < in_pool(pool);
                if !here {
                    rest -= in_pool(pool);
                }
                here
            })?;
            let address = u32::from(pool.address) + (rest << (32 - u32::from(prefix)));
            let subnet = Subnet { address: Ipv4Addr::from(address), prefix };
            if !self.state.networks.values().any(|n| n.subnet.overlaps(subnet)) {
                if prefix == cluster.subnet_size {
                    self.state.cursors.subnet = number + 1;
                }
                return Some(subnet);
            }
        }
        None
    }

    fn next_vni(&mut self) -> u32 {
        loop {
            let vni = FIRST_VNI + self.state.cursors.vni % VNIS;
            self.state.cursors.vni = self.state.cursors.vni.wrapping_add(1);
            if !self.state.networks.values().any(|n| n.vni == vni) {
                return vni;
            }
        }
    }

    pub(super) fn remove_network(&mut self, id: NetworkId) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Network, name: id.to_string() };
        let network = self.state.network(id).filter(|n| n.removed.is_none()).ok_or_else(missing)?;
        if let Some(user) = self.state.users_of(ObjectRef::Network(id)).next() {
            if network.spec.ingress {
                let message = format!(
                    "ingress network cannot be removed because service {user} depends on it"
                );
                return Err(Refusal::Precondition { message });
            }
            let message = format!("network {id} is in use by service {user}");
            return Err(Refusal::InUse { message });
        }
        let mut network = (**network).clone();
        network.removed = Some(self.now);
        network.meta.updated_at = self.now;
        self.put_network(network);
        self.drop_network_if_unused(id);
        Ok(Response::Done)
    }

    /// Gives the next address of a network. When none is left, gateways of nodes that no longer
    /// have a task there are taken back first, but not that of the node which gets one (`to`).
    pub(super) fn take_address(&mut self, id: NetworkId, to: Option<NodeId>) -> Option<Ipv4Addr> {
        let now = self.now;
        let pool = Arc::make_mut(self.state.pools.get_mut(&id)?);
        if let Some(address) = pool.take(now) {
            return Some(address);
        }
        let mut idle = self.state.idle_gateways(id);
        idle.retain(|node| Some(*node) != to);
        if idle.is_empty() {
            return None;
        }
        let mut network = self.state.network(id).map(|n| (**n).clone())?;
        for node in idle {
            if let Some(address) = network.gateways.remove(&node) {
                self.give_back(id, address);
            }
        }
        self.put_network(network);
        Arc::make_mut(self.state.pools.get_mut(&id)?).take(now)
    }

    /// Takes an address back; it rests before it is given again.
    pub(super) fn give_back(&mut self, id: NetworkId, address: Ipv4Addr) {
        let now = self.now;
        if let Some(pool) = self.state.pools.get_mut(&id) {
            Arc::make_mut(pool).give_back(address, now);
        }
    }

    /// Sees to it that the node has a gateway address on the network.
    pub(super) fn ensure_gateway(&mut self, id: NetworkId, node: NodeId) -> Option<()> {
        let network = self.state.network(id)?;
        if network.gateways.contains_key(&node) {
            return Some(());
        }
        let address = self.take_address(id, Some(node))?;
        let mut network = self.state.network(id).map(|n| (**n).clone())?;
        network.gateways.insert(node, address);
        self.put_network(network);
        Some(())
    }

    /// The node is gone for good: its gateway addresses are free.
    pub(super) fn drop_gateways(&mut self, node: NodeId) {
        let of_node: Vec<_> = self
            .state
            .networks
            .values()
            .filter(|n| n.gateways.contains_key(&node))
            .cloned()
            .collect();
        for network in of_node {
            let mut network = (*network).clone();
            if let Some(address) = network.gateways.remove(&node) {
                self.give_back(network.id, address);
            }
            self.put_network(network);
        }
    }

    pub(super) fn create_secret(&mut self, spec: &SecretSpec) -> Result<Response, Refusal> {
        let checked = check::secret(self.state, spec)?;
        let id = SecretId(self.make_id());
        self.put_secret(Secret { id, meta: self.fresh(), spec: Arc::new(checked.spec) });
        Ok(Response::Created { id: id.0, warnings: checked.warnings })
    }

    pub(super) fn update_secret(
        &mut self,
        id: SecretId,
        version: Version,
        spec: &SecretSpec,
    ) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Secret, name: id.to_string() };
        let mut secret = (**self.state.secret(id).ok_or_else(missing)?).clone();
        fresh_enough(Kind::Secret, version, secret.meta.version)?;
        let mut new = (*secret.spec).clone();
        only_labels(
            (&spec.name, &spec.data),
            (&new.name, &new.data),
            spec.templating.is_none() || spec.templating == new.templating,
        )?;
        new.labels = spec.labels.clone();
        secret.spec = Arc::new(new);
        self.written(&mut secret.meta);
        self.put_secret(secret);
        Ok(Response::Updated { warnings: Vec::new() })
    }

    pub(super) fn remove_secret(&mut self, id: SecretId) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Secret, name: id.to_string() };
        let secret = self.state.secret(id).ok_or_else(missing)?.clone();
        self.unused(ObjectRef::Secret(id), &secret.spec.name)?;
        self.drop_secret(&secret);
        Ok(Response::Done)
    }

    pub(super) fn create_config(&mut self, spec: &ConfigSpec) -> Result<Response, Refusal> {
        let checked = check::config(self.state, spec)?;
        let id = ConfigId(self.make_id());
        self.put_config(Config { id, meta: self.fresh(), spec: Arc::new(checked.spec) });
        Ok(Response::Created { id: id.0, warnings: checked.warnings })
    }

    pub(super) fn update_config(
        &mut self,
        id: ConfigId,
        version: Version,
        spec: &ConfigSpec,
    ) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Config, name: id.to_string() };
        let mut config = (**self.state.config(id).ok_or_else(missing)?).clone();
        fresh_enough(Kind::Config, version, config.meta.version)?;
        let mut new = (*config.spec).clone();
        only_labels(
            (&spec.name, &spec.data),
            (&new.name, &new.data),
            spec.templating.is_none() || spec.templating == new.templating,
        )?;
        new.labels = spec.labels.clone();
        config.spec = Arc::new(new);
        self.written(&mut config.meta);
        self.put_config(config);
        Ok(Response::Updated { warnings: Vec::new() })
    }

    pub(super) fn remove_config(&mut self, id: ConfigId) -> Result<Response, Refusal> {
        let missing = || Refusal::NotFound { kind: Kind::Config, name: id.to_string() };
        let config = self.state.config(id).ok_or_else(missing)?.clone();
        self.unused(ObjectRef::Config(id), &config.spec.name)?;
        self.drop_config(&config);
        Ok(Response::Done)
    }

    /// Refuses to remove what a service uses, naming every user as Docker does.
    fn unused(&self, object: ObjectRef, name: &str) -> Result<(), Refusal> {
        let users: Vec<&str> = self
            .state
            .users_of(object)
            .filter_map(|id| self.state.service(id))
            .map(|s| s.spec.name.as_str())
            .collect();
        if users.is_empty() {
            return Ok(());
        }
        let s = if users.len() == 1 { "" } else { "s" };
        let kind = object.kind();
        let users = users.join(", ");
        let message = format!("{kind} '{name}' is in use by the following service{s}: {users}");
        Err(Refusal::InUse { message })
    }
}

/// Docker's rule: an update may repeat name and data, and change labels.
fn only_labels(
    (name, data): (&str, &str),
    (old_name, old_data): (&str, &str),
    same_templating: bool,
) -> Result<(), Refusal> {
    let same = |new: &str, old: &str| new.is_empty() || new == old;
    if same(name, old_name) && same(data, old_data) && same_templating {
        return Ok(());
    }
    Err(Refusal::Invalid { problems: vec!["only updates to Labels are allowed".to_owned()] })
}
