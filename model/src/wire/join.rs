//! How a host gets into the cluster, and how its certificate is renewed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::object::NodeDescription;
use crate::spec::{Availability, Role};

/// What a host needs to join: `SWMTKN-1-DIGEST-SECRET`, as Docker writes it.
///
/// The digest is the SHA-256 of the CA certificate's DER, 50 base-36 digits; the joining host
/// talks to nobody whose certificate does not come from that CA. The secret, 25 base-36 digits,
/// says which role the host gets.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub digest: String,
    pub secret: String,
}

/// A text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTokenError {
    #[error("a join token begins with SWMTKN-1-")]
    Prefix,
    #[error("a join token has four parts joined by '-', this has {0}")]
    Parts(usize),
    #[error("the token's CA digest has {0} characters instead of 50 of 0-9 and a-z")]
    Digest(usize),
    #[error("the token's secret has {0} characters instead of 25 of 0-9 and a-z")]
    Secret(usize),
}

impl FromStr for JoinToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.trim().split('-').collect();
        if parts.first() != Some(&"SWMTKN") || parts.get(1) != Some(&"1") {
            return Err(ParseTokenError::Prefix);
        }
        let [_, _, digest, secret] = parts[..] else {
            return Err(ParseTokenError::Parts(parts.len()));
        };
        let base36 = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if digest.len() != 50 || !base36(digest) {
            return Err(ParseTokenError::Digest(digest.chars().count()));
        }
        if secret.len() != 25 || !base36(secret) {
            return Err(ParseTokenError::Secret(secret.chars().count()));
        }
        Ok(JoinToken { digest: digest.to_owned(), secret: secret.to_owned() })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SWMTKN-1-{}-{}", self.digest, self.secret)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SWMTKN-1-{}-…", self.digest)
    }
}

/// The digest of a token: a SHA-256 as 50 base-36 digits.
#[must_use]
pub fn digest_text(sha256: &[u8; 32]) -> String {
    // Division of a 256-bit big-endian number by 36, digit by digit.
    let mut number = *sha256;
    let mut digits = [b'0'; 50];
    for place in digits.iter_mut().rev() {
        let mut rest: u32 = 0;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 36).unwrap_or(0);
            rest = value % 36;
        }
        let digit = u8::try_from(rest).unwrap_or(0);
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    String::from_utf8_lossy(&digits).into_owned()
}

/// `POST /join`, without a client certificate.
#[derive(Clone, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The whole token.
    pub token: String,
    /// A certificate signing request, PEM. Its subject is ignored; the manager writes it.
    pub csr_pem: String,
    pub description: NodeDescription,
    pub availability: Availability,
    /// Where this host's manager would listen, `host:port`.
    pub manager_address: String,
}

/// The answer to a join.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinReply {
    pub node: NodeId,
    pub role: Role,
    pub certificate: Certificate,
    /// Where managers listen, `host:port`.
    pub managers: BTreeMap<NodeId, String>,
}

/// `POST /renew`, with the certificate that is to be replaced. Answered with a [`Certificate`] of
/// the role that the node has now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewRequest {
    pub csr_pem: String,
}

/// A node's certificate with the CA's, PEM.
///
/// While the authority is rotated the certificate is followed by one that ties it to the authority
/// before, and both authorities' are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub cert_pem: String,
    pub ca_pem: String,
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_says_what_is_wrong() {
        let text = format!("SWMTKN-1-{}-{}", "0".repeat(50), "a".repeat(25));
        let token: JoinToken = text.parse().expect("a good token");
        assert_eq!(token.to_string(), text);
        assert_eq!("x".parse::<JoinToken>(), Err(ParseTokenError::Prefix));
        assert_eq!("SWMTKN-1-abc".parse::<JoinToken>(), Err(ParseTokenError::Parts(3)));
        assert_eq!("SWMTKN-1-abc-d".parse::<JoinToken>(), Err(ParseTokenError::Digest(3)));
        assert_eq!(
            format!("SWMTKN-1-{}-d", "0".repeat(50)).parse::<JoinToken>(),
            Err(ParseTokenError::Secret(1))
        );
    }

    #[test]
    fn the_digest_is_the_number_in_base_36() {
        let mut bytes = [0; 32];
        bytes[31] = 37;
        assert_eq!(digest_text(&bytes), format!("{}11", "0".repeat(48)));
        assert_eq!(digest_text(&[0xff; 32]).len(), 50);
    }
}
