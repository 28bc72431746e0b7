//! The threads on which Raft runs, apart from everything else that a manager does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// One may be busy with a batch while the other answers a heartbeat.
const THREADS: usize = 2;

/// What a heartbeat may wait for on a busy host: little. Containers, builds and everything else
/// that has the usual niceness come after it.
const NICENESS: i32 = -10;

/// Raft's own runtime. Dropping it does not wait for its threads, so that it can be dropped from
/// within a task.
pub(super) struct Threads(Mutex<Option<Held>>);

enum Held {
    Own(Runtime),
    /// Somebody else's, who also ends it: in a simulation all managers share one.
    #[cfg(test)]
    Lent(Handle),
}

impl Threads {
    pub(super) fn start() -> std::io::Result<Threads> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("raft")
            .on_thread_start(hurry)
            .enable_all()
            .build()?;
        Ok(Threads(Mutex::new(Some(Held::Own(runtime)))))
    }

    /// Those of the runtime that the caller is on.
    #[cfg(test)]
    pub(super) fn lent() -> Threads {
        Threads(Mutex::new(Some(Held::Lent(Handle::current()))))
    }

    /// `None` once they have ended.
    pub(super) fn handle(&self) -> Option<Handle> {
        self.held().as_ref().map(|held| match held {
            Held::Own(runtime) => runtime.handle().clone(),
            #[cfg(test)]
            Held::Lent(handle) => handle.clone(),
        })
    }

    pub(super) fn end(&self) {
        let held = self.held().take();
        if let Some(Held::Own(runtime)) = held {
            runtime.shutdown_background();
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lets the calling thread come before others. Without the right to it, it waits its turn.
pub(super) fn hurry() {
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_may_be_dropped_within_a_task_while_they_work() {
        let threads = Threads::start().expect("threads");
        let (started, waits) = tokio::sync::oneshot::channel();
        threads.handle().expect("running").spawn(async {
            let _ = started.send(());
            std::future::pending::<()>().await;
        });
        waits.await.expect("started");
        drop(threads);
    }
}
