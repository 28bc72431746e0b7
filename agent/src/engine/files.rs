//! Secrets and configs as files: in memory (tmpfs) on the host, mounted read only into the container.
//!
//! One directory for each task under one tmpfs that only root can enter. The bytes of a secret are never
//! on a disk; a restart of the host forgets them, and a manager sends them again with its orders.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use model::TaskId;
use model::spec::FileTarget;
use model::wire::orders::{FileOrder, Orders, TaskOrder};

/// The default permission bits of a secret or config.
const DEFAULT_MODE: u32 = 0o444;

/// Why files could not be given to a container; what was written is found by the next try.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("{kind} {name}: {why}")]
    Wrong { kind: &'static str, name: String, why: String },
    #[error("cannot write {path}")]
    Io { path: String, source: io::Error },
}

/// One file that a task wants.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    kind: &'static str,
    name: String,
    /// Where it appears in the container.
    target: String,
    uid: u32,
    gid: u32,
    mode: u32,
    bytes: Vec<u8>,
}

/// The place for the files of all tasks.
#[derive(Clone, Debug)]
pub struct Files {
    base: PathBuf,
}

impl Files {
    /// Under the agent's data directory.
    #[must_use]
    pub fn below(data_dir: &Path) -> Files {
        Files { base: data_dir.join("files") }
    }

    /// Writes a task's files. Gives each file's path on the host and in the container.
    ///
    /// # Errors
    /// As [`FilesError`] says. May be repeated.
    pub fn ensure(
        &self,
        order: &TaskOrder,
        orders: &Orders,
    ) -> Result<Vec<(String, String)>, FilesError> {
        let wanted = wanted(order, orders)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.ensure_tmpfs()?;
        let directory = self.of(order.id);
        make_dir(&directory)?;
        let mut mounts = Vec::new();
        for (number, file) in wanted.iter().enumerate() {
            let path = directory.join(format!("{number}"));
            write(&path, file)?;
            mounts.push((path.display().to_string(), file.target.clone()));
        }
        Ok(mounts)
    }

    /// Removes a task's files.
    ///
    /// # Errors
    /// When they are there and cannot be removed.
    pub fn remove(&self, task: TaskId) -> Result<(), FilesError> {
        let directory = self.of(task);
        match std::fs::remove_dir_all(&directory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(broken(&directory, e)),
            _ => Ok(()),
        }
    }

    /// Removes the files of all tasks and the tmpfs.
    pub fn remove_all(&self) {
        // Not a mount point, or still in use by a container that could not be removed: either way
        // nothing more can be done here.
        let _ = nix::mount::umount2(&self.base, nix::mount::MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir_all(&self.base);
    }

    fn of(&self, task: TaskId) -> PathBuf {
        self.base.join(task.to_string())
    }

    fn ensure_tmpfs(&self) -> Result<(), FilesError> {
        use nix::sys::statfs::{TMPFS_MAGIC, statfs};
        make_dir(&self.base)?;
        if statfs(&self.base).is_ok_and(|s| s.filesystem_type() == TMPFS_MAGIC) {
            return Ok(());
        }
        let flags = nix::mount::MsFlags::MS_NOSUID
            | nix::mount::MsFlags::MS_NODEV
            | nix::mount::MsFlags::MS_NOEXEC;
        nix::mount::mount(
            Some("swarmctl-files"),
            &self.base,
            Some("tmpfs"),
            flags,
            Some("mode=0700"),
        )
        .map_err(|e| broken(&self.base, e.into()))
    }
}

fn broken(path: &Path, source: io::Error) -> FilesError {
    FilesError::Io { path: path.display().to_string(), source }
}

fn make_dir(path: &Path) -> Result<(), FilesError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| broken(path, e))
}

/// A file that is there with the same bytes is left alone: a container may be using it.
fn write(path: &Path, file: &Wanted) -> Result<(), FilesError> {
    if std::fs::read(path).ok().as_deref() != Some(&file.bytes) {
        std::fs::write(path, &file.bytes).map_err(|e| broken(path, e))?;
    }
    chown(path, Some(file.uid), Some(file.gid)).map_err(|e| broken(path, e))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(file.mode))
        .map_err(|e| broken(path, e))
}

fn wanted(order: &TaskOrder, orders: &Orders) -> Result<Vec<Wanted>, FilesError> {
    let Some(spec) = &order.spec.container_spec else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for reference in &spec.secrets {
        let file = reference.secret_id.parse().ok().and_then(|id| orders.secrets.get(&id));
        let name = &reference.secret_name;
        all.push(one("secret", name, "/run/secrets", reference.file.as_ref(), file)?);
    }
    for reference in spec.configs.iter().filter(|c| c.runtime.is_none()) {
        let file = reference.config_id.parse().ok().and_then(|id| orders.configs.get(&id));
        let name = &reference.config_name;
        all.push(one("config", name, "", reference.file.as_ref(), file)?);
    }
    Ok(all)
}

fn one(
    kind: &'static str,
    name: &str,
    below: &str,
    target: Option<&FileTarget>,
    file: Option<&FileOrder>,
) -> Result<Wanted, FilesError> {
    let wrong = |why: String| FilesError::Wrong { kind, name: name.to_owned(), why };
    let file = file.ok_or_else(|| wrong("is not among the orders of this node".into()))?;
    if let Some(templating) = &file.templating {
        return Err(wrong(format!("templates ({templating}) are not supported")));
    }
    let bytes =
        BASE64.decode(file.data.as_bytes()).map_err(|_| wrong("its data is not base64".into()))?;
    let number = |text: &str, what: &str| match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| wrong(format!("{what} {text:?} is not a number"))),
    };
    let wanted_name = target.map(|t| t.name.as_str()).filter(|n| !n.is_empty()).unwrap_or(name);
    let path = if wanted_name.starts_with('/') {
        wanted_name.to_owned()
    } else {
        format!("{below}/{wanted_name}")
    };
    Ok(Wanted {
        kind,
        name: name.to_owned(),
        target: path,
        uid: number(target.map_or("", |t| &t.uid), "uid")?,
        gid: number(target.map_or("", |t| &t.gid), "gid")?,
        mode: target.map_or(DEFAULT_MODE, |t| t.mode) & 0o7777,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(data: &str, templating: Option<&str>) -> FileOrder {
        FileOrder {
            name: "key".into(),
            data: data.into(),
            templating: templating.map(str::to_owned),
        }
    }

    #[test]
    fn a_secret_appears_below_run_secrets_and_a_config_below_the_root() {
        let file = order("aGk=", None);
        for (kind, below, name, path) in [
            ("secret", "/run/secrets", "key", "/run/secrets/key"),
            ("secret", "/run/secrets", "/etc/key", "/etc/key"),
            ("config", "", "app.conf", "/app.conf"),
            ("config", "", "/etc/app.conf", "/etc/app.conf"),
        ] {
            let target =
                FileTarget { name: name.into(), uid: "7".into(), gid: String::new(), mode: 0o440 };
            let wanted = one(kind, "key", below, Some(&target), Some(&file)).expect("right");
            assert_eq!((wanted.target.as_str(), wanted.uid, wanted.gid), (path, 7, 0));
            assert_eq!((wanted.mode, wanted.bytes.as_slice()), (0o440, &b"hi"[..]));
        }
    }

    #[test]
    fn what_cannot_be_given_is_refused_with_its_name() {
        let target = FileTarget { uid: "root".into(), ..FileTarget::default() };
        for (target, file, text) in [
            (None, Some(order("!", None)), "secret key: its data is not base64"),
            (None, None, "secret key: is not among the orders of this node"),
            (
                None,
                Some(order("aGk=", Some("golang"))),
                "secret key: templates (golang) are not supported",
            ),
            (Some(target), Some(order("aGk=", None)), "secret key: uid \"root\" is not a number"),
        ] {
            let error = one("secret", "key", "/run/secrets", target.as_ref(), file.as_ref());
            assert_eq!(error.expect_err("wrong").to_string(), text);
        }
    }
}
