//! The program `agent`: makes one host do what the managers ordered.

use std::process::ExitCode;

use agent::config::Flags;
use agent::net::process::Arguments;
use clap::{Args, FromArgMatches, Parser};

fn main() -> ExitCode {
    // Not a subcommand of `Flags`: it is none of the user's business and has none of the settings.
    let outcome = if std::env::args().nth(1).is_some_and(|first| first == "dataplane") {
        let command = Arguments::augment_args(clap::Command::new("agent dataplane"));
        let given = command.get_matches_from(std::env::args().skip(1));
        Arguments::from_arg_matches(&given)
            .map_err(anyhow::Error::from)
            .and_then(agent::run_data_plane)
    } else {
        agent::run(Flags::parse())
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error:#}");
            ExitCode::from(2)
        }
    }
}
