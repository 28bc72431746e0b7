//! Binds a [`Machine`] to Raft: applies committed entries, publishes the state, snapshots it.
//!
//! Entries are applied in the batches in which they become ready; after each batch the state is
//! published once, then the proposers get their answers. So whoever holds an answer sees a state
//! that contains it.

use std::io::{self, BufReader, BufWriter, Write as _};
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt as _};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};

use super::snapshot::{SnapshotFile, Snapshots};
use super::time::blocking;
use super::types::{LogId, Reply, SnapshotMeta, StoredMembers, TypeConfig};

/// Entries applied between two publications at most.
const BATCH: usize = 1024;

/// Batches that a slow watcher may be behind before it has to start from the state again.
const BACKLOG: usize = 1024;

/// The replicated state: what the log's entries mean.
pub trait Machine: Clone + Send + Sync + 'static {
    /// What is proposed. Kept as JSON, so it must stay readable by later versions.
    type Entry: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// What came of it.
    type Applied: Send + Sync + 'static;

    /// The state before the first entry.
    fn empty() -> Self;

    /// Takes one entry in; `position` is its index in the log. Must be deterministic.
    fn apply(&mut self, position: u64, entry: Self::Entry) -> Self::Applied;

    /// Writes the state for [`Machine::load`].
    ///
    /// # Errors
    /// Only those of `out`.
    fn save(&self, out: &mut dyn io::Write) -> io::Result<()>;

    /// The state that was saved.
    ///
    /// # Errors
    /// Those of `input`, and when what it gives is no state that this version knows.
    fn load(input: &mut dyn io::Read) -> io::Result<Self>;
}

/// The state at a position of the log.
#[derive(Debug)]
pub struct Published<M> {
    /// Index of the last entry in it; 0 before the first.
    pub position: u64,
    pub state: Arc<M>,
}

/// Entries that have just been applied, oldest first, and the state after them.
pub struct Update<M: Machine> {
    /// The state after the last of `applied`.
    pub after: Arc<Published<M>>,
    /// Position and outcome of each of the machine's entries.
    pub applied: Vec<(u64, Arc<M::Applied>)>,
}

/// Where the state is published.
pub(crate) struct Publisher<M: Machine> {
    pub(crate) current: ArcSwap<Published<M>>,
    /// `None` stands for a state that did not come from the one before by entries.
    pub(crate) updates: broadcast::Sender<Option<Arc<Update<M>>>>,
    /// The position of `current`.
    pub(crate) position: watch::Sender<u64>,
}

impl<M: Machine> Publisher<M> {
    pub(crate) fn new() -> Arc<Publisher<M>> {
        let state = Arc::new(M::empty());
        Arc::new(Publisher {
            current: ArcSwap::from_pointee(Published { position: 0, state }),
            updates: broadcast::Sender::new(BACKLOG),
            position: watch::Sender::new(0),
        })
    }

    fn publish(&self, position: u64, machine: &M) -> Arc<Published<M>> {
        let published = Arc::new(Published { position, state: Arc::new(machine.clone()) });
        self.current.store(published.clone());
        self.position.send_replace(position);
        published
    }
}

/// The machine, as Raft drives it.
pub(crate) struct Driver<M: Machine> {
    machine: M,
    last_applied: Option<LogId>,
    members: StoredMembers,
    snapshots: Arc<Snapshots>,
    publisher: Arc<Publisher<M>>,
}

impl<M: Machine> Driver<M> {
    /// A machine before its first entry; Raft brings it up to date from snapshot and log.
    pub(crate) fn new(snapshots: Arc<Snapshots>, publisher: Arc<Publisher<M>>) -> Driver<M> {
        Driver {
            machine: M::empty(),
            last_applied: None,
            members: StoredMembers::default(),
            snapshots,
            publisher,
        }
    }

    /// Applies a batch, publishes, answers.
    fn take(
        &mut self,
        batch: Vec<Result<EntryResponder<TypeConfig>, io::Error>>,
    ) -> io::Result<()> {
        let mut answers = Vec::new();
        let mut applied = Vec::new();
        for item in batch {
            let (entry, responder) = item?;
            let position = entry.log_id.index;
            let reply = match entry.payload {
                EntryPayload::Blank => Reply(None),
                EntryPayload::Membership(members) => {
                    self.members = StoredMembers::new(Some(entry.log_id), members);
                    Reply(None)
                }
                EntryPayload::Normal(text) => {
                    // A version that cannot read an entry must not go on without it.
                    let entry: M::Entry = serde_json::from_slice(&text.0).map_err(|e| {
                        let what =
                            format!("entry {position} is of no kind this version knows: {e}");
                        io::Error::new(io::ErrorKind::InvalidData, what)
                    })?;
                    let outcome = Arc::new(self.machine.apply(position, entry));
                    applied.push((position, outcome.clone()));
                    Reply(Some(outcome))
                }
            };
            self.last_applied = Some(entry.log_id);
            if let Some(responder) = responder {
                answers.push((responder, reply));
            }
        }
        let after = self.publisher.publish(self.position(), &self.machine);
        if !applied.is_empty() {
            // Nobody watching is no error.
            let _ = self.publisher.updates.send(Some(Arc::new(Update { after, applied })));
        }
        for (responder, reply) in answers {
            responder.send(reply);
        }
        Ok(())
    }

    fn position(&self) -> u64 {
        self.last_applied.map_or(0, |id| id.index)
    }
}

impl<M: Machine> RaftStateMachine<TypeConfig> for Driver<M> {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder<M>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembers), io::Error> {
        Ok((self.last_applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            self.take(batch)?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<M> {
        Builder {
            machine: self.machine.clone(),
            meta: SnapshotMeta {
                last_log_id: self.last_applied,
                last_membership: self.members.clone(),
            },
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let snapshots = self.snapshots.clone();
        let kept = meta.clone();
        let load = move || {
            let _open = snapshots.hold()?;
            let mut input = BufReader::new(snapshots.reader(&snapshot.path)?);
            let machine = M::load(&mut input)?;
            snapshots.keep(&kept, snapshot)?;
            Ok::<M, io::Error>(machine)
        };
        self.machine = blocking(load).await??;
        self.last_applied = meta.last_log_id;
        self.members = meta.last_membership.clone();
        self.publisher.publish(self.position(), &self.machine);
        // Nobody watching is no error.
        let _ = self.publisher.updates.send(None);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>>, io::Error>
    {
        let current = self.snapshots.current()?;
        Ok(current.map(|(meta, snapshot)| openraft::storage::Snapshot { meta, snapshot }))
    }
}

/// Writes a snapshot of a state that no later entry touches.
pub(crate) struct Builder<M: Machine> {
    machine: M,
    meta: SnapshotMeta,
    snapshots: Arc<Snapshots>,
}

impl<M: Machine> RaftSnapshotBuilder<TypeConfig> for Builder<M> {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(
        &mut self,
    ) -> Result<openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>, io::Error> {
        let (machine, meta) = (self.machine.clone(), self.meta.clone());
        let snapshots = self.snapshots.clone();
        let write = move || {
            let _open = snapshots.hold()?;
            let file = snapshots.write(&meta, |out| {
                let mut out = BufWriter::new(out);
                machine.save(&mut out)?;
                out.flush()
            })?;
            snapshots.keep(&meta, file)?;
            let current = snapshots.current()?;
            current.ok_or_else(|| io::Error::other("the snapshot is gone as soon as written"))
        };
        let (meta, snapshot) = blocking(write).await??;
        Ok(openraft::storage::Snapshot { meta, snapshot })
    }
}
