//! Counts how many answers equal the docker CLI's, and by which decision the others differ.
//!
//! A difference that no decision explains is shown with everything there is to know of it. A handful
//! of them, as another corpus may have, is a matter for a person; more fail the test.

use std::collections::BTreeMap;

use compose::Problems;

use crate::decisions::{Explained, accepted_by, refused_by};

/// The figures of one comparison.
pub struct Tally {
    title: &'static str,
    equal: usize,
    plain: usize,
    both_refuse: usize,
    accepted_more: usize,
    refused_more: usize,
    by_decision: BTreeMap<&'static str, usize>,
    unexplained: Vec<String>,
}

impl Tally {
    pub fn new(title: &'static str) -> Tally {
        Tally {
            title,
            equal: 0,
            plain: 0,
            both_refuse: 0,
            accepted_more: 0,
            refused_more: 0,
            by_decision: BTreeMap::new(),
            unexplained: Vec::new(),
        }
    }

    /// Equal, after these decisions were taken out of both sides.
    pub fn equal(&mut self, _case: &str, decisions: &Explained) {
        self.equal += 1;
        if decisions.is_empty() {
            self.plain += 1;
        }
        decisions.iter().for_each(|d| *self.by_decision.entry(d).or_default() += 1);
    }

    /// Equal but for one more decision.
    pub fn decided(&mut self, decision: &'static str) {
        self.equal += 1;
        *self.by_decision.entry(decision).or_default() += 1;
    }

    pub fn different(&mut self, case: &str, difference: &str) {
        self.unexplained.push(format!("DIFFERENT {case}: {difference}"));
    }

    pub fn both_refuse(&mut self) {
        self.both_refuse += 1;
    }

    /// We accept what the CLI refuses for this reason.
    pub fn accepted_more(&mut self, case: &str, reason: &str) {
        self.accepted_more += 1;
        match accepted_by(reason) {
            Some(decision) => *self.by_decision.entry(decision).or_default() += 1,
            None => self.unexplained.push(format!("ACCEPTED {case}: the CLI says: {reason}")),
        }
    }

    /// We refuse what the CLI accepts.
    pub fn refused_more(&mut self, case: &str, problems: &Problems) {
        self.refused_more += 1;
        match refused_by(problems) {
            Ok(decisions) => {
                decisions.iter().for_each(|d| *self.by_decision.entry(d).or_default() += 1);
            }
            Err(line) => self.unexplained.push(format!("REFUSED {case}: {line}")),
        }
    }

    /// Prints the figures; fails when anything is unexplained.
    pub fn finish(self) {
        let Tally { title, equal, plain, both_refuse, accepted_more, refused_more, .. } = self;
        println!("{title}");
        println!("  {equal:5} equal to the docker CLI ({plain} of them to the letter)");
        println!("  {both_refuse:5} refused by both");
        println!("  {accepted_more:5} accepted here, refused by the CLI");
        println!("  {refused_more:5} refused here, accepted by the CLI");
        println!("  {:5} not explained", self.unexplained.len());
        for (decision, count) in &self.by_decision {
            println!("  {count:9} by the decision {decision}");
        }
        let lines: Vec<String> =
            self.unexplained.iter().map(|l| l.chars().take(700).collect()).collect();
        let all = equal + both_refuse + accepted_more + refused_more + lines.len();
        lines.iter().for_each(|line| println!("  {line}"));
        assert!(lines.len() <= all / FEW, "{title}: {} of {all} are not explained", lines.len());
    }
}

/// One of so many may be unexplained.
const FEW: usize = 50;
