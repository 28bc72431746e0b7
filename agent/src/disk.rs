//! Files that a crash leaves whole: written beside their name, then moved there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Whether a file must survive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// On the disk when the call returns.
    Durable,
    /// Survives the end of the process, not of the host.
    Quick,
}

/// Replaces a file's contents at once or not at all. Only root may read it.
///
/// # Errors
/// Those of the file system; the old contents are still there then.
pub fn write(path: &Path, bytes: &[u8], care: Care) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_dir(directory)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    file.write_all(bytes)?;
    if care == Care::Durable {
        file.sync_all()?;
    }
    std::fs::rename(beside, path)?;
    if care == Care::Durable {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Makes a directory, and those above it, that only root can enter.
///
/// # Errors
/// Those of the file system.
pub fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file's contents; none when there is no such file.
///
/// # Errors
/// Those of the file system.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// Those of the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_belongs_to_its_owner_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("deep/er/file");
        for (text, care) in
            [("one", Care::Durable), ("longer two", Care::Quick), ("3", Care::Durable)]
        {
            write(&path, text.as_bytes(), care).expect("written");
            assert_eq!(read(&path).expect("readable"), Some(text.as_bytes().to_vec()));
        }
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(&path).expect("removed");
        remove(&path).expect("removed again");
        assert_eq!(read(&path).expect("readable"), None);
    }
}
