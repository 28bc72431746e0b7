//! Encrypts what the log keeps on disk, and keeps the key.
//!
//! Every value is sealed alone with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under one data
//! key: `nonce (24 bytes) | ciphertext | tag (16 bytes)`. The associated data names the value's
//! place, so a value that was moved to another place does not open.
//!
//! The data key lies in a file of mode 0600 beside the log. Where managers are locked it is wrapped
//! by a second key that is not on the disk ([`KeyFile`] with `wrapped: true`); see `crate::lock`.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The file of the data key, in the manager's folder.
pub(crate) const DATA_KEY: &str = "data-key.json";

/// Bytes of a nonce: 16 random ones drawn at start and a counter.
const NONCE: usize = 24;

/// Bytes of a key.
const KEY: usize = 32;

/// The format of the key file that this version writes and reads.
const VERSION: u32 = 1;

/// A key of 32 bytes that forgets itself when dropped.
pub type SecretKey = Zeroizing<[u8; KEY]>;

/// Seals and opens values under one data key.
pub(crate) struct Seal {
    cipher: XChaCha20Poly1305,
    prefix: [u8; 16],
    counter: AtomicU64,
}

/// Why a value or a key file does not open.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the data does not open under this manager's key: damaged, or another key's")]
    Unreadable,
    #[error("the data key is locked by a second key, which was not given")]
    Locked,
    #[error("the key file is damaged: {0}")]
    KeyFile(String),
    #[error("the key file has format {found}, this version knows {VERSION}")]
    Version { found: u32 },
    #[error("the key file cannot be read or written")]
    Io(#[from] io::Error),
}

/// The key file's content, JSON.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: u32,
    /// Whether `key` is sealed under a key-encryption key.
    wrapped: bool,
    /// Base 64.
    key: String,
}

impl Seal {
    /// A seal under `key`.
    pub(crate) fn new(key: &SecretKey) -> io::Result<Seal> {
        let mut prefix = [0; 16];
        random(&mut prefix)?;
        let cipher = XChaCha20Poly1305::new((&**key).into());
        Ok(Seal { cipher, prefix, counter: AtomicU64::new(0) })
    }

    /// The seal of the key in `file`; makes the file, with a new key, where there is none.
    ///
    /// # Errors
    /// When the file is damaged, of another version, or locked by a key other than `unlock`.
    pub(crate) fn open(file: &Path, unlock: Option<&SecretKey>) -> Result<Seal, SealError> {
        let key = match fs::read(file) {
            Ok(bytes) => read_key(&bytes, unlock)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut key = SecretKey::default();
                random(&mut *key)?;
                write_key(file, &key, unlock)?;
                key
            }
            Err(e) => return Err(e.into()),
        };
        Ok(Seal::new(&key)?)
    }

    /// `plain` sealed for the place `place`.
    pub(crate) fn seal(&self, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        nonce[..16].copy_from_slice(&self.prefix);
        nonce[16..].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place })
            .expect("values are far below the cipher's limit of 256 GiB");
        let mut value = Vec::with_capacity(NONCE + sealed.len());
        value.extend_from_slice(&nonce);
        value.extend_from_slice(&sealed);
        value
    }

    /// What was sealed for the place `place`.
    pub(crate) fn unseal(&self, place: &[u8], value: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = value.split_first_chunk::<NONCE>().ok_or(SealError::Unreadable)?;
        self.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: place })
            .map_err(|_| SealError::Unreadable)
    }
}

/// Whether the key in `file` opens only with a second key. A file that is not there is not locked.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn is_locked(file: &Path) -> Result<bool, SealError> {
    match fs::read(file) {
        Ok(bytes) => Ok(key_file(&bytes)?.wrapped),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whether `unlock` opens the key in `file`.
///
/// # Errors
/// When the file cannot be read, or opens with another key.
pub(crate) fn try_unlock(file: &Path, unlock: &SecretKey) -> Result<(), SealError> {
    read_key(&fs::read(file)?, Some(unlock)).map(drop)
}

/// Locks the key in `file` under `wrap` from now on, or under nothing. `unlock` opens it now.
///
/// # Errors
/// When it does not open, or the file cannot be written; then it is as it was.
pub(crate) fn relock(
    file: &Path,
    unlock: Option<&SecretKey>,
    wrap: Option<&SecretKey>,
) -> Result<(), SealError> {
    write_key(file, &read_key(&fs::read(file)?, unlock)?, wrap)
}

/// Fills `buffer` from the operating system's generator.
pub(crate) fn random(buffer: &mut [u8]) -> io::Result<()> {
    getrandom::fill(buffer).map_err(|e| io::Error::other(e.to_string()))
}

/// The associated data of a wrapped key.
const WRAP: &[u8] = b"swarmctl data key";

fn key_file(bytes: &[u8]) -> Result<KeyFile, SealError> {
    let file: KeyFile =
        serde_json::from_slice(bytes).map_err(|e| SealError::KeyFile(e.to_string()))?;
    if file.version != VERSION {
        return Err(SealError::Version { found: file.version });
    }
    Ok(file)
}

fn read_key(bytes: &[u8], unlock: Option<&SecretKey>) -> Result<SecretKey, SealError> {
    let file = key_file(bytes)?;
    let stored = BASE64
        .decode(file.key.as_bytes())
        .map(Zeroizing::new)
        .map_err(|e| SealError::KeyFile(e.to_string()))?;
    let plain = if file.wrapped {
        let unlock = unlock.ok_or(SealError::Locked)?;
        Zeroizing::new(Seal::new(unlock)?.unseal(WRAP, &stored)?)
    } else {
        stored
    };
    let key: [u8; KEY] = plain[..]
        .try_into()
        .map_err(|_| SealError::KeyFile(format!("{} bytes instead of {KEY}", plain.len())))?;
    Ok(Zeroizing::new(key))
}

fn write_key(file: &Path, key: &SecretKey, wrap: Option<&SecretKey>) -> Result<(), SealError> {
    let stored = match wrap {
        Some(wrap) => Seal::new(wrap)?.seal(WRAP, &**key),
        None => key.to_vec(),
    };
    let content =
        KeyFile { version: VERSION, wrapped: wrap.is_some(), key: BASE64.encode(&stored) };
    let text = serde_json::to_vec(&content).map_err(io::Error::from)?;
    write_secret(file, &text)?;
    Ok(())
}

/// Writes `file` with mode 0600, whole or not at all, and durably.
pub(crate) fn write_secret(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().ok_or_else(|| io::Error::other("a file has a folder"))?;
    let next = file.with_extension("next");
    let mut out =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    out.write_all(content)?;
    out.sync_all()?;
    fs::rename(&next, file)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_value_opens_only_at_its_own_place() {
        let seal = Seal::new(&Zeroizing::new([7; KEY])).expect("random bytes");
        let value = seal.seal(b"one", b"text");
        assert_eq!(seal.unseal(b"one", &value).expect("the same place"), b"text");
        assert!(seal.unseal(b"two", &value).is_err());
        assert!(seal.unseal(b"one", &value[..10]).is_err());
        let mut bent = value.clone();
        bent[NONCE] ^= 1;
        assert!(seal.unseal(b"one", &bent).is_err());
    }

    #[test]
    fn the_key_file_is_private_and_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key.json");
        let first = Seal::open(&file, None).expect("a new key");
        let value = first.seal(b"p", b"text");
        assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
        let second = Seal::open(&file, None).expect("the same key");
        assert_eq!(second.unseal(b"p", &value).expect("the same key"), b"text");
    }

    #[test]
    fn a_locked_key_file_opens_only_with_its_second_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key.json");
        let lock = Zeroizing::new([1; KEY]);
        let value = Seal::open(&file, Some(&lock)).expect("a new key").seal(b"p", b"text");
        assert!(matches!(Seal::open(&file, None), Err(SealError::Locked)));
        let wrong = Zeroizing::new([2; KEY]);
        assert!(matches!(Seal::open(&file, Some(&wrong)), Err(SealError::Unreadable)));
        let again = Seal::open(&file, Some(&lock)).expect("the right second key");
        assert_eq!(again.unseal(b"p", &value).expect("the same key"), b"text");
    }

    #[test]
    fn a_lock_is_put_on_changed_and_taken_off_and_the_data_stays_readable() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key.json");
        assert!(!is_locked(&file).expect("no file"));
        let value = Seal::open(&file, None).expect("a new key").seal(b"p", b"text");
        let (one, two) = (Zeroizing::new([1; KEY]), Zeroizing::new([2; KEY]));
        relock(&file, None, Some(&one)).expect("locked");
        assert!(is_locked(&file).expect("a file"));
        relock(&file, Some(&one), Some(&two)).expect("another key");
        assert!(relock(&file, Some(&one), None).is_err(), "the old key opens nothing");
        assert!(try_unlock(&file, &one).is_err());
        try_unlock(&file, &two).expect("the new key");
        relock(&file, Some(&two), None).expect("unlocked");
        assert!(!is_locked(&file).expect("a file"));
        let again = Seal::open(&file, None).expect("no second key");
        assert_eq!(again.unseal(b"p", &value).expect("the same key"), b"text");
    }
}
