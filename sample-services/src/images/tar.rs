//! Writes tar archives (POSIX ustar) that depend on nothing but their content.

use std::collections::BTreeMap;

const BLOCK: usize = 512;

/// Directories, files and links by path, without a leading slash. Sorted, so a directory comes
/// before what is in it.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

/// A path or a file that a ustar header cannot hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    #[error("the path {0:?} does not fit into a tar header")]
    Path(String),
    #[error("{path} is larger than 8 GiB")]
    Size { path: String },
}

impl Tree {
    /// Adds a directory, and those above it; one that is there keeps its mode.
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.parents(path);
        self.entries.entry(clean(path)).or_insert(Entry::Directory { mode });
    }

    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.parents(path);
        self.entries.insert(clean(path), Entry::File { mode, content: content.into() });
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.entries.insert(clean(path), Entry::Link { target: target.to_owned() });
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.entries.contains_key(&clean(path))
    }

    /// The archive.
    ///
    /// # Errors
    /// [`TarError`] for a path over 100 bytes or a file over 8 GiB.
    pub fn archive(&self) -> Result<Vec<u8>, TarError> {
        let mut out = Vec::new();
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory { mode } => {
                    out.extend(header(&format!("{path}/"), *mode, 0, b'5', "")?);
                }
                Entry::Link { target } => out.extend(header(path, 0o777, 0, b'2', target)?),
                Entry::File { mode, content } => {
                    out.extend(header(path, *mode, content.len(), b'0', "")?);
                    out.extend(content);
                    out.resize(out.len().next_multiple_of(BLOCK), 0);
                }
            }
        }
        // Two empty blocks end an archive.
        out.resize(out.len() + 2 * BLOCK, 0);
        Ok(out)
    }

    fn parents(&mut self, path: &str) {
        let path = clean(path);
        for (at, _) in path.match_indices('/') {
            let above = path[..at].to_owned();
            self.entries.entry(above).or_insert(Entry::Directory { mode: 0o755 });
        }
    }
}

fn clean(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

/// One header block: owner 0:0, time 0.
fn header(
    path: &str,
    mode: u32,
    size: usize,
    kind: u8,
    target: &str,
) -> Result<[u8; BLOCK], TarError> {
    let mut block = [0; BLOCK];
    for (at, longest, text) in [(0, 100, path), (157, 100, target)] {
        if text.len() > longest {
            return Err(TarError::Path(text.to_owned()));
        }
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let size_text = format!("{size:011o}\0");
    if size_text.len() != 12 {
        return Err(TarError::Size { path: path.to_owned() });
    }
    let mut put = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(100, &format!("{mode:07o}\0"));
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &size_text);
    put(136, "00000000000\0");
    put(148, "        ");
    put(257, "ustar\x0000");
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_depends_on_its_content_alone_and_ends_with_two_empty_blocks() {
        let mut one = Tree::default();
        one.file("bin/program", 0o755, b"abc");
        one.link("bin/other", "program");
        one.directory("tmp", 0o1777);
        let mut two = Tree::default();
        two.directory("/tmp/", 0o1777);
        two.link("/bin/other", "program");
        two.file("/bin/program", 0o755, b"abc");
        let archive = one.archive().expect("short paths");
        assert_eq!(archive, two.archive().expect("short paths"));
        // bin/, bin/other, bin/program and its content, tmp/, end.
        assert_eq!(archive.len(), 7 * BLOCK);
        assert!(archive[5 * BLOCK..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_header_carries_its_own_checksum() {
        let block = header("tmp/", 0o1777, 0, b'5', "").expect("a short path");
        let mut blank = block;
        blank[148..156].fill(b' ');
        let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&block[148..155], format!("{sum:06o}\0").as_bytes());
        assert_eq!(&block[100..108], b"0001777\0");
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused() {
        let mut tree = Tree::default();
        tree.file(&"x".repeat(101), 0o644, b"");
        assert_eq!(tree.archive(), Err(TarError::Path("x".repeat(101))));
    }
}
