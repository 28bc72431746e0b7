//! `config`: what Compose files mean, or every mistake in them. Calls nobody.

use std::process::ExitCode;

use super::files::{Files, Verdict, Wrong};

/// `swarmctl config`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    swarmctl config -c compose.yml                        the file, normalised\n  \
    swarmctl config -c compose.yml -c production.yml -q   only what is wrong with them\n  \
    swarmctl config -c compose.yml --specs --stack shop   the requests of a deploy, as JSON\n\n\
    Exit code: 0 when the files can be deployed, 2 when they are wrong. A file that can be read but \
    not deployed is printed all the same.")]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print the requests that would be sent instead, as JSON
    #[arg(long)]
    specs: bool,
    /// The stack's name, for --specs [default: the file's `name`]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    stack: String,
    /// Print nothing: only say whether the files are right
    #[arg(short, long)]
    quiet: bool,
    /// Print only the names of the services
    #[arg(long, conflicts_with_all = ["specs", "quiet"])]
    services: bool,
}

/// How a normalised file is printed.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Yaml,
    Json,
}

/// Prints what files mean.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let outcome = if args.specs { specs(args) } else { document(args) };
    match outcome {
        Ok(Verdict::Right) => Ok(ExitCode::SUCCESS),
        Ok(Verdict::Wrong) => Ok(ExitCode::from(2)),
        Err(error) if error.is::<Wrong>() => Ok(ExitCode::from(2)),
        Err(error) => Err(error),
    }
}

fn specs(args: &Args) -> anyhow::Result<Verdict> {
    let loaded = args.files.load(&args.stack)?;
    if !args.quiet {
        println!("{:#}", compose::wire::specs_json(&loaded.stack.specs));
    }
    Ok(Verdict::Right)
}

fn document(args: &Args) -> anyhow::Result<Verdict> {
    let (shown, verdict) = args.files.normalise(&args.stack)?;
    if args.quiet {
        return Ok(verdict);
    }
    if args.services {
        let services = shown.document.root().get("services").and_then(|s| s.as_map());
        services.into_iter().flatten().for_each(|(name, _)| println!("{name}"));
        return Ok(verdict);
    }
    match args.format {
        Format::Yaml => print!("{}", shown.document.to_yaml()),
        Format::Json => println!("{:#}", shown.document.to_json()),
    }
    Ok(verdict)
}
