//! Says whether what clients saw could have happened one after the other: the search of Wing and
//! Gong, with Lowe's memory of what was tried already.
//!
//! Each key is a register of its own, so each is judged by itself. An operation takes effect at one
//! moment between call and answer; one without an answer at any moment after its call, or never.

use std::collections::HashSet;

/// What was asked of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Puts this value; answers the one before.
    Swap(u64),
    /// Answers the value.
    Read,
}

/// One operation of a client. Moments are numbered as they come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) asked: Asked,
    pub(super) called: u64,
    /// When the answer came, and what it was; `None`: unknown whether it took effect.
    pub(super) answer: Option<(u64, Option<u64>)>,
}

/// Whether there is an order. At most 128 operations.
pub(super) fn is_linearizable(operations: &[Operation]) -> bool {
    assert!(operations.len() <= 128, "one bit each");
    let answered = operations.iter().enumerate().filter(|(_, o)| o.answer.is_some());
    let needed = answered.fold(0u128, |all, (at, _)| all | 1 << at);
    let mut tried: HashSet<(u128, Option<u64>)> = HashSet::new();
    let mut open: Vec<(u128, Option<u64>)> = vec![(0, None)];
    while let Some((done, value)) = open.pop() {
        if done & needed == needed {
            return true;
        }
        if !tried.insert((done, value)) {
            continue;
        }
        let left = || operations.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        // Nothing that was called after an answer can come before what was answered.
        let first_answer =
            left().filter_map(|(_, o)| o.answer.map(|(at, _)| at)).min().unwrap_or(u64::MAX);
        for (at, operation) in left().filter(|(_, o)| o.called < first_answer) {
            let fits = operation.answer.is_none_or(|(_, seen)| seen == value);
            match operation.asked {
                Asked::Swap(new) if fits => open.push((done | 1 << at, Some(new))),
                Asked::Read if fits => open.push((done | 1 << at, value)),
                Asked::Swap(_) | Asked::Read => {}
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(asked: Asked, called: u64, answer: Option<(u64, Option<u64>)>) -> Operation {
        Operation { asked, called, answer }
    }

    #[test]
    fn a_read_of_what_was_overwritten_before_it_began_is_not_linearizable() {
        let mut history = vec![
            op(Asked::Swap(1), 0, Some((1, None))),
            op(Asked::Swap(2), 2, Some((3, Some(1)))),
            op(Asked::Read, 4, Some((5, Some(2)))),
        ];
        assert!(is_linearizable(&history));
        history[2].answer = Some((5, Some(1)));
        assert!(!is_linearizable(&history));
        // Had the two overlapped, it might have come first.
        history[2].called = 2;
        assert!(is_linearizable(&history));
    }

    #[test]
    fn a_write_without_an_answer_may_come_late_or_never_but_only_once() {
        let read = |called, seen| op(Asked::Read, called, Some((called + 1, seen)));
        let lost = op(Asked::Swap(7), 0, None);
        assert!(is_linearizable(&[lost, read(1, None), read(3, None)]));
        assert!(is_linearizable(&[lost, read(1, None), read(3, Some(7))]));
        assert!(!is_linearizable(&[lost, read(1, Some(7)), read(3, None)]));
    }

    #[test]
    fn a_lost_write_is_found() {
        let history = [op(Asked::Swap(1), 0, Some((1, None))), op(Asked::Read, 2, Some((3, None)))];
        assert!(!is_linearizable(&history));
    }
}
