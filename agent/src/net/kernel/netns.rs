//! Work inside another network namespace, on a thread of its own.
//!
//! A thread's namespace is the thread's: a runtime's worker that switched would take every task
//! that it runs next along. So each piece of work gets a fresh thread that switches, works and
//! ends. Sockets opened there stay in that namespace wherever they are used later.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use tokio::sync::{Semaphore, oneshot};

/// How many namespaces are worked in at once: more threads than cores gain nothing.
const AT_ONCE: usize = 4;
/// What `statfs` calls the file system of namespaces.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// A network namespace, held open.
#[derive(Clone, Debug)]
pub struct Netns {
    file: Arc<File>,
    id: u64,
}

impl Netns {
    /// Opens the namespace behind a path.
    ///
    /// # Errors
    /// `NotFound` while nothing is mounted there yet; else why it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Netns> {
        let file = File::open(path)?;
        #[allow(clippy::unnecessary_cast)] // the type differs between targets
        let kind =
            nix::sys::statfs::fstatfs(&file).map_err(io::Error::from)?.filesystem_type().0 as i64;
        if kind != NSFS_MAGIC {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no namespace is mounted here"));
        }
        let id = file.metadata()?.st_ino();
        Ok(Netns { file: Arc::new(file), id })
    }

    /// The namespace of this process.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn own() -> io::Result<Netns> {
        Netns::open(Path::new("/proc/self/ns/net"))
    }

    /// What tells namespaces apart while they live.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// Runs work inside namespaces, a few at a time.
#[derive(Clone, Debug)]
pub struct Threads {
    free: Arc<Semaphore>,
}

impl Default for Threads {
    fn default() -> Self {
        Threads { free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Threads {
    /// Does `work` inside a namespace.
    ///
    /// # Errors
    /// What the work says, or why the namespace could not be entered.
    pub async fn inside<T: Send + 'static>(
        &self,
        netns: &Netns,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let _turn = self.free.acquire().await.map_err(io::Error::other)?;
        let netns = netns.clone();
        let (done, result) = oneshot::channel();
        std::thread::Builder::new().name("netns".into()).spawn(move || {
            let outcome = setns(netns.file.as_fd(), CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| work());
            // Nobody waits any more: the result is of no use.
            let _ = done.send(outcome);
        })?;
        result.await.map_err(io::Error::other)?
    }
}
