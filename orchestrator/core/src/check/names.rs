//! Judges names.

use super::Findings;

/// The longest label of a DNS name.
const COMPONENT_LENGTH: usize = 63;
/// Docker's limit for names of secrets and configs.
const FILE_NAME_LENGTH: usize = 64;

/// The name of a service or network: one label of a DNS name, underscores allowed.
pub(super) fn component(found: &mut Findings, name: &str) {
    if name.is_empty() {
        found.problem("meta: name must be provided");
        return;
    }
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !ends(name.chars().next()) || !ends(name.chars().last()) || !name.chars().all(inner) {
        found.problem("name must be valid as a DNS name component");
    }
    if name.len() > COMPONENT_LENGTH {
        found.problem(format!("name must be {COMPONENT_LENGTH} characters or fewer"));
    }
}

/// The name of a secret or config.
pub(super) fn file(found: &mut Findings, name: &str) {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = ends(name.chars().next()) && ends(name.chars().last());
    if !good || !name.chars().all(inner) || name.len() > FILE_NAME_LENGTH {
        found.problem(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end \
             character must be [a-zA-Z0-9]",
        );
    }
}
