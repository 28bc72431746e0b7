//! The cluster's state: persistent maps of objects, their indexes, and what may be read of them.
//!
//! A [`State`] is cloned in constant time, so readers, planner and snapshots take a copy while the
//! next entry is applied. Only [`State::apply`] changes it. Objects are behind `Arc`; every index
//! in [`index`] is kept as objects change and can be made anew from them ([`State::check`]).
//!
//! Read next: `apply` (one entry), then the files by object: `cluster`, `service`, `task`,
//! `network`; `snapshot` for its bytes.

mod apply;
mod index;
mod read;
mod snapshot;

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use model::object::{Cluster, Config, Network, Node, Revision, Secret, Service, Task};
use model::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId, Timestamp};

pub use index::NodeUse;
pub use read::Lookup;
pub use snapshot::SnapshotError;

use index::Index;

pub(crate) type Map<K, V> = RedBlackTreeMapSync<K, V>;

/// Everything the cluster knows, after the entry at [`State::revision`].
#[derive(Clone, Debug, Default)]
pub struct State {
    revision: Revision,
    clock: Timestamp,
    cluster: Option<Arc<Cluster>>,
    nodes: Map<NodeId, Arc<Node>>,
    services: Map<ServiceId, Arc<Service>>,
    tasks: Map<TaskId, Arc<Task>>,
    networks: Map<NetworkId, Arc<Network>>,
    secrets: Map<SecretId, Arc<Secret>>,
    configs: Map<ConfigId, Arc<Config>>,
    index: Index,
}
