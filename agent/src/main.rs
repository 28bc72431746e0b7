//! The program `agent`: makes one host do what the managers ordered.

use std::process::ExitCode;

use agent::config::Flags;
use agent::net::process::Arguments;
use clap::{Args, CommandFactory, FromArgMatches, Parser};

fn main() -> ExitCode {
    // Not subcommands of `Flags`: they are none of the user's business and have none of the settings.
    let first = std::env::args().nth(1);
    let outcome = if first.as_deref() == Some("man") {
        man_page().map_err(anyhow::Error::from)
    } else if first.as_deref() == Some("dataplane") {
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

/// The manual page, for the package.
fn man_page() -> std::io::Result<()> {
    let page = clap_mangen::Man::new(Flags::command().name("swarmctl-agent")).section("8");
    page.render(&mut std::io::stdout())
}
