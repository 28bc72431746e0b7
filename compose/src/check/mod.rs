//! What several keys mean together: things that are named and not there, things that collide.

use crate::problem::Problem;
use crate::source::Sources;
use crate::spec::Specs;
use crate::yaml::Node;

/// Judges the merged document.
pub fn check(file: &Node, sources: &Sources, problems: &mut Vec<Problem>) {
    let _ = (file, sources, problems);
}

/// Judges what was made of it.
pub fn check_specs(specs: &Specs, file: &Node, stack: &str, problems: &mut Vec<Problem>) {
    let _ = (specs, file, stack, problems);
}
