//! A manager whose log is new stands for no election until it knows what the cluster knows.
//!
//! A node that was a manager before comes back with an empty log and its old id. Entry by entry it
//! then learns its own past, in which it may have been the only voter; were it to believe that on
//! the way, it would elect itself and lead a cluster of one. So it first asks the leader how far
//! the log is committed: its last removal lies before that. A file remembers across restarts that
//! it has not got there yet. Until then the leader lets it have no vote, so that those who vote can
//! always elect.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use super::machine::Machine;
use super::time::sleep;
use super::{Inner, Log};

/// The file that says so, in the manager's folder.
const FILE: &str = "catching-up";

/// Whether this manager has yet to catch up for the first time.
pub(super) struct Newcomer {
    folder: PathBuf,
    admitted: AtomicBool,
}

impl Newcomer {
    /// `None` for a manager that may take part in elections.
    pub(super) fn in_folder(folder: &Path, log_is_new: bool) -> io::Result<Option<Newcomer>> {
        let file = folder.join(FILE);
        if log_is_new {
            File::create(&file)?.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        Ok(file
            .try_exists()?
            .then(|| Newcomer { folder: folder.to_owned(), admitted: AtomicBool::new(false) }))
    }

    /// Removes the file.
    pub(super) fn forget(folder: &Path) {
        let file = folder.join(FILE);
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            // It only catches up once more after the next start.
            tracing::warn!(file = %file.display(), %error, "cannot be removed");
        }
    }
}

impl<M: Machine> Inner<M> {
    /// Lets this manager stand for elections, if it was a newcomer.
    pub(super) fn admit(&self) {
        if let Some(newcomer) = &self.newcomer {
            Newcomer::forget(&newcomer.folder);
            self.raft.runtime_config().elect(true);
            newcomer.admitted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it may stand for elections.
    pub(super) fn is_admitted(&self) -> bool {
        self.newcomer.as_ref().is_none_or(|newcomer| newcomer.admitted.load(Ordering::Relaxed))
    }
}

/// Admits a newcomer when its log has reached what was committed after it came.
pub(super) async fn catch_up<M: Machine>(log: Weak<Inner<M>>) {
    loop {
        let Some(inner) = log.upgrade() else { return };
        let pause = inner.timing.election_max;
        let log_here = Log(inner);
        if log_here.read().await.is_ok() {
            tracing::info!("caught up; this manager may vote and be elected from now on");
            log_here.0.admit();
            return;
        }
        drop(log_here);
        sleep(pause).await;
    }
}
