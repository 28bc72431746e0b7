//! The program `agent`: makes one host do what the managers ordered.

use std::process::ExitCode;

use agent::config::Flags;
use clap::Parser;

fn main() -> ExitCode {
    match agent::run(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error:#}");
            ExitCode::from(2)
        }
    }
}
