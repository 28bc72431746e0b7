//! What is looked up often, kept as objects change.

use std::collections::BTreeMap;

use model::spec::Protocol;

/// What the tasks of a node hold of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeUse {
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    pub memory_bytes: i64,
    /// Kind to number.
    pub generic: BTreeMap<String, i64>,
    /// Host-mode ports, and how many tasks hold each.
    pub host_ports: BTreeMap<(Protocol, u16), u32>,
    /// Tasks that have not ended.
    pub tasks: u32,
}

/// All indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {}
