//! The cluster itself: what everyone may know, and the join tokens.

use model::Millis;
use model::api::{ClusterInfo, JoinTokens, Swarm};
use model::object::Cluster;
use model::spec::{ClusterSpec, DEFAULT_TASK_HISTORY, RaftSettings};
use model::wire::join::JoinToken;

use super::Authorities;
use crate::ca::NODE_LIFETIME;

/// The spec with what holds in the place of what was left out, as docker's engine shows it.
fn effective(spec: &ClusterSpec) -> ClusterSpec {
    let mut spec = spec.clone();
    let nanos = |span: Millis| i64::try_from(span.0 * 1_000_000).unwrap_or(i64::MAX);
    spec.orchestration.task_history_retention_limit.get_or_insert(DEFAULT_TASK_HISTORY);
    spec.dispatcher.heartbeat_period = nanos(spec.dispatcher.heartbeat());
    if spec.ca_config.node_cert_expiry == 0 {
        spec.ca_config.node_cert_expiry = nanos(NODE_LIFETIME);
    }
    if spec.raft == RaftSettings::default() {
        // Docker's; ours are set elsewhere, and clients know no others.
        spec.raft = RaftSettings {
            snapshot_interval: 10_000,
            keep_old_snapshots: Some(0),
            log_entries_for_slow_followers: 500,
            election_tick: 10,
            heartbeat_tick: 1,
        };
    }
    spec
}

/// What everyone may know.
pub(in crate::api) fn cluster_info(cluster: &Cluster, authorities: &Authorities) -> ClusterInfo {
    ClusterInfo {
        id: cluster.id.to_string(),
        version: cluster.meta.version.into(),
        created_at: cluster.meta.created_at.into(),
        updated_at: cluster.meta.updated_at.into(),
        spec: effective(&cluster.spec),
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
