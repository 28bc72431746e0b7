//! Judges orders that come in: they hold from now on, or are older than those that hold, or do not
//! follow on them.
//!
//! A leader that has lost its office without knowing it goes on sending orders for a while; its term
//! is older, so it is not obeyed once a newer one has spoken.

use model::wire::orders::{Delta, Fence};

/// What becomes of orders that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// They hold now.
    Take,
    /// Older than what holds: refused.
    Old,
    /// They do not follow on what holds: ask for the whole.
    Gap,
}

/// Judges whole orders. `have` is the fence of those that hold, if there are any.
#[must_use]
pub fn whole(have: Option<Fence>, came: Fence) -> Intake {
    if have.is_some_and(|have| came < have) { Intake::Old } else { Intake::Take }
}

/// Judges a delta; it must start exactly where the orders are.
#[must_use]
pub fn delta(have: Option<Fence>, came: &Delta) -> Intake {
    match have {
        Some(have) if came.to < have => Intake::Old,
        Some(have) if came.from == have => Intake::Take,
        Some(_) | None => Intake::Gap,
    }
}

#[cfg(test)]
mod tests {
    use model::object::Revision;

    use super::*;

    fn at(term: u64, revision: u64) -> Fence {
        Fence { term, revision: Revision(revision) }
    }

    #[test]
    fn older_orders_are_refused_and_a_gap_is_noticed() {
        let have = Some(at(3, 10));
        assert_eq!(whole(have, at(3, 9)), Intake::Old);
        assert_eq!(whole(have, at(2, 99)), Intake::Old);
        assert_eq!(whole(have, at(3, 10)), Intake::Take);
        assert_eq!(whole(have, at(4, 1)), Intake::Take);
        assert_eq!(whole(None, at(0, 0)), Intake::Take);
        let between = |from, to| Delta { from, to, ..Delta::default() };
        assert_eq!(delta(have, &between(at(3, 10), at(3, 11))), Intake::Take);
        assert_eq!(delta(have, &between(at(3, 9), at(3, 11))), Intake::Gap);
        assert_eq!(delta(have, &between(at(2, 10), at(2, 11))), Intake::Old);
        assert_eq!(delta(None, &between(at(3, 10), at(3, 11))), Intake::Gap);
    }
}
