//! Finds out what a failure needs: leaves acts out for as long as the same invariant still breaks.
//!
//! Delta debugging (Zeller, Hildebrandt 2002), in its simple form: halves, quarters, … single acts.

use std::collections::BTreeSet;

use super::world::Act;
use super::{Failure, Run, Settings, run};

/// The least that was found to fail in the same way.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub settings: Settings,
    pub failure: Failure,
    pub acts: Vec<Act>,
    /// How many runs it took.
    pub runs: usize,
}

/// The most runs that are spent on it.
const RUNS: usize = 400;

/// Makes a failing run as small as it gets.
#[must_use]
pub fn shrink(seed: u64, settings: &Settings, failed: &Run) -> Option<Shrunk> {
    let failure = failed.failure.clone()?;
    let mut search = Search { seed, what: failure.what.clone(), runs: 0 };
    let mut best = Shrunk {
        settings: Settings { trace: false, ..settings.clone() },
        failure,
        acts: failed.acts.clone(),
        runs: 0,
    };
    search.attempt(&mut best, |settings| settings.weather = false);
    let numbers: BTreeSet<u64> = best.acts.iter().map(|act| act.number).collect();
    search.attempt(&mut best, |settings| settings.only = Some(numbers));
    let mut parts = 2;
    while search.runs < RUNS {
        let acts: Vec<u64> = best.acts.iter().map(|act| act.number).collect();
        if acts.is_empty() {
            break;
        }
        let size = acts.len().div_ceil(parts);
        let smaller = acts.chunks(size).any(|chunk| {
            let only: BTreeSet<u64> =
                acts.iter().copied().filter(|act| !chunk.contains(act)).collect();
            search.runs < RUNS && search.attempt(&mut best, |s| s.only = Some(only))
        });
        if smaller {
            parts = parts.saturating_sub(1).max(2);
        } else if size == 1 {
            break;
        } else {
            parts = (parts * 2).min(acts.len());
        }
    }
    best.runs = search.runs;
    Some(best)
}

struct Search {
    seed: u64,
    what: String,
    runs: usize,
}

impl Search {
    /// Takes the change over if the same invariant still breaks.
    fn attempt(&mut self, best: &mut Shrunk, change: impl FnOnce(&mut Settings)) -> bool {
        let mut settings = best.settings.clone();
        change(&mut settings);
        self.runs += 1;
        let tried = run(self.seed, &settings);
        let Some(failure) = tried.failure.filter(|f| f.what == self.what) else { return false };
        (best.settings, best.failure, best.acts) = (settings, failure, tried.acts);
        true
    }
}
