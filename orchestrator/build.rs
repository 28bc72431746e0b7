//! Takes the dashboard in, where it has been built (`make web`).

#[path = "dashboard/embed.rs"]
mod embed;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=dashboard/embed.rs");
    embed::page("dashboard", std::path::Path::new("dashboard/dist"));
}
