//! The cluster itself: what everyone may know, and the join tokens.

use model::api::{ClusterInfo, JoinTokens, Swarm};
use model::object::Cluster;
use model::wire::join::JoinToken;

use super::Authorities;

/// What everyone may know.
pub(in crate::api) fn cluster_info(cluster: &Cluster, authorities: &Authorities) -> ClusterInfo {
    ClusterInfo {
        id: cluster.id.to_string(),
        version: cluster.meta.version.into(),
        created_at: cluster.meta.created_at.into(),
        updated_at: cluster.meta.updated_at.into(),
        spec: cluster.spec.clone(),
        tls_info: authorities.cluster(),
        root_rotation_in_progress: cluster.rotation.is_some(),
        default_addr_pool: cluster.address_pools.clone(),
        subnet_size: u32::from(cluster.subnet_size),
        data_path_port: u32::from(cluster.data_path_port),
    }
}

/// With the join tokens.
pub(in crate::api) fn swarm(cluster: &Cluster, authorities: &Authorities) -> Swarm {
    let digest = authorities.digest();
    let token = |secret: &str| {
        JoinToken { digest: digest.to_owned(), secret: secret.to_owned() }.to_string()
    };
    let join_tokens = JoinTokens {
        worker: token(&cluster.tokens.worker),
        manager: token(&cluster.tokens.manager),
    };
    Swarm { info: cluster_info(cluster, authorities), join_tokens }
}
