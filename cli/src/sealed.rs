//! Seals a file with a passphrase: PBKDF2 (RFC 8018) with HMAC-SHA-256, then ChaCha20-Poly1305 (RFC 8439).
//!
//! A sealed file is one line of JSON that says how it was sealed, then the sealed bytes. The line is
//! authenticated with them, so nothing of it can be changed unnoticed.

use std::num::NonZeroU32;

use data_encoding::BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

/// OWASP's figure of 2023 for HMAC-SHA-256: about a fifth of a second.
const ROUNDS: u32 = 600_000;

/// More would only serve to keep somebody busy.
const MOST_ROUNDS: u32 = 10_000_000;

const SALT: usize = 16;
const NONCE: usize = 12;
const KEY: usize = 32;

/// What the first line of a sealed file says.
#[derive(Serialize, Deserialize)]
struct Head {
    /// 1.
    sealed: u32,
    kdf: String,
    rounds: u32,
    salt: String,
    cipher: String,
    nonce: String,
}

const KDF: &str = "pbkdf2-hmac-sha256";
const CIPHER: &str = "chacha20-poly1305";

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    #[error("it was sealed in a way that this program does not know")]
    Unknown,
    #[error("the passphrase is wrong, or the file is damaged")]
    Wrong,
}

/// The host gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("this host gives no random numbers")]
pub struct NoRandom;

/// Whether the bytes are a sealed file.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{\"sealed\":")
}

/// The bytes, sealed.
///
/// # Errors
/// [`NoRandom`].
pub fn seal(plain: &[u8], passphrase: &str) -> Result<Vec<u8>, NoRandom> {
    let random = SystemRandom::new();
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    random.fill(&mut salt).map_err(|_| NoRandom)?;
    random.fill(&mut nonce).map_err(|_| NoRandom)?;
    let head = Head {
        sealed: 1,
        kdf: KDF.to_owned(),
        rounds: ROUNDS,
        salt: BASE64.encode(&salt),
        cipher: CIPHER.to_owned(),
        nonce: BASE64.encode(&nonce),
    };
    let mut line = serde_json::to_string(&head).expect("a few texts and numbers").into_bytes();
    line.push(b'\n');
    let mut sealed = plain.to_vec();
    key(passphrase, &salt, ROUNDS)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(&line[..]),
            &mut sealed,
        )
        .map_err(|_| NoRandom)?;
    line.extend(sealed);
    Ok(line)
}

/// What was sealed.
///
/// # Errors
/// As [`OpenError`] says.
pub fn open(bytes: &[u8], passphrase: &str) -> Result<Vec<u8>, OpenError> {
    let end = bytes.iter().position(|b| *b == b'\n').ok_or(OpenError::Unknown)?;
    let (line, sealed) = bytes.split_at(end + 1);
    let head: Head = serde_json::from_slice(line).map_err(|_| OpenError::Unknown)?;
    if head.sealed != 1
        || head.kdf != KDF
        || head.cipher != CIPHER
        || !(1..=MOST_ROUNDS).contains(&head.rounds)
    {
        return Err(OpenError::Unknown);
    }
    let read = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| OpenError::Unknown);
    let salt = read(&head.salt)?;
    let nonce: [u8; NONCE] = read(&head.nonce)?.try_into().map_err(|_| OpenError::Unknown)?;
    let mut sealed = sealed.to_vec();
    let plain = key(passphrase, &salt, head.rounds)
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(line), &mut sealed)
        .map_err(|_| OpenError::Wrong)?;
    Ok(plain.to_vec())
}

fn key(passphrase: &str, salt: &[u8], rounds: u32) -> LessSafeKey {
    let mut key = [0; KEY];
    let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase.as_bytes(), &mut key);
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has its length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_passphrase_opens_and_nothing_can_be_changed() {
        let sealed = seal(b"the cluster", "horse").expect("random numbers");
        assert!(is_sealed(&sealed) && !sealed.windows(7).any(|w| w == b"cluster"));
        assert_eq!(open(&sealed, "horse").as_deref(), Ok(&b"the cluster"[..]));
        assert_eq!(open(&sealed, "house"), Err(OpenError::Wrong));
        let mut changed = sealed.clone();
        *changed.last_mut().expect("not empty") ^= 1;
        assert_eq!(open(&changed, "horse"), Err(OpenError::Wrong));
        let fewer = String::from_utf8_lossy(&sealed[..60]).replace("600000", "600001");
        changed = [fewer.as_bytes(), &sealed[60..]].concat();
        assert_eq!(open(&changed, "horse"), Err(OpenError::Wrong));
        assert_eq!(open(b"{\"sealed\":2}\n", "horse"), Err(OpenError::Unknown));
    }
}
