//! Join tokens: the cluster's two secrets of entry, and who may come in by which.

use std::io;

use model::object::JoinSecrets;
use model::spec::Role;
use model::wire::join::{JoinToken, ParseTokenError};
use subtle::ConstantTimeEq as _;

use crate::log::seal::random;

/// Digits of a secret, base 36: 129 bits.
const SECRET: usize = 25;

/// Why a token lets nobody in. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is no join token: {0}")]
    Malformed(#[from] ParseTokenError),
    #[error("the join token belongs to another cluster, or its certificate authority was replaced")]
    OtherCluster,
    #[error("the join token is not valid any more; ask a manager for the present one")]
    Secret,
}

/// The token that lets a host in with `secret`, to the cluster whose root has `digest`.
#[must_use]
pub fn join_token(digest: &str, secret: &str) -> String {
    JoinToken { digest: digest.to_owned(), secret: secret.to_owned() }.to_string()
}

/// The role that `token` gives its holder. Takes the same time whatever part is wrong.
///
/// # Errors
/// See [`TokenError`].
pub fn check_token(token: &str, digest: &str, secrets: &JoinSecrets) -> Result<Role, TokenError> {
    let token: JoinToken = token.parse()?;
    let is = |secret: &str| token.secret.as_bytes().ct_eq(secret.as_bytes());
    let (manager, worker) = (is(&secrets.manager), is(&secrets.worker));
    if token.digest != digest {
        return Err(TokenError::OtherCluster);
    }
    if manager.into() {
        Ok(Role::Manager)
    } else if worker.into() {
        Ok(Role::Worker)
    } else {
        Err(TokenError::Secret)
    }
}

/// A new secret of entry.
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn new_secret() -> io::Result<String> {
    let mut secret = String::with_capacity(SECRET);
    while secret.len() < SECRET {
        let mut bytes = [0; 64];
        random(&mut bytes)?;
        // 252 is the largest multiple of 36 in a byte: what lies above would favour some digits.
        let fair = bytes.iter().filter(|byte| **byte < 252);
        let digits = fair.map(|byte| {
            char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(byte % 36)])
        });
        secret.extend(digits.take(SECRET - secret.len()));
    }
    Ok(secret)
}

/// New secrets for both roles.
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn new_secrets() -> io::Result<JoinSecrets> {
    Ok(JoinSecrets { worker: new_secret()?, manager: new_secret()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_the_role_of_its_secret_and_nothing_else() {
        let digest = "1".repeat(50);
        let secrets = new_secrets().expect("random bytes");
        let check = |token: &str| check_token(token, &digest, &secrets);
        assert_eq!(check(&join_token(&digest, &secrets.worker)), Ok(Role::Worker));
        assert_eq!(check(&join_token(&digest, &secrets.manager)), Ok(Role::Manager));
        let other = new_secret().expect("random bytes");
        assert_eq!(check(&join_token(&digest, &other)), Err(TokenError::Secret));
        let elsewhere = join_token(&"2".repeat(50), &secrets.worker);
        assert_eq!(check(&elsewhere), Err(TokenError::OtherCluster));
        assert!(matches!(check("SWMTKN-1-x-y"), Err(TokenError::Malformed(_))));
    }
}
