//! Placement constraints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::object::Node;
use orchestrator_core::constraint::Constraint;

fuzz_target!(|text: &str| {
    if let Ok(constraint) = text.parse::<Constraint>() {
        let _ = constraint.met_by(&Node::default());
    }
});
