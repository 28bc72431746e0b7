//! Nodes.

use model::api::{Engine, ManagerStatus, Node, NodeDescription, NodeStatus, Plugin};
use model::object;
use model::spec::Role;

use super::Authorities;
use crate::api::cluster::{Members, Reachability};

/// A node. `members` tells how its manager is.
pub(in crate::api) fn node(
    node: &object::Node,
    members: &Members,
    authorities: &Authorities,
) -> Node {
    let said = &node.description;
    let plugins = said.engine.plugins.iter().flat_map(|(kind, names)| {
        names.iter().map(|name| Plugin { r#type: kind.clone(), name: name.clone() })
    });
    let manager_status = match (node.spec.role, &node.manager_address) {
        (Role::Manager, Some(address)) => Some(ManagerStatus {
            leader: members.leader == Some(node.id),
            reachability: members
                .managers
                .get(&node.id)
                .copied()
                .unwrap_or(Reachability::Unknown)
                .name()
                .to_owned(),
            addr: address.clone(),
        }),
        (Role::Manager, None) | (Role::Worker, _) => None,
    };
    Node {
        id: node.id.to_string(),
        version: node.meta.version.into(),
        created_at: node.meta.created_at.into(),
        updated_at: node.meta.updated_at.into(),
        spec: node.spec.clone(),
        description: NodeDescription {
            hostname: said.hostname.clone(),
            platform: said.platform.clone(),
            resources: said.resources.clone(),
            engine: Engine {
                engine_version: said.engine.version.clone(),
                labels: said.engine.labels.clone(),
                plugins: plugins.collect(),
            },
            tls_info: authorities.node(node),
            agent_version: said.agent_version.clone(),
            capabilities: said.capabilities.clone(),
        },
        status: NodeStatus {
            state: node.status.state.name().to_owned(),
            message: node.status.message.clone(),
            addr: said.address.clone(),
        },
        manager_status,
    }
}
