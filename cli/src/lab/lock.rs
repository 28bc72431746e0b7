//! Keeps two commands from working on the same lab at the same time.
//!
//! What is locked is the lab's runtime directory itself, so that no lock file is left behind. The
//! kernel lets go of the lock when its holder dies.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::paths::Paths;
use super::state::LabName;

/// Held as long as a command changes a lab.
pub(super) struct Lock {
    _held: Flock<File>,
}

/// The lock of one lab; says so when it has to wait.
pub(super) fn lab(paths: &Paths, name: &LabName) -> anyhow::Result<Lock> {
    let waiting = format!("waiting for another command on lab `{name}`");
    directory(&paths.lab_run(name), Some(&waiting))
}

/// The lock on giving out address ranges.
pub(super) fn addresses(paths: &Paths) -> anyhow::Result<Lock> {
    directory(&paths.run, None)
}

fn directory(path: &Path, waiting: Option<&str>) -> anyhow::Result<Lock> {
    loop {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let Ok(directory) = File::open(path) else { continue };
        let made = directory.metadata()?.ino();
        let held = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((directory, Errno::EWOULDBLOCK)) => {
                if let Some(waiting) = waiting {
                    eprintln!("{waiting}");
                }
                lock_patiently(directory)?
            }
            Err((_, error)) => return Err(error).context("cannot lock a directory"),
        };
        // The former holder may have removed what we have locked.
        if fs::metadata(path).is_ok_and(|now| now.ino() == made) {
            return Ok(Lock { _held: held });
        }
    }
}

fn lock_patiently(mut directory: File) -> anyhow::Result<Flock<File>> {
    loop {
        match Flock::lock(directory, FlockArg::LockExclusive) {
            Ok(held) => return Ok(held),
            Err((same, Errno::EINTR)) => directory = same,
            Err((_, error)) => return Err(error).context("cannot lock a directory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_removed_meanwhile_is_locked_anew() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("lab");
        let first = directory(&path, None).expect("locks");
        let second = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| directory(&path, None));
            fs::remove_dir(&path).expect("removes");
            drop(first);
            waiter.join().expect("no panic")
        });
        second.expect("locks");
        assert!(path.is_dir());
    }
}
