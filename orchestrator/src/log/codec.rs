//! The byte form of log entries: the same on disk (sealed) and between managers.
//!
//! `header length (u32, big endian) | header (JSON) | payload`. The header names its fields, so
//! that versions can be mixed during an upgrade; the payload is the JSON text of the machine's
//! entry, left as it is.

use std::io;

use bytes::{Buf as _, Bytes};
use openraft::EntryPayload;
use serde::{Deserialize, Serialize};

use super::types::{Entry, LogId, Members, Text};

/// What an entry is, beside its payload.
#[derive(Serialize, Deserialize)]
pub(crate) struct EntryHeader {
    #[serde(rename = "id")]
    pub(crate) log_id: LogId,
    pub(crate) kind: EntryKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) members: Option<Members>,
    /// Bytes of payload.
    pub(crate) len: usize,
}

/// The kinds of entry.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntryKind {
    /// A new leader's first.
    Blank,
    /// The machine's.
    Normal,
    /// A change of the voters.
    Membership,
}

impl EntryHeader {
    /// The header of `entry`.
    pub(crate) fn of(entry: &Entry) -> EntryHeader {
        let (kind, members, len) = match &entry.payload {
            EntryPayload::Blank => (EntryKind::Blank, None, 0),
            EntryPayload::Normal(text) => (EntryKind::Normal, None, text.0.len()),
            EntryPayload::Membership(m) => (EntryKind::Membership, Some(m.clone()), 0),
        };
        EntryHeader { log_id: entry.log_id, kind, members, len }
    }

    /// The entry of this header, its payload taken from the front of `rest`.
    pub(crate) fn entry(self, rest: &mut Bytes) -> io::Result<Entry> {
        let payload = match (self.kind, self.members) {
            (EntryKind::Blank, _) => EntryPayload::Blank,
            (EntryKind::Membership, Some(members)) => EntryPayload::Membership(members),
            (EntryKind::Membership, None) => return Err(bad("a membership entry without members")),
            (EntryKind::Normal, _) if rest.len() < self.len => {
                return Err(bad("an entry is shorter than its header says"));
            }
            (EntryKind::Normal, _) => EntryPayload::Normal(Text(rest.split_to(self.len))),
        };
        Ok(Entry { log_id: self.log_id, payload })
    }
}

/// The payload's bytes; none for an entry that is not the machine's.
pub(crate) fn payload(entry: &Entry) -> &[u8] {
    match &entry.payload {
        EntryPayload::Normal(text) => &text.0,
        EntryPayload::Blank | EntryPayload::Membership(_) => &[],
    }
}

/// One entry as bytes.
pub(crate) fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut out = with_header(&EntryHeader::of(entry))?;
    out.extend_from_slice(payload(entry));
    Ok(out)
}

/// The entry of such bytes.
pub(crate) fn decode(bytes: Vec<u8>) -> io::Result<Entry> {
    let mut rest = Bytes::from(bytes);
    let header: EntryHeader = header(&mut rest)?;
    header.entry(&mut rest)
}

/// `header` with its length before it.
pub(crate) fn with_header<T: Serialize>(header: &T) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 4];
    serde_json::to_writer(&mut out, header)?;
    let length = u32::try_from(out.len() - 4).map_err(|_| bad("a header over 4 GiB"))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// The header at the front of `rest`, which is left at what follows.
pub(crate) fn header<T: for<'de> Deserialize<'de>>(rest: &mut Bytes) -> io::Result<T> {
    if rest.len() < 4 {
        return Err(bad("no header"));
    }
    let length = rest.get_u32() as usize;
    if rest.len() < length {
        return Err(bad("a header is shorter than its length says"));
    }
    Ok(serde_json::from_slice(&rest.split_to(length))?)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
