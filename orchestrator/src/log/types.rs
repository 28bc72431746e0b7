//! The openraft types that this module is built on; nothing outside `log` may name them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use model::{Id, NodeId};
use openraft::{BasicNode, Membership, StoredMembership};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A manager's name in Raft: its node's id.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Voter(pub(crate) NodeId);

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<u64> for Voter {
    fn from(value: u64) -> Self {
        Voter(NodeId(Id(u128::from(value))))
    }
}

/// One entry's payload: the JSON text of the machine's entry type.
///
/// Carried as text, so that the log neither knows nor needs to rebuild what is in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Bytes);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(e) => Err(serde::ser::Error::custom(e)),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Text(Bytes::from(text)))
    }
}

/// What `apply` answered, on its way to the proposer in this process.
///
/// openraft wants responses that could be sent; ours never are, so they are written as nothing.
#[derive(Clone, Default)]
pub(crate) struct Reply(pub(crate) Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Reply(Some)" } else { "Reply(None)" })
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Reply(None))
    }
}

openraft::declare_raft_types!(
    pub(crate) TypeConfig:
        D = Text,
        R = Reply,
        NodeId = Voter,
        Node = BasicNode,
        AsyncRuntime = super::runtime::Runtime,
);

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type Members = Membership<Voter, BasicNode>;
pub(crate) type CommittedLeader = openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>;
pub(crate) type StoredMembers = StoredMembership<CommittedLeader, Voter, BasicNode>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
