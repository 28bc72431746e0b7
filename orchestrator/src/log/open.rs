//! Opens this manager's log: settings, threads, storage, recovery.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::NodeId;
use openraft::errors::{InitializeError, RaftError};
use openraft::{BasicNode, SnapshotPolicy};
use std::collections::BTreeMap;
use tokio::sync::watch;

use super::leadership::{self, Leadership};
use super::machine::{Driver, Machine, Publisher};
use super::net::{Carrier, Peers};
use super::newcomer::{self, Newcomer};
use super::seal::{DATA_KEY, Seal, SealError, SecretKey};
use super::snapshot::Snapshots;
use super::store::Store;
use super::threads::Threads;
use super::types::Voter;
use super::{Inner, Log, Raft};
use crate::transport::Pool;

/// Where and how to open the log.
#[derive(Clone)]
pub struct Config {
    pub node: NodeId,
    /// Of this manager's own; made if it is missing.
    pub folder: PathBuf,
    pub timing: Timing,
    /// Entries between two snapshots. The log keeps twice as many behind a snapshot.
    pub snapshot_every: u64,
    /// Opens the data key where it is locked.
    pub unlock: Option<SecretKey>,
    /// Become the only voter, at this address, whoever voted before: for when most managers are
    /// lost for good. They must not come back with their old log.
    pub alone: Option<String>,
}

/// The times of Raft. Leader loss to next write is about `election_max` (the lease, within which
/// nobody else is elected) plus the shorter of the others' draws between the election times.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two heartbeats of the leader; also how long the answer to one may take. The lease
    /// is to outlast two that are lost.
    pub heartbeat: Duration,
    /// Shortest wait, after the lease, before an election.
    pub election_min: Duration,
    /// Longest such wait, and the lease.
    pub election_max: Duration,
    /// How long a proposal waits for its answer.
    pub propose: Duration,
}

impl Default for Timing {
    /// For hosts in one place: the next write about 0.45 s after a leader is lost, and stable on
    /// two busy cores.
    fn default() -> Self {
        Timing {
            heartbeat: Duration::from_millis(80),
            election_min: Duration::from_millis(130),
            election_max: Duration::from_millis(260),
            propose: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// How long a lease that has run out is waited for before the leader counts as lost. Long, for
    /// on a starved machine it comes back; a leader that was replaced learns of it at once.
    pub(super) fn lease_wait(self) -> Duration {
        self.election_max * 10
    }

    /// For how long after a quorum's acknowledgement reads are answered here. Below the lease by a
    /// tenth, for clocks that run at different speeds.
    pub(super) fn read_lease(self) -> Duration {
        self.election_max * 9 / 10
    }
}

/// Why the log does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the manager's folder {} cannot be used", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the manager's data key does not open")]
    Key(#[from] SealError),
    #[error("the log in {} does not open", file.display())]
    Store { file: PathBuf, source: io::Error },
    #[error("the snapshots in {} cannot be read", folder.display())]
    Snapshots { folder: PathBuf, source: io::Error },
    #[error("the raft settings do not fit together: {0}")]
    Timing(String),
    #[error("raft does not start: {0}")]
    Raft(String),
    #[error("this manager is in a cluster already")]
    InCluster,
}

/// What a log stands on.
pub(super) struct Parts {
    pub(super) seal: Arc<Seal>,
    pub(super) store: Store,
    pub(super) threads: Threads,
    pub(super) carrier: Arc<dyn Carrier>,
}

impl<M: Machine> Log<M> {
    /// Opens the log in `config.folder`, and takes part again in the cluster that it tells of.
    ///
    /// A log that is new takes part in nothing until it is [`Log::bootstrap`]ped, or until a leader
    /// adds this manager.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: Config, pool: Arc<Pool>) -> Result<Log<M>, OpenError> {
        let folder = &config.folder;
        let in_folder = |source| OpenError::Folder { folder: folder.clone(), source };
        std::fs::create_dir_all(folder).map_err(in_folder)?;
        let seal = Arc::new(Seal::open(&folder.join(DATA_KEY), config.unlock.as_ref())?);
        let file = folder.join("log.redb");
        let store =
            Store::open(&file, seal.clone()).map_err(|source| OpenError::Store { file, source })?;
        let threads = Threads::start().map_err(|e| OpenError::Raft(e.to_string()))?;
        Log::begin(config, Parts { seal, store, threads, carrier: Arc::new(pool) }).await
    }

    /// Takes part with these parts.
    pub(super) async fn begin(config: Config, parts: Parts) -> Result<Log<M>, OpenError> {
        let Config { node, folder, timing, snapshot_every, unlock: _, alone } = config;
        let Parts { seal, mut store, threads, carrier } = parts;
        if let Some(address) = alone {
            let alone = store.make_alone(Voter(node), &address).await;
            alone.map_err(|source| OpenError::Store { file: folder.join("log.redb"), source })?;
            // Whoever is told to go on alone asks nobody.
            Newcomer::forget(&folder);
        }
        let log_is_new = store.is_new();
        let newcomer = Newcomer::in_folder(&folder, log_is_new)
            .map_err(|source| OpenError::Folder { folder: folder.clone(), source })?;
        let folder = folder.join("snapshots");
        let snapshots = Snapshots::open(&folder, seal)
            .map_err(|source| OpenError::Snapshots { folder: folder.clone(), source })?;
        let snapshots = Arc::new(snapshots);
        let publisher = Publisher::new();
        let raft_threads = threads.handle().expect("just started");
        let peers = Peers::new(carrier, timing, snapshots.clone());
        let start = {
            let mut settings = settings(timing, snapshot_every)?;
            settings.enable_elect = newcomer.is_none();
            let settings = Arc::new(settings);
            let driver = Driver::new(snapshots.clone(), publisher.clone());
            let (peers, store) = (peers.clone(), store.clone());
            async move { Raft::new(Voter(node), settings, peers, store, driver).await }
        };
        let started =
            raft_threads.spawn(start).await.map_err(|e| OpenError::Raft(e.to_string()))?;
        let raft = started.map_err(|e| OpenError::Raft(e.to_string()))?;
        let (told, leadership) = watch::channel(Leadership::default());
        raft_threads.spawn(leadership::follow(raft.clone(), timing, told));
        let log = Log(Arc::new(Inner {
            raft,
            node,
            timing,
            publisher,
            leadership,
            heard: Mutex::new(super::time::Instant::now()),
            handed_over: AtomicU64::new(0),
            peers,
            store,
            snapshots,
            newcomer,
            threads,
        }));
        if log.0.newcomer.is_some() {
            raft_threads.spawn(newcomer::catch_up(Arc::downgrade(&log.0)));
        } else {
            log.hurry_if_alone().await;
        }
        Ok(log)
    }

    /// Makes this manager the first of a new cluster, reachable at `address`.
    ///
    /// # Errors
    /// [`OpenError::InCluster`] when the log is not new.
    pub async fn bootstrap(&self, address: &str) -> Result<(), OpenError> {
        let members = BTreeMap::from([(Voter(self.0.node), BasicNode::new(address))]);
        if self.is_new().await {
            self.0.admit();
        }
        match self.0.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(OpenError::InCluster),
            Err(error) => Err(OpenError::Raft(error.to_string())),
        }
    }

    /// Whether this manager has ever taken part in a cluster.
    pub async fn is_new(&self) -> bool {
        self.0.raft.is_initialized().await.is_ok_and(|yes| !yes)
    }

    /// The only voter need not wait for an election time: nobody else can lead.
    async fn hurry_if_alone(&self) {
        let members = self.members();
        let voters = members.iter().filter(|m| m.standing == super::Standing::Voter);
        if voters.map(|m| m.node).eq([self.0.node]) {
            // Were Raft to stop here, the leadership watch would tell.
            let _ = self.0.raft.trigger().elect(false).await;
        }
    }
}

fn settings(timing: Timing, snapshot_every: u64) -> Result<openraft::Config, OpenError> {
    let settings = openraft::Config {
        cluster_name: "swarmctl".to_owned(),
        heartbeat_interval: super::millis(timing.heartbeat),
        election_timeout_min: super::millis(timing.election_min),
        election_timeout_max: super::millis(timing.election_max),
        // The transport watches over the progress of a transfer; this only ends what hangs.
        install_snapshot_timeout: 600_000,
        max_payload_entries: 512,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_every),
        // So that the older of the two snapshots that are kept is enough to start from.
        max_in_snapshot_log_to_keep: snapshot_every.saturating_mul(2),
        replication_lag_threshold: snapshot_every.saturating_mul(2),
        purge_batch_size: 256,
        // A returning follower must not depose a leader that everybody else hears.
        enable_pre_vote: Some(true),
        // The state is in memory and `committed` on disk may be old: be elected anew.
        enable_leader_restore: Some(false),
        backoff: "50ms 100ms ..500ms".to_owned(),
        ..openraft::Config::default()
    };
    settings.validate().map_err(|e| OpenError::Timing(e.to_string()))
}
