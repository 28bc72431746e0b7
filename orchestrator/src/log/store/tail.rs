//! The newest entries of the log in memory, and what is known of the rest.
//!
//! Invariant: `entries` are consecutive, the first has index `first`, and everything below `first`
//! is durable in the file. An entry is dropped from memory only when it is durable.

use std::collections::VecDeque;

use super::super::codec;
use super::super::types::{Entry, LogId, Vote};

/// Bytes of payload kept at most, beside what is not durable yet. Enough for a follower that is
/// seconds behind; small against the manager's footprint.
const LIMIT: usize = 8 << 20;

/// Counted for each entry beside its payload.
const OVERHEAD: usize = 160;

pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Index of the first entry held here; that of the next entry when none is.
    pub(super) first: u64,
    /// Everything below this index is in the file.
    durable: u64,
    pub(super) last: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<Vote>,
}

impl Tail {
    /// Of a log whose every entry, up to `last`, is in the file.
    pub(super) fn starting_after(last: Option<LogId>) -> Tail {
        let first = last.map_or(0, |id| id.index + 1);
        Tail {
            entries: VecDeque::new(),
            bytes: 0,
            first,
            durable: first,
            last,
            purged: None,
            vote: None,
        }
    }

    /// Takes in entries that the writer has not written yet.
    pub(super) fn push(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.entries.is_empty() {
                self.first = entry.log_id.index;
            }
            self.bytes += size(entry);
            self.last = Some(entry.log_id);
            self.entries.push_back(entry.clone());
        }
    }

    /// Everything below `index` has become durable.
    pub(super) fn written(&mut self, index: u64) {
        self.durable = self.durable.max(index);
        while self.bytes > LIMIT && self.first < self.durable {
            self.drop_first();
        }
    }

    /// Forgets everything from `from` on; `last` is what remains.
    pub(super) fn truncate(&mut self, from: u64, last: Option<LogId>) {
        while self.entries.back().is_some_and(|e| e.log_id.index >= from) {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= size(&entry);
            }
        }
        if self.entries.is_empty() {
            self.first = self.first.min(from);
        }
        self.durable = self.durable.min(from);
        if self.last > last {
            self.last = last.max(self.purged);
        }
    }

    /// Forgets everything up to `upto`.
    pub(super) fn purge(&mut self, upto: LogId) {
        while self.entries.front().is_some_and(|e| e.log_id.index <= upto.index) {
            self.drop_first();
        }
        if self.entries.is_empty() {
            self.first = self.first.max(upto.index + 1);
        }
        self.purged = Some(upto);
        self.last = self.last.max(Some(upto));
    }

    /// Entries from `start` to before `end`, at most `limit` bytes (but one entry).
    pub(super) fn range(&self, start: u64, end: u64, limit: usize) -> Vec<Entry> {
        let skip = usize::try_from(start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut chosen = Vec::new();
        for entry in self.entries.iter().skip(skip).take_while(|e| e.log_id.index < end) {
            bytes += size(entry);
            if bytes > limit && !chosen.is_empty() {
                break;
            }
            chosen.push(entry.clone());
        }
        chosen
    }

    fn drop_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= size(&entry);
            self.first = entry.log_id.index + 1;
        }
    }
}

fn size(entry: &Entry) -> usize {
    OVERHEAD + codec::payload(entry).len()
}
