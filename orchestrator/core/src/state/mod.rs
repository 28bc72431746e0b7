//! The cluster's state: persistent maps of objects, their indexes, and what may be read of them.
//!
//! A [`State`] is cloned in constant time, so readers, planner and snapshots take a copy while the
//! next entry is applied. Only [`State::apply`] changes it. Objects are behind `Arc`; every index
//! in [`index`] is kept as objects change and can be made anew from them ([`State::verify`]).
//!
//! Read next: `apply` (one entry), `step` (how objects are put and dropped), then the commands by
//! object: `cluster`, `rotation`, `service`, `network`, `stack`, `task`; `snapshot` for the bytes, `verify` for what
//! always holds.

mod apply;
mod cluster;
mod index;
mod network;
mod pool;
mod read;
mod rotation;
mod service;
mod snapshot;
mod stack;
mod step;
mod task;
mod verify;

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use model::object::{
    Cluster, Config, Network, Node, Revision, Secret, Service, StackHistory, Task,
};
use model::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId, Timestamp};

pub use index::{Claim, NodeUse, Tally};
pub use pool::{Pool, gateway};
pub use read::Lookup;
pub use snapshot::SnapshotError;

pub use cluster::INGRESS;
use index::Index;
pub(crate) use index::generic;
pub(crate) use service::overlay_networks;

pub(crate) type Map<K, V> = RedBlackTreeMapSync<K, V>;

/// Everything the cluster knows, after the entry at [`State::revision`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    revision: Revision,
    clock: Timestamp,
    cluster: Option<Arc<Cluster>>,
    nodes: Map<NodeId, Arc<Node>>,
    services: Map<ServiceId, Arc<Service>>,
    tasks: Map<TaskId, Arc<Task>>,
    networks: Map<NetworkId, Arc<Network>>,
    pools: Map<NetworkId, Arc<Pool>>,
    secrets: Map<SecretId, Arc<Secret>>,
    configs: Map<ConfigId, Arc<Config>>,
    stacks: Map<String, Arc<StackHistory>>,
    cursors: Cursors,
    index: Index,
}

/// Where numbers are given from next. They walk round, so that a freed number rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Cursors {
    /// VXLAN identifiers given so far.
    vni: u32,
    /// Published ports given so far.
    port: u16,
    /// Subnets looked at so far.
    subnet: u32,
}
