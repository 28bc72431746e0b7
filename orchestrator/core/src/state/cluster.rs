//! Commands about the cluster and its nodes.

use model::lifecycle::{Desired, Owner};
use model::object::{Cluster, Node, NodeDescription, NodeState, NodeStatus, Version};
use model::spec::{ClusterSpec, NetworkSpec, NodeSpec, Role};
use model::{ClusterId, Id, NodeId, TaskState};

use super::rotation::change_root;
use super::step::Step;
use crate::check;
use crate::command::{
    Bootstrap, DEFAULT_POOLS, DEFAULT_SUBNET_SIZE, Force, JoinNode, Kind, NewUnlockKey, Refusal,
    Response, RootChange, first_node,
};

/// The name that the network has, at first, which services with published ports and no network of
/// their own get.
pub const INGRESS: &str = "ingress";

/// Prefix length of the ingress network's subnet: every service with a published port may have its
/// tasks here, so it is larger than others (65,534 addresses).
const INGRESS_SIZE: u8 = 16;

impl Step<'_> {
    pub(super) fn bootstrap(&mut self, start: &Bootstrap) -> Result<Response, Refusal> {
        if self.state.cluster.is_some() {
            let message = "this cluster has been started before".to_owned();
            return Err(Refusal::Unavailable { message });
        }
        check::cluster(&start.spec, None)?;
        let or_default = |given: &[String]| -> Vec<String> {
            if given.is_empty() {
                DEFAULT_POOLS.iter().map(|s| (*s).to_owned()).collect()
            } else {
                given.to_vec()
            }
        };
        let subnet_size =
            if start.subnet_size == 0 { DEFAULT_SUBNET_SIZE } else { start.subnet_size };
        let mut spec = start.spec.clone();
        if spec.name.is_empty() {
            "default".clone_into(&mut spec.name);
        }
        self.put_cluster(Cluster {
            id: ClusterId(Id::derive(start.seed, 0, 1)),
            meta: self.fresh(),
            spec,
            seed: start.seed,
            ca: start.ca.clone(),
            trust: None,
            rotation: None,
            tokens: start.tokens.clone(),
            address_pools: or_default(&start.address_pools),
            subnet_size,
            data_path_port: start.data_path_port,
            relay_key: start.relay_key.clone(),
            unlock_key: start.unlock_key.clone(),
        });
        let ingress = NetworkSpec {
            name: INGRESS.to_owned(),
            driver: "overlay".to_owned(),
            scope: "swarm".to_owned(),
            ingress: true,
            ..NetworkSpec::default()
        };
        self.add_network(&ingress, self.ingress_size())?;
        let node = first_node(start.seed);
        self.add_node(node, &start.node);
        Ok(Response::Joined { node })
    }

    /// The prefix length of an ingress network that asks for none.
    pub(super) fn ingress_size(&self) -> u8 {
        let pools = self.state.cluster.iter().flat_map(|cluster| &cluster.address_pools);
        let largest = pools
            .filter_map(|pool| pool.parse::<model::object::Subnet>().ok())
            .map(|pool| pool.prefix)
            .min()
            .unwrap_or(INGRESS_SIZE);
        INGRESS_SIZE.max(largest + 4).min(28)
    }

    pub(super) fn join_node(&mut self, join: &JoinNode) -> Result<Response, Refusal> {
        let node = NodeId(self.make_id());
        self.add_node(node, join);
        Ok(Response::Joined { node })
    }

    fn add_node(&mut self, id: NodeId, join: &JoinNode) {
        self.put_node(Node {
            id,
            meta: self.fresh(),
            spec: NodeSpec {
                role: join.role,
                availability: join.availability,
                ..NodeSpec::default()
            },
            description: join.description.clone(),
            status: NodeStatus { since: self.now, ..NodeStatus::default() },
            manager_address: join.manager_address.clone(),
            manager_trust: None,
        });
    }

    pub(super) fn known_node(&self, id: NodeId) -> Result<Node, Refusal> {
        self.state
            .node(id)
            .map(|node| (**node).clone())
            .ok_or_else(|| Refusal::NotFound { kind: Kind::Node, name: id.to_string() })
    }

    pub(super) fn describe_node(
        &mut self,
        id: NodeId,
        description: &NodeDescription,
    ) -> Result<Response, Refusal> {
        let mut node = self.known_node(id)?;
        if node.description != *description {
            node.description = description.clone();
            node.meta.updated_at = self.now;
            self.put_node(node);
        }
        Ok(Response::Done)
    }

    pub(super) fn node_status(
        &mut self,
        id: NodeId,
        state: NodeState,
        message: &str,
    ) -> Result<Response, Refusal> {
        let mut node = self.known_node(id)?;
        if node.status.state != state || node.status.message != message {
            let since = if node.status.state == state { node.status.since } else { self.now };
            node.status = NodeStatus { state, message: message.to_owned(), since };
            self.put_node(node);
        }
        Ok(Response::Done)
    }

    pub(super) fn update_node(
        &mut self,
        id: NodeId,
        version: Version,
        spec: &NodeSpec,
    ) -> Result<Response, Refusal> {
        let mut node = self.known_node(id)?;
        fresh_enough(Kind::Node, version, node.meta.version)?;
        if node.spec.role == Role::Manager && spec.role == Role::Worker && self.managers() == 1 {
            let message = "attempting to demote the last manager of the swarm".to_owned();
            return Err(Refusal::Precondition { message });
        }
        let promoted = node.spec.role == Role::Worker && spec.role == Role::Manager;
        if promoted && node.manager_address.is_none() {
            let message =
                format!("node {id} has said no address on which its manager would listen");
            return Err(Refusal::Precondition { message });
        }
        node.spec = spec.clone();
        if node.spec.role == Role::Worker {
            // Its process ends; one that starts later says anew which certificate it uses.
            node.manager_trust = None;
        }
        self.written(&mut node.meta);
        self.put_node(node);
        Ok(Response::Updated { warnings: Vec::new() })
    }

    fn managers(&self) -> usize {
        self.state.nodes().filter(|n| n.spec.role == Role::Manager).count()
    }

    pub(super) fn remove_node(&mut self, id: NodeId, force: Force) -> Result<Response, Refusal> {
        let node = self.known_node(id)?;
        // One that is lost for good cannot be demoted first and asked to go; Raft takes its vote from it
        // because it has no node any more.
        let lost = node.status.state == NodeState::Down && self.managers() > 1;
        if node.spec.role == Role::Manager && !(lost && force == Force::Yes) {
            let message = format!(
                "node {id} is a cluster manager and is a member of the raft cluster. It must be \
                 demoted to worker before removal"
            );
            return Err(Refusal::Precondition { message });
        }
        if node.status.state == NodeState::Ready && force == Force::No {
            let message = format!("node {id} is not down and can't be removed");
            return Err(Refusal::Precondition { message });
        }
        self.drop_node(&node);
        let tasks: Vec<_> = self.state.tasks_on(id).cloned().collect();
        for task in tasks {
            let mut task = (*task).clone();
            if task.status.state.may_become(TaskState::Orphaned, Owner::Planner) {
                task.status.state = TaskState::Orphaned;
                task.status.since = self.now;
                "its node was removed".clone_into(&mut task.status.message);
            }
            // Nothing on the node can be asked any more: what it held is free at once.
            for attachment in std::mem::take(&mut task.attachments) {
                self.give_back(attachment.network, attachment.address);
            }
            if task.desired == Desired::Remove {
                self.put_task(task.clone());
                self.drop_task(task.id);
            } else {
                self.put_task(task);
            }
        }
        self.drop_gateways(id);
        Ok(Response::Done)
    }

    pub(super) fn update_cluster(
        &mut self,
        version: Version,
        spec: &ClusterSpec,
        worker_token: Option<&str>,
        manager_token: Option<&str>,
        unlock_key: Option<&NewUnlockKey>,
        root: Option<&RootChange>,
    ) -> Result<Response, Refusal> {
        let Some(cluster) = &self.state.cluster else { return Ok(Response::Done) };
        let mut cluster = (**cluster).clone();
        fresh_enough(Kind::Cluster, version, cluster.meta.version)?;
        check::cluster(spec, Some(&cluster.spec))?;
        let rotations = cluster.spec.ca_config.force_rotate;
        cluster.spec = spec.clone();
        // What has been asked for once is not asked for again by a client that does not know of it.
        let asked = root.map_or(0, |_| spec.ca_config.force_rotate);
        cluster.spec.ca_config.force_rotate = rotations.max(asked);
        // The authority itself is never in the spec: its key would be shown.
        cluster.spec.ca_config.signing_ca_cert.clear();
        cluster.spec.ca_config.signing_ca_key.clear();
        if let Some(change) = root {
            change_root(&mut cluster, change);
        }
        if cluster.spec.name.is_empty() {
            "default".clone_into(&mut cluster.spec.name);
        }
        if let Some(token) = worker_token {
            token.clone_into(&mut cluster.tokens.worker);
        }
        if let Some(token) = manager_token {
            token.clone_into(&mut cluster.tokens.manager);
        }
        let locked = spec.encryption_config.auto_lock_managers;
        let old = cluster.unlock_key.take().filter(|_| locked);
        cluster.unlock_key = match unlock_key.filter(|_| locked) {
            Some(new) if new.rotate || old.is_none() => Some(new.key.clone()),
            Some(_) | None => old,
        };
        self.written(&mut cluster.meta);
        self.put_cluster(cluster);
        Ok(Response::Updated { warnings: Vec::new() })
    }
}

/// Refuses a write that does not build on the object's last one.
pub(super) fn fresh_enough(kind: Kind, expected: Version, found: Version) -> Result<(), Refusal> {
    if expected == found { Ok(()) } else { Err(Refusal::Stale { kind, expected, found }) }
}
