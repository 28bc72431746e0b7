//! Copies a directory with everything in it, as cheaply as an independent copy can be.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown, symlink};
use std::path::Path;

use anyhow::Context;

/// Copies directories, files and symbolic links with their owners and permissions; anything else
/// (sockets, pipes) is left out.
///
/// Most of `/etc` is symbolic links. They cannot be changed, only replaced, so a second name for
/// the same link is as good as a copy, and costs no inode.
pub(super) fn tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    copy(from, to).with_context(|| format!("cannot copy {}", from.display()))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let found = from.symlink_metadata()?;
    if found.is_symlink() {
        if fs::hard_link(from, to).is_err() {
            // Another file system, or one without such links.
            symlink(fs::read_link(from)?, to)?;
        }
    } else if found.is_file() {
        let mut copied = File::create(to)?;
        io::copy(&mut File::open(from)?, &mut copied)?;
        give(&copied, &found)?;
    } else if found.is_dir() {
        DirBuilder::new().mode(0o700).create(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        give(&File::open(to)?, &found)?;
    }
    Ok(())
}

/// The owner first: a change of owner takes permission bits away.
fn give(copied: &File, like: &fs::Metadata) -> io::Result<()> {
    fchown(copied, Some(like.uid()), Some(like.gid()))?;
    copied.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_copy_is_none_of_the_original() {
        let root = tempfile::tempdir().expect("a directory");
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("sub")).expect("makes");
        fs::write(from.join("sub/file"), "old").expect("writes");
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o640))
            .expect("sets");
        symlink("nowhere", from.join("link")).expect("links");
        tree(&from, &to).expect("copies");
        fs::write(to.join("sub/file"), "new").expect("writes");
        fs::remove_file(to.join("link")).expect("removes");
        symlink("elsewhere", to.join("link")).expect("links");
        assert_eq!(fs::read_to_string(from.join("sub/file")).expect("reads"), "old");
        assert_eq!(fs::read_link(from.join("link")).expect("reads"), Path::new("nowhere"));
        let mode = fs::metadata(to.join("sub/file")).expect("found").mode();
        assert_eq!(mode & 0o7777, 0o640);
    }
}
