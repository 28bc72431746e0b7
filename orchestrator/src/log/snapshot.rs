//! Snapshots on disk: whole, sealed and verified, or not there.
//!
//! A file is one line of JSON (format, position, members) and then sealed pieces of up to 1 MiB,
//! each `length (u32, big endian) | sealed piece`. A piece's associated data is the digest of the
//! header, its number, and whether it is the last; so a file that is torn, cut, reordered or given
//! another header does not open. Files are written beside their name, synced and renamed; the two
//! newest are kept, and a damaged one is set aside at start.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::seal::Seal;
use super::types::SnapshotMeta;

/// Plain bytes of one piece.
const PIECE: usize = 1 << 20;

/// The format that this version writes and reads.
const VERSION: u32 = 1;

/// How many snapshots are kept. The log keeps what the older one needs, so that a damaged newest
/// costs nothing but a longer start.
const KEPT: usize = 2;

/// The folder of snapshots.
pub(crate) struct Snapshots {
    folder: PathBuf,
    seal: Arc<Seal>,
    /// Numbers the files that are being written.
    next: AtomicU64,
    /// Whether the folder has been closed. Whoever changes it holds this.
    closed: RwLock<bool>,
}

/// While it lives, the folder is not closed.
pub(crate) struct Hold<'a>(
    #[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'a, bool>,
);

/// One snapshot on disk. One that was never [`Snapshots::keep`]ed goes when it is dropped.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
    temporary: bool,
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.temporary {
            // What remains is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    meta: SnapshotMeta,
}

const FORMAT: &str = "swarmctl snapshot";

impl Snapshots {
    /// Opens the folder; removes leavings, sets damaged snapshots aside.
    pub(crate) fn open(folder: &Path, seal: Arc<Seal>) -> io::Result<Snapshots> {
        fs::create_dir_all(folder)?;
        let snapshots = Snapshots {
            folder: folder.to_owned(),
            seal,
            next: AtomicU64::new(0),
            closed: RwLock::new(false),
        };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "part") {
                fs::remove_file(path)?;
            }
        }
        for path in snapshots.files()? {
            match snapshots.verify(&path) {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a snapshot is damaged; set aside");
                    fs::rename(&path, path.with_extension("damaged"))?;
                }
            }
        }
        Ok(snapshots)
    }

    /// Keeps the folder open until what is returned is dropped. An error once it is closed.
    pub(crate) fn hold(&self) -> io::Result<Hold<'_>> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(io::Error::other("the folder of snapshots has been closed"));
        }
        Ok(Hold(closed))
    }

    /// Waits for a snapshot that is being made, and lets no other one begin: Raft does not end the
    /// thread that writes one, and whoever opens the folder next must be alone in it.
    pub(crate) fn close(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Writes a snapshot of `meta`, whose content `save` produces. Not yet the current one.
    pub(crate) fn write(
        &self,
        meta: &SnapshotMeta,
        save: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<SnapshotFile> {
        let mut pieces = self.begin(meta)?;
        save(&mut pieces)?;
        pieces.finish()
    }

    /// Begins a snapshot of `meta`, piece by piece.
    pub(crate) fn begin(&self, meta: &SnapshotMeta) -> io::Result<PieceWriter> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.part"));
        let out =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let mut out = BufWriter::new(out);
        let header = Header { format: FORMAT.to_owned(), version: VERSION, meta: meta.clone() };
        let header = serde_json::to_vec(&header)?;
        out.write_all(&header)?;
        out.write_all(b"\n")?;
        Ok(PieceWriter {
            out,
            file: SnapshotFile { path, temporary: true },
            seal: self.seal.clone(),
            digest: Sha256::digest(&header).into(),
            number: 0,
            piece: Vec::with_capacity(PIECE),
        })
    }

    /// Makes `file` the current snapshot, durably, and drops all but the newest two.
    pub(crate) fn keep(&self, meta: &SnapshotMeta, mut file: SnapshotFile) -> io::Result<()> {
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let term = meta.last_log_id.map_or(0, |id| id.leader_id.term);
        // Padded, so that the order of names is the order of positions.
        let path = self.folder.join(format!("{index:020}-{term:020}.snapshot"));
        if file.path != path {
            if file.temporary {
                fs::rename(&file.path, &path)?;
            } else {
                fs::copy(&file.path, &path)?;
                File::open(&path)?.sync_all()?;
            }
            file.temporary = false;
            file.path = path;
            File::open(&self.folder)?.sync_all()?;
        }
        for old in self.files()?.into_iter().skip(KEPT) {
            fs::remove_file(old)?;
        }
        Ok(())
    }

    /// The newest snapshot.
    pub(crate) fn current(&self) -> io::Result<Option<(SnapshotMeta, SnapshotFile)>> {
        let Some(path) = self.files()?.into_iter().next() else { return Ok(None) };
        let meta = self.reader(&path)?.meta;
        Ok(Some((meta, SnapshotFile { path, temporary: false })))
    }

    /// Reads a snapshot's content, every piece verified before it is handed out.
    pub(crate) fn reader(&self, path: &Path) -> io::Result<PieceReader> {
        let mut input = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(damaged("its header is cut off"));
        }
        let header: Header = serde_json::from_slice(&line)?;
        if header.format != FORMAT || header.version != VERSION {
            return Err(damaged("it is of another format or version"));
        }
        Ok(PieceReader {
            input,
            seal: self.seal.clone(),
            digest: Sha256::digest(&line).into(),
            meta: header.meta,
            number: 0,
            piece: Vec::new(),
            used: 0,
            ended: false,
        })
    }

    fn verify(&self, path: &Path) -> io::Result<()> {
        io::copy(&mut self.reader(path)?, &mut io::sink()).map(|_| ())
    }

    /// The kept snapshots, newest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "snapshot") {
                files.push(path);
            }
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files)
    }
}

/// Writes the content of one snapshot.
pub(crate) struct PieceWriter {
    out: BufWriter<File>,
    file: SnapshotFile,
    seal: Arc<Seal>,
    digest: [u8; 32],
    number: u64,
    piece: Vec<u8>,
}

impl PieceWriter {
    /// Seals the last piece and makes the file durable.
    pub(crate) fn finish(mut self) -> io::Result<SnapshotFile> {
        self.put(true)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        Ok(self.file)
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let sealed = self.seal.seal(&place(&self.digest, self.number, last), &self.piece);
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&[u8::from(last)])?;
        self.out.write_all(&sealed)?;
        self.piece.clear();
        self.number += 1;
        Ok(())
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.put(false)?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the content of one snapshot. Ends with an error where the file does.
pub(crate) struct PieceReader {
    input: BufReader<File>,
    seal: Arc<Seal>,
    digest: [u8; 32],
    pub(crate) meta: SnapshotMeta,
    number: u64,
    piece: Vec<u8>,
    used: usize,
    ended: bool,
}

impl PieceReader {
    fn next_piece(&mut self) -> io::Result<()> {
        let mut head = [0; 5];
        self.input.read_exact(&mut head)?;
        let [a, b, c, d, last] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > PIECE + 64 || last > 1 {
            return Err(damaged("a piece has an impossible length"));
        }
        let mut sealed = vec![0; length];
        self.input.read_exact(&mut sealed)?;
        self.piece = self
            .seal
            .unseal(&place(&self.digest, self.number, last == 1), &sealed)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        self.used = 0;
        self.number += 1;
        self.ended = last == 1;
        Ok(())
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_piece()?;
        }
        let given = buffer.len().min(self.piece.len() - self.used);
        buffer[..given].copy_from_slice(&self.piece[self.used..self.used + given]);
        self.used += given;
        Ok(given)
    }
}

fn place(digest: &[u8; 32], number: u64, last: bool) -> Vec<u8> {
    let mut place = digest.to_vec();
    place.extend_from_slice(&number.to_be_bytes());
    place.push(u8::from(last));
    place
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn open(folder: &Path) -> Snapshots {
        let seal = Seal::new(&Zeroizing::new([3; 32])).expect("random bytes");
        Snapshots::open(folder, Arc::new(seal)).expect("a folder of snapshots")
    }

    fn meta(index: u64) -> SnapshotMeta {
        let leader_id = crate::log::types::CommittedLeader { term: 1, node_id: 7.into() };
        SnapshotMeta {
            last_log_id: Some(crate::log::types::LogId { leader_id, index }),
            ..SnapshotMeta::default()
        }
    }

    fn add(snapshots: &Snapshots, index: u64, content: &[u8]) {
        let file = snapshots.write(&meta(index), |out| out.write_all(content)).expect("written");
        snapshots.keep(&meta(index), file).expect("kept");
    }

    fn content(snapshots: &Snapshots) -> Option<Vec<u8>> {
        let (_, file) = snapshots.current().expect("a readable folder")?;
        let mut content = Vec::new();
        snapshots.reader(&file.path).ok()?.read_to_end(&mut content).ok()?;
        Some(content)
    }

    #[test]
    fn the_newest_snapshot_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshots = open(folder.path());
        let long = vec![5; PIECE * 2 + 17];
        add(&snapshots, 9, b"old");
        add(&snapshots, 10, &long);
        assert_eq!(content(&snapshots), Some(long.clone()));
        assert_eq!(content(&open(folder.path())), Some(long));
    }

    #[test]
    fn a_torn_snapshot_is_set_aside_for_the_one_before() {
        for cut in [0, 1, 40, 300, PIECE + 200, 2 * PIECE + 300] {
            let folder = tempfile::tempdir().expect("a folder");
            let snapshots = open(folder.path());
            add(&snapshots, 1, b"old");
            add(&snapshots, 2, &vec![5; PIECE * 2 + 17]);
            let (_, newest) = snapshots.current().expect("readable").expect("a snapshot");
            let file = File::options().write(true).open(&newest.path).expect("the file");
            let length = file.metadata().expect("its length").len();
            assert!((cut as u64) < length);
            file.set_len(cut as u64).expect("cut");
            assert_eq!(content(&open(folder.path())), Some(b"old".to_vec()), "cut at {cut}");
        }
    }

    #[test]
    fn closing_waits_for_the_snapshot_that_is_being_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshots = Arc::new(open(folder.path()));
        let held = snapshots.hold().expect("open");
        let closing = std::thread::spawn({
            let snapshots = snapshots.clone();
            move || {
                snapshots.close();
                fs::read_dir(&snapshots.folder).expect("the folder").count()
            }
        });
        add(&snapshots, 1, b"x");
        drop(held);
        assert_eq!(closing.join().expect("closed"), 1);
        assert!(snapshots.hold().is_err());
    }

    #[test]
    fn no_more_than_two_snapshots_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshots = open(folder.path());
        for index in 0..5 {
            add(&snapshots, index, b"x");
        }
        drop(snapshots.write(&meta(6), |out| out.write_all(b"never kept")).expect("written"));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), KEPT);
    }
}
