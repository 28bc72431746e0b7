//! What users ask for: Docker's specs, as JSON has them on the wire.
//!
//! The field names and the order of fields are those of the Docker Engine API, so that a spec made
//! by any client reads and writes back unchanged. Three rules hold for every type here:
//!
//! - absent and null mean the same and write as absent; a default is filled in where it is used
//!   (the methods named `effective_…` and the like), never stored;
//! - a field we do not know is kept in `extra`, so a client's read-modify-write loses nothing;
//! - durations are integer nanoseconds, CPUs billionths, memory bytes, as Docker has them.
//!
//! Fields that Docker's API lacks are marked "Ours".

mod cluster;
mod container;
mod endpoint;
mod network;
mod node;
mod resources;
mod service;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use cluster::*;
pub use container::*;
pub use endpoint::*;
pub use network::*;
pub use node::*;
pub use resources::*;
pub use service::*;

/// Labels and options: sorted, so that equal maps write equal text.
pub type Labels = BTreeMap<String, String>;

/// Fields that this version does not know.
pub type Extra = BTreeMap<String, serde_json::Value>;

/// Reads null as the type's default.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// For `skip_serializing_if`.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands a reference
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// For `skip_serializing_if`.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands a reference
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
