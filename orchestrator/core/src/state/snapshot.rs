//! The state as bytes, with a version. Indexes are not written; they are made anew.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use model::object::{
    Cluster, Config, Network, Node, Revision, Secret, Service, StackHistory, Task,
};
use model::{NetworkId, Timestamp};

use super::index::Index;
use super::pool::Pool;
use super::{Cursors, State};

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// Bytes that are no state.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the snapshot is of format {found}, this program reads {known}")]
    Format { found: u32, known: u32 },
    #[error("the snapshot cannot be read")]
    Malformed(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    format: u32,
    revision: Revision,
    clock: Timestamp,
    cluster: Option<Arc<Cluster>>,
    nodes: Vec<Arc<Node>>,
    services: Vec<Arc<Service>>,
    tasks: Vec<Arc<Task>>,
    networks: Vec<Arc<Network>>,
    pools: Vec<(NetworkId, Arc<Pool>)>,
    secrets: Vec<Arc<Secret>>,
    configs: Vec<Arc<Config>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stacks: Vec<Arc<StackHistory>>,
    cursors: Cursors,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl State {
    /// The whole state as bytes. Equal states give equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = Snapshot {
            format: FORMAT,
            revision: self.revision,
            clock: self.clock,
            cluster: self.cluster.clone(),
            nodes: self.nodes.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            networks: self.networks.values().cloned().collect(),
            pools: self.pools.iter().map(|(id, pool)| (*id, pool.clone())).collect(),
            secrets: self.secrets.values().cloned().collect(),
            configs: self.configs.values().cloned().collect(),
            stacks: self.stacks.values().cloned().collect(),
            cursors: self.cursors,
        };
        serde_json::to_vec(&snapshot).expect("every map in the state has keys that JSON can write")
    }

    /// The state that the bytes are of.
    ///
    /// # Errors
    /// [`SnapshotError`] when they are of another format or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<State, SnapshotError> {
        let Format { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(SnapshotError::Format { found: format, known: FORMAT });
        }
        let snapshot: Snapshot = serde_json::from_slice(bytes)?;
        let mut state = State {
            revision: snapshot.revision,
            clock: snapshot.clock,
            cluster: snapshot.cluster,
            nodes: snapshot.nodes.into_iter().map(|o| (o.id, o)).collect(),
            services: snapshot.services.into_iter().map(|o| (o.id, o)).collect(),
            tasks: snapshot.tasks.into_iter().map(|o| (o.id, o)).collect(),
            networks: snapshot.networks.into_iter().map(|o| (o.id, o)).collect(),
            pools: snapshot.pools.into_iter().collect(),
            secrets: snapshot.secrets.into_iter().map(|o| (o.id, o)).collect(),
            configs: snapshot.configs.into_iter().map(|o| (o.id, o)).collect(),
            stacks: snapshot.stacks.into_iter().map(|o| (o.name.clone(), o)).collect(),
            cursors: snapshot.cursors,
            index: Index::default(),
        };
        state.index = Index::of(&state);
        Ok(state)
    }
}
