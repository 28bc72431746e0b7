//! The one thread that writes the log: commits all that is waiting in one fsync'd transaction.
//!
//! While a transaction is being synced, the next jobs gather; so the cost of an fsync is shared by
//! as many entries as arrived meanwhile, and a lone entry waits for nobody. The first error ends
//! it: what is on disk is then unknown, every later job is refused, and Raft stops this manager.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use openraft::storage::IOFlushed;
use redb::{Durability, WriteTransaction};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::super::types::{Entry, LogId, TypeConfig, Vote};
use super::super::{codec, threads};
use super::{LOG, META, Shared, place};

/// Jobs in one transaction at most: bounds the memory and the longest wait, not the throughput.
const BATCH: usize = 4096;

/// One change of the log.
pub(super) enum Job {
    Append {
        entries: Vec<Entry>,
        flushed: Flushed,
    },
    Vote {
        vote: Vote,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Remove everything from index `from` on.
    Truncate {
        from: u64,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Remove everything up to `upto`.
    Purge {
        upto: LogId,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Everything up to `upto` is committed. Nobody waits for it to be written.
    Committed {
        upto: LogId,
    },
    /// Write what waits, then end.
    Close {
        done: oneshot::Sender<()>,
    },
}

/// Who waits for entries to be durable.
pub(super) enum Flushed {
    Raft(IOFlushed<TypeConfig>),
    Told(oneshot::Sender<io::Result<()>>),
}

/// Hands jobs to the thread, which ends when the last of these is gone.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: UnboundedSender<Job>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Writer> {
        let (writer, mut waiting) = Writer::new();
        std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || {
            threads::hurry();
            let mut progress = Progress::default();
            while let Some(first) = waiting.blocking_recv() {
                if write(&shared, first, &mut waiting, &mut progress).is_break() {
                    break;
                }
            }
            end(&shared, &mut progress);
        })?;
        Ok(writer)
    }

    /// One whose jobs somebody else writes.
    pub(super) fn new() -> (Writer, UnboundedReceiver<Job>) {
        let (jobs, waiting) = unbounded_channel();
        (Writer { jobs }, waiting)
    }

    pub(super) fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| gone())
    }
}

/// The writer has ended.
pub(super) fn gone() -> io::Error {
    io::Error::other("the log is closed, or a write to it has failed")
}

/// Writes `first` and what waits behind it. Breaks when nothing more may be written.
pub(super) fn write(
    shared: &Shared,
    first: Job,
    waiting: &mut UnboundedReceiver<Job>,
    progress: &mut Progress,
) -> ControlFlow<()> {
    let mut batch = vec![first];
    while batch.len() < BATCH {
        match waiting.try_recv() {
            Ok(job) => batch.push(job),
            Err(_) => break,
        }
    }
    if batch.iter().all(|job| matches!(job, Job::Committed { .. })) {
        // Not worth a transaction of its own.
        progress.note(&batch);
        return ControlFlow::Continue(());
    }
    let result = commit(shared, &batch, progress);
    if let Err(error) = &result {
        tracing::error!(%error, "the log cannot be written; this manager stops");
        progress.failed = true;
    }
    let closing = batch.iter().any(|job| matches!(job, Job::Close { .. }));
    if closing {
        shared.close();
    }
    report(shared, batch, result);
    if progress.failed || closing { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// After the last job: keeps how far we were, so that a restart applies less again.
pub(super) fn end(shared: &Shared, progress: &mut Progress) {
    if progress.unwritten.is_some() && !progress.failed {
        // Nothing is lost if it fails.
        let _ = commit(shared, &[], progress);
    }
    shared.close();
}

/// How far the log is committed, as far as the file does not say so yet.
#[derive(Default)]
pub(super) struct Progress {
    unwritten: Option<LogId>,
    /// A write went wrong: what is on disk is not known.
    failed: bool,
}

impl Progress {
    fn note(&mut self, batch: &[Job]) {
        let told = batch.iter().rev().find_map(|job| match job {
            Job::Committed { upto } => Some(*upto),
            _ => None,
        });
        self.unwritten = told.or(self.unwritten);
    }
}

/// Writes `batch` in order, in one transaction.
fn commit(shared: &Shared, batch: &[Job], progress: &mut Progress) -> io::Result<()> {
    let db = shared.db();
    let db = db.as_ref().ok_or_else(gone)?;
    let mut write = db.begin_write().map_err(io::Error::other)?;
    {
        let mut log = write.open_table(LOG).map_err(io::Error::other)?;
        for job in batch {
            match job {
                Job::Append { entries, .. } => {
                    for entry in entries {
                        let index = entry.log_id.index;
                        let value = shared.seal.seal(&place(index), &codec::encode(entry)?);
                        log.insert(index, value.as_slice()).map_err(io::Error::other)?;
                    }
                }
                Job::Truncate { from, .. } => {
                    log.retain_in(*from.., |_, _| false).map_err(io::Error::other)?;
                }
                Job::Purge { upto, .. } => {
                    log.retain_in(..=upto.index, |_, _| false).map_err(io::Error::other)?;
                }
                Job::Vote { .. } | Job::Committed { .. } | Job::Close { .. } => {}
            }
        }
    }
    for job in batch {
        match job {
            Job::Vote { vote, .. } => put(&write, "vote", vote)?,
            Job::Purge { upto, .. } => put(&write, "purged", upto)?,
            Job::Append { .. }
            | Job::Truncate { .. }
            | Job::Committed { .. }
            | Job::Close { .. } => {}
        }
    }
    progress.note(batch);
    if let Some(committed) = progress.unwritten.take() {
        put(&write, "committed", &committed)?;
    }
    write.set_durability(Durability::Immediate).map_err(io::Error::other)?;
    write.commit().map_err(io::Error::other)
}

/// Tells every job's owner the result.
fn report(shared: &Shared, batch: Vec<Job>, result: io::Result<()>) {
    let again = || match &result {
        Ok(()) => Ok(()),
        Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
    };
    for job in batch {
        match job {
            Job::Append { entries, flushed } => {
                if result.is_ok()
                    && let Some(last) = entries.last()
                {
                    shared.tail().written(last.log_id.index + 1);
                }
                match flushed {
                    Flushed::Raft(flushed) => flushed.io_completed(again()),
                    Flushed::Told(done) => {
                        let _ = done.send(again());
                    }
                }
            }
            // A receiver that is gone has lost interest; nothing is left to tell.
            Job::Vote { done, .. } | Job::Truncate { done, .. } | Job::Purge { done, .. } => {
                let _ = done.send(again());
            }
            Job::Committed { .. } => {}
            Job::Close { done } => {
                let _ = done.send(());
            }
        }
    }
}

fn put<T: Serialize>(write: &WriteTransaction, name: &str, value: &T) -> io::Result<()> {
    let mut meta = write.open_table(META).map_err(io::Error::other)?;
    let value = serde_json::to_vec(value)?;
    meta.insert(name, value.as_slice()).map_err(io::Error::other)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use openraft::storage::RaftLogStorage as _;
    use zeroize::Zeroizing;

    use super::super::super::seal::Seal;
    use super::super::super::types::{CommittedLeader, Voter};
    use super::super::{Store, read_meta};
    use super::*;

    fn entry(index: u64) -> Entry {
        let leader_id = CommittedLeader { term: 1, node_id: Voter::default() };
        Entry { log_id: LogId { leader_id, index }, payload: EntryPayload::Blank }
    }

    #[tokio::test]
    async fn an_entry_counts_as_committed_on_disk_only_when_it_is_there() {
        let home = tempfile::tempdir().expect("a directory");
        let seal = Arc::new(Seal::new(&Zeroizing::new([9; 32])).expect("random bytes"));
        let opened = Store::open(&home.path().join("log.redb"), seal).expect("opens");
        // A writer that writes only what it is told to.
        let (jobs, mut waiting) = Writer::new();
        let mut store = Store { shared: opened.shared.clone(), jobs };
        for index in 0..2 {
            let entries = vec![entry(index)];
            let (done, _) = oneshot::channel();
            let job = Job::Append { entries, flushed: Flushed::Told(done) };
            store.jobs.send(job).expect("queued");
        }
        store.save_committed(Some(entry(1).log_id)).await.expect("queued");

        let mut progress = Progress::default();
        let on_disk = || -> Option<LogId> {
            let db = opened.shared.db();
            let read = redb::ReadableDatabase::begin_read(db.as_ref().expect("open"));
            let meta = read.expect("reads").open_table(META).expect("a table");
            read_meta(&meta, "committed").expect("reads")
        };
        let mut next = || [waiting.try_recv().expect("a job")];
        commit(&opened.shared, &next(), &mut progress).expect("written");
        assert_eq!(on_disk(), None, "a crash now leaves one entry");
        commit(&opened.shared, &next(), &mut progress).expect("written");
        commit(&opened.shared, &next(), &mut progress).expect("written");
        assert_eq!(on_disk(), Some(entry(1).log_id));
    }
}
