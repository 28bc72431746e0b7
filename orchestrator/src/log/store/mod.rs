//! Raft's log on disk: a redb file, one writer thread, and the newest entries in memory.
//!
//! Two tables. `log`: index -> sealed entry. `meta`: name -> JSON (vote, purged, committed, in the
//! clear: they hold positions only). Every change goes through the writer thread, which commits
//! all that is waiting in one fsync'd transaction ([`writer`]). Reads of what replication and
//! `apply` need next are answered from memory ([`tail`]); older entries come from the file.
//!
//! `committed` is written along with the next transaction instead of by one of its own: it only
//! saves work after a restart, and the leader tells it again. It goes through the same queue, so
//! that the file never counts an entry as committed that it does not hold yet.

#[cfg(test)]
pub(super) mod simulated;
mod tail;
mod writer;

use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{BasicNode, EntryPayload, OptionalSend, RaftLogReader};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use self::tail::Tail;
use self::writer::{Flushed, Job, Writer};
use super::codec;
use super::seal::Seal;
use super::time::blocking;
use super::types::{CommittedLeader, Entry, LogId, Members, TypeConfig, Vote, Voter};

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Bytes of file pages that redb keeps. Nearly every read is answered by the tail, so little.
const PAGE_CACHE: usize = 8 << 20;

/// Bytes that one replication message takes from the file at most; the rest comes in the next.
const READ_LIMIT: usize = 2 << 20;

/// The log and the votes of this manager.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    jobs: Writer,
}

/// Reads the log; shares everything with the store that it comes from.
pub(crate) struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once closed, whoever still holds this: another process may then open the file.
    db: RwLock<Option<Database>>,
    seal: Arc<Seal>,
    tail: Mutex<Tail>,
    /// What the file said when it was opened.
    committed: Option<LogId>,
}

impl Store {
    /// Opens or makes the log in `file`.
    ///
    /// After an unclean stop the file's every checksum is verified first, because a log that reads
    /// back wrong is worse than one that does not open.
    pub(crate) fn open(file: &Path, seal: Arc<Seal>) -> io::Result<Store> {
        Store::of(|builder| builder.create(file), seal, Writer::start)
    }

    /// As [`Store::open`], from where `create` says; `start` begins to write what it is given.
    fn of(
        create: impl FnOnce(&redb::Builder) -> Result<Database, redb::DatabaseError>,
        seal: Arc<Seal>,
        start: impl FnOnce(Arc<Shared>) -> io::Result<Writer>,
    ) -> io::Result<Store> {
        let unclean = Arc::new(AtomicBool::new(false));
        let mut builder = Database::builder();
        let seen = unclean.clone();
        builder.set_cache_size(PAGE_CACHE).set_repair_callback(move |_| {
            seen.store(true, Ordering::Relaxed);
        });
        let mut db = create(&builder).map_err(io::Error::other)?;
        if unclean.load(Ordering::Relaxed) {
            let sound = db.check_integrity().map_err(io::Error::other)?;
            tracing::info!(sound, "the log was not closed; its checksums have been verified");
        }
        let write = db.begin_write().map_err(io::Error::other)?;
        let mut tail = {
            let log = write.open_table(LOG).map_err(io::Error::other)?;
            let last = log.last().map_err(io::Error::other)?;
            let last = last.map(|(index, value)| {
                open_entry(&seal, index.value(), value.value()).map(|entry| entry.log_id)
            });
            Tail::starting_after(last.transpose()?)
        };
        let committed = {
            let meta = write.open_table(META).map_err(io::Error::other)?;
            tail.vote = read_meta(&meta, "vote")?;
            tail.purged = read_meta(&meta, "purged")?;
            tail.last = tail.last.max(tail.purged);
            tail.first = tail.first.max(tail.purged.map_or(0, |id| id.index + 1));
            read_meta(&meta, "committed")?
        };
        write.commit().map_err(io::Error::other)?;
        let shared =
            Arc::new(Shared { db: RwLock::new(Some(db)), seal, tail: Mutex::new(tail), committed });
        let jobs = start(shared.clone())?;
        Ok(Store { shared, jobs })
    }

    /// Adds an entry that makes `node` the only member, as if it had been elected and written it.
    ///
    /// Raft then elects it without asking anybody, and everything in the log counts as committed.
    /// A log that is new stays so.
    pub(crate) async fn make_alone(&mut self, node: Voter, address: &str) -> io::Result<()> {
        let (last, vote) = {
            let tail = self.shared.tail();
            (tail.last, tail.vote)
        };
        let Some(last) = last else { return Ok(()) };
        let term = vote.map_or(0, |v| v.leader_id.term).max(last.leader_id.term) + 1;
        let leader_id = CommittedLeader { term, node_id: node };
        let nodes = std::collections::BTreeMap::from([(node, BasicNode::new(address))]);
        let voters = vec![std::collections::BTreeSet::from([node])];
        let members = Members::new(voters, nodes).map_err(io::Error::other)?;
        let log_id = LogId { leader_id, index: last.index + 1 };
        let entry = Entry { log_id, payload: EntryPayload::Membership(members) };
        self.save_vote(&Vote { leader_id, committed: true }).await?;
        self.shared.tail().push(std::slice::from_ref(&entry));
        let (done, written) = oneshot::channel();
        self.jobs.send(Job::Append { entries: vec![entry], flushed: Flushed::Told(done) })?;
        written.await.map_err(|_| writer::gone())?
    }

    /// Whether nothing was ever written.
    pub(crate) fn is_new(&self) -> bool {
        let tail = self.shared.tail();
        tail.last.is_none() && tail.vote.is_none()
    }

    /// Ends the writer thread after all that waits has been written, and lets go of the file.
    pub(crate) async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close { done }).is_ok() {
            // An error means that the thread has ended already, which is what is wanted.
            let _ = closed.await;
        }
    }

    async fn run(
        &self,
        job: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Job,
    ) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.jobs.send(job(done))?;
        result.await.map_err(|_| writer::gone())?
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn db(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Entries from `start` to before `end`, from the file, at most `limit` bytes (but one entry).
    fn from_file(&self, start: u64, end: u64, limit: usize) -> io::Result<Vec<Entry>> {
        let db = self.db();
        let read = db.as_ref().ok_or_else(writer::gone)?.begin_read().map_err(io::Error::other)?;
        let log = read.open_table(LOG).map_err(io::Error::other)?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for row in log.range(start..end).map_err(io::Error::other)? {
            let (index, value) = row.map_err(io::Error::other)?;
            bytes += value.value().len();
            if bytes > limit && !entries.is_empty() {
                break;
            }
            entries.push(open_entry(&self.seal, index.value(), value.value())?);
        }
        Ok(entries)
    }
}

impl Reader {
    async fn read(&self, start: u64, end: u64, limit: usize) -> io::Result<Vec<Entry>> {
        let (file_end, newer) = {
            let tail = self.shared.tail();
            (end.min(tail.first), tail.range(start, end, limit))
        };
        if start >= file_end {
            return Ok(newer);
        }
        let shared = self.shared.clone();
        let older = blocking(move || shared.from_file(start, file_end, limit));
        let mut entries = older.await??;
        // What the limit cut off in the file must not become a hole before the newer entries.
        if entries.last().is_none_or(|last| last.log_id.index + 1 == file_end)
            && limit == usize::MAX
        {
            entries.extend(newer);
        }
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for Reader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + std::fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_LIMIT).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.tail().vote)
    }
}

impl RaftLogStorage<TypeConfig> for Store {
    type LogReader = Reader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let tail = self.shared.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Reader {
        Reader { shared: self.shared.clone() }
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.run(|done| Job::Vote { vote, done }).await?;
        self.shared.tail().vote = Some(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        match committed {
            Some(upto) => self.jobs.send(Job::Committed { upto }),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.shared.committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.shared.tail().push(&entries);
        self.jobs.send(Job::Append { entries, flushed: Flushed::Raft(callback) })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        self.shared.tail().truncate(from, last_log_id);
        self.run(|done| Job::Truncate { from, done }).await?;
        // Once more: an append that waited before it has meanwhile been reported as durable.
        self.shared.tail().truncate(from, last_log_id);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.shared.tail().purge(log_id);
        self.run(|done| Job::Purge { upto: log_id, done }).await
    }
}

/// The associated data of the entry at `index`.
fn place(index: u64) -> [u8; 12] {
    let mut place = *b"log\0\0\0\0\0\0\0\0\0";
    place[4..].copy_from_slice(&index.to_be_bytes());
    place
}

fn open_entry(seal: &Seal, index: u64, value: &[u8]) -> io::Result<Entry> {
    let plain = seal.unseal(&place(index), value).map_err(|e| {
        io::Error::new(io::ErrorKind::InvalidData, format!("log entry {index}: {e}"))
    })?;
    codec::decode(plain)
}

fn read_meta<T: DeserializeOwned>(
    table: &impl redb::ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> io::Result<Option<T>> {
    let value = table.get(name).map_err(io::Error::other)?;
    Ok(value.map(|v| serde_json::from_slice(v.value())).transpose()?)
}
