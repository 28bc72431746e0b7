//! The one thread that writes the log: commits all that is waiting in one fsync'd transaction.
//!
//! While a transaction is being synced, the next jobs gather; so the cost of an fsync is shared by
//! as many entries as arrived meanwhile, and a lone entry waits for nobody. The first error ends
//! it: what is on disk is then unknown, every later job is refused, and Raft stops this manager.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use openraft::storage::IOFlushed;
use redb::{Durability, WriteTransaction};
use serde::Serialize;
use tokio::sync::oneshot;

use super::super::codec;
use super::super::types::{Entry, LogId, TypeConfig, Vote};
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
    jobs: Sender<Job>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Writer> {
        let (jobs, waiting) = channel();
        std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || run(&shared, &waiting))?;
        Ok(Writer { jobs })
    }

    pub(super) fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| gone())
    }
}

/// The writer has ended.
pub(super) fn gone() -> io::Error {
    io::Error::other("the log is closed, or a write to it has failed")
}

fn run(shared: &Shared, waiting: &Receiver<Job>) {
    write_all(shared, waiting);
    shared.close();
}

fn write_all(shared: &Shared, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match waiting.try_recv() {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
        let result = commit(shared, &batch);
        if let Err(error) = &result {
            tracing::error!(%error, "the log cannot be written; this manager stops");
        }
        let failed = result.is_err();
        let closing = batch.iter().any(|job| matches!(job, Job::Close { .. }));
        if closing {
            shared.close();
        }
        report(shared, batch, result);
        if failed || closing {
            return;
        }
    }
    // Every handle is gone: keep how far we were, so that a restart applies less again.
    if !shared.committed().written {
        let _ = commit(shared, &[]);
    }
}

/// Writes `batch` in order, in one transaction.
fn commit(shared: &Shared, batch: &[Job]) -> io::Result<()> {
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
                Job::Vote { .. } | Job::Close { .. } => {}
            }
        }
    }
    for job in batch {
        match job {
            Job::Vote { vote, .. } => put(&write, "vote", vote)?,
            Job::Purge { upto, .. } => put(&write, "purged", upto)?,
            Job::Append { .. } | Job::Truncate { .. } | Job::Close { .. } => {}
        }
    }
    let committed = {
        let mut committed = shared.committed();
        let changed = !std::mem::replace(&mut committed.written, true);
        changed.then_some(committed.value)
    };
    if let Some(committed) = committed {
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
