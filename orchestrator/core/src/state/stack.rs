//! Commands about the revisions of stacks.
//!
//! How many are kept is bounded by number and by size, for each stack and for stacks that are gone:
//! the history is a convenience and must not fill the managers' memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Timestamp;
use model::api::StackRequest;
use model::object::{StackHistory, StackRevision};

use super::State;
use super::step::Step;
use crate::command::{Refusal, Response};

/// Revisions kept of one stack. As many as one wants to read through; k8s keeps 10.
const REVISIONS: usize = 20;

/// Bytes of the revisions of one stack, as JSON; the newest is kept whatever its size. A stack of a
/// hundred services takes about 100 KB.
const BYTES: u64 = 2 << 20;

/// Stacks without a service whose revisions are kept: removed by a client that does not know of
/// revisions, they may be deployed again.
const GONE: usize = 20;

impl State {
    /// The number that the next revision of this stack gets.
    #[must_use]
    pub fn next_stack_revision(&self, name: &str) -> u64 {
        self.stack(name).and_then(|s| s.newest()).map_or(1, |r| r.number + 1)
    }
}

impl Step<'_> {
    pub(super) fn record_stack(
        &mut self,
        name: &str,
        number: u64,
        (at, rollback_to): (Option<Timestamp>, Option<u64>),
        request: &StackRequest,
    ) -> Result<Response, Refusal> {
        let first = self.state.stack(name).is_none();
        if !first && number != self.state.next_stack_revision(name) {
            return Err(Refusal::Outdated { what: format!("the revisions of stack {name}") });
        }
        let request = request.without_secrets();
        // What cannot be written as JSON would not have come here in an entry.
        let size = serde_json::to_vec(&request).map_or(0, |text| text.len() as u64);
        let mut revisions =
            self.state.stacks.get(name).map(|s| s.revisions.clone()).unwrap_or_default();
        revisions.push(Arc::new(StackRevision {
            number,
            at: at.unwrap_or(self.now),
            rollback_to,
            request,
            size,
        }));
        let surplus = revisions.len().saturating_sub(kept(&revisions));
        revisions.drain(..surplus);
        let name = name.to_owned();
        let history = Arc::new(StackHistory { name: name.clone(), revisions });
        self.state.stacks.insert_mut(name, history);
        self.drop_old_histories();
        Ok(Response::Done)
    }

    pub(super) fn forget_stack(&mut self, name: &str) -> Result<Response, Refusal> {
        self.state.stacks.remove_mut(name);
        Ok(Response::Done)
    }

    /// Forgets the stacks that are gone for longest, beyond what is kept.
    fn drop_old_histories(&mut self) {
        let services = self.state.services().filter(|s| s.removed.is_none());
        let there: BTreeSet<&str> = services.filter_map(|s| s.spec.stack()).collect();
        let mut gone: Vec<_> = self
            .state
            .stacks
            .values()
            .filter(|s| !there.contains(s.name.as_str()))
            .map(|s| (s.newest().map(|r| r.at), s.name.clone()))
            .collect();
        gone.sort();
        let surplus = gone.len().saturating_sub(GONE);
        for (_, name) in &gone[..surplus] {
            self.state.stacks.remove_mut(name);
        }
    }
}

/// How many of the newest stay.
fn kept(revisions: &[Arc<StackRevision>]) -> usize {
    let mut bytes = 0;
    let fits = |revision: &&Arc<StackRevision>| {
        bytes += revision.size;
        bytes <= BYTES
    };
    revisions.iter().rev().take(REVISIONS).take_while(fits).count().max(1)
}
