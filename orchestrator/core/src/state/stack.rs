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

#[cfg(test)]
mod tests {
    use model::object::Revision;
    use model::spec::{ConfigSpec, SecretSpec};

    use super::*;
    use crate::command::{Batch, Command, Entry};
    use crate::test_kit::World;

    fn record(state: &mut State, name: &str, number: u64, request: StackRequest) -> bool {
        let command = Command::RecordStack {
            name: name.to_owned(),
            number,
            at: None,
            rollback_to: None,
            request: Box::new(request),
        };
        let revision = Revision(state.revision().0 + 1);
        let batch = Batch { commands: vec![command], base: None };
        let entry = Entry { at: Timestamp(revision.0), batch };
        state.apply(revision, &entry).responses[0].is_ok()
    }

    fn numbers(state: &State, name: &str) -> Vec<u64> {
        let kept = state.stack(name).map(|s| s.revisions.clone()).unwrap_or_default();
        kept.iter().map(|r| r.number).collect()
    }

    #[test]
    fn the_newest_revisions_are_kept_without_the_values_of_secrets() {
        let mut state = World::with_workers(0).state;
        let secret =
            SecretSpec { name: "pw".into(), data: "aHVudGVy".into(), ..SecretSpec::default() };
        for number in 1..=25 {
            let request = StackRequest { secrets: vec![secret.clone()], ..StackRequest::default() };
            assert!(record(&mut state, "shop", number, request));
        }
        assert_eq!(numbers(&state, "shop"), (6..=25).collect::<Vec<u64>>());
        let text = String::from_utf8(state.to_bytes()).expect("JSON");
        assert!(!text.contains("aHVudGVy"));
        assert_eq!(State::from_bytes(text.as_bytes()).expect("a snapshot"), state);
        assert!(!record(&mut state, "shop", 25, StackRequest::default()), "it is not the next");
    }

    #[test]
    fn large_revisions_push_older_ones_out_and_the_newest_always_stays() {
        let mut state = World::with_workers(0).state;
        let of_size = |size: usize| {
            let config =
                ConfigSpec { name: "c".into(), data: "x".repeat(size), ..ConfigSpec::default() };
            StackRequest { configs: vec![config], ..StackRequest::default() }
        };
        for number in 1..=5 {
            record(&mut state, "shop", number, of_size(900 << 10));
        }
        assert_eq!(numbers(&state, "shop"), [4, 5]);
        record(&mut state, "shop", 6, of_size(3 << 20));
        assert_eq!(numbers(&state, "shop"), [6]);
    }

    #[test]
    fn of_stacks_that_are_gone_the_last_are_kept() {
        let mut state = World::with_workers(0).state;
        for stack in 0..30 {
            record(&mut state, &format!("s{stack:02}"), 1, StackRequest::default());
        }
        let names: Vec<&str> = state.stacks().map(|s| s.name.as_str()).collect();
        assert_eq!((names.len(), names[0]), (GONE, "s10"));
    }
}
