//! Takes the pages in, where they have been built (`make web`): the shop, and the dashboard for viz.

#[path = "../orchestrator/dashboard/embed.rs"]
mod embed;

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../orchestrator/dashboard/embed.rs");
    embed::page("webapp", Path::new("webapp/dist"));
    embed::page("dashboard", Path::new("../orchestrator/dashboard/dist"));
}
