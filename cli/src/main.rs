//! `swarmctl`: flags in, one call, a table out.
//!
//! `main` stays synchronous: `lab exec` and the hidden `lab host-*` commands enter namespaces,
//! which the kernel allows only to a process with a single thread. A command that needs a runtime
//! starts its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use swarmctl::lab;

#[derive(Parser)]
#[command(name = "swarmctl", version, about = "Runs and inspects a swarmctl cluster")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A cluster of hosts on one machine: the test bed and the quick demo
    Lab(lab::LabArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Lab(args) => lab::run(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("swarmctl: {error:#}");
        ExitCode::FAILURE
    })
}
