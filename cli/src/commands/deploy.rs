//! `deploy`: Compose files to a stack that runs.

use std::process::ExitCode;

use model::api::{StackAction, StackReply};

use super::files::{Files, Wrong};
use super::plan::{self, Prune};
use crate::client::{Client, encoded};
use crate::wait::{self, Awaited};

/// `swarmctl deploy`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    swarmctl deploy shop -c compose.yml\n  \
    swarmctl deploy shop -c compose.yml -c production.yml --prune\n  \
    swarmctl deploy shop -c compose.yml --plan      what would change\n\n\
    Exit code: 0 when everything runs, 1 when it does not or was not sent, 2 when a file is wrong.\n\
    With --plan: 0 when there is a plan, 1 when the managers would refuse it or cannot be asked, 2 when a \
    file is wrong; with --detailed-exitcode as well: 3 when something would change.")]
pub struct DeployArgs {
    /// The stack's name
    stack: String,
    #[command(flatten)]
    files: Files,
    /// Say what would change, key by key, and which tasks would be replaced; change nothing
    #[arg(long)]
    plan: bool,
    /// With --plan: exit code 3 when something would change
    #[arg(long, requires = "plan", alias = "detailed-exit-code")]
    detailed_exitcode: bool,
    /// With --plan: how to print it
    #[arg(long, requires = "plan", value_enum, default_value_t)]
    format: plan::Format,
    /// Remove services of the stack that the files do not have any more
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    wait: wait::Args,
}

/// `swarmctl stack diff`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code, as of diff: 0 when nothing differs, 1 when something does, 2 when a file is wrong.\n\nExamples:\n  \
    swarmctl stack diff shop -c compose.yml         what runs, beside files\n  \
    swarmctl stack diff shop --to 3                 what runs, beside revision 3: what a rollback changes\n  \
    swarmctl stack diff shop --from 2 --to 3        two revisions"
)]
pub struct DiffArgs {
    /// The stack's name
    #[arg(add = crate::names::of(crate::names::Kind::Stack))]
    stack: String,
    #[command(flatten)]
    files: Files,
    /// Compare with this revision instead of files (swarmctl stack history)
    #[arg(long, value_name = "REVISION", conflicts_with = "compose_file")]
    to: Option<u64>,
    /// Compare this revision with that of --to, instead of what runs
    #[arg(long, value_name = "REVISION", requires = "to")]
    from: Option<u64>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: plan::Format,
}

/// Exit code of a plan that changes something, when it is asked for. Not 2, as of terraform: 2 means
/// that a file is wrong.
const CHANGES: u8 = 3;

/// Deploys a stack.
///
/// # Errors
/// Those of the call, and when the stack does not converge.
pub async fn run(client: &Client, args: &DeployArgs) -> anyhow::Result<ExitCode> {
    let loaded = match args.files.load(&args.stack) {
        Ok(loaded) => loaded,
        Err(error) if error.is::<Wrong>() => return Ok(ExitCode::from(2)),
        Err(error) => return Err(error),
    };
    let specs = loaded.stack.specs;
    let prune = if args.prune { Prune::Yes } else { Prune::No };
    if args.plan {
        let changes = show_plan(client, &args.stack, specs, prune, args.format).await?;
        let code = if changes && args.detailed_exitcode { CHANGES } else { 0 };
        return Ok(ExitCode::from(code));
    }
    let path = format!("/stacks/{}?prune={}", encoded(&args.stack), u8::from(args.prune));
    let reply: StackReply = client.post(&path, &plan::request(specs)).await?;
    finish(client, &args.stack, reply, &args.wait).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what a deployment did, and waits until it is true.
///
/// # Errors
/// When the stack does not converge.
pub async fn finish(
    client: &Client,
    stack: &str,
    reply: StackReply,
    wait: &wait::Args,
) -> anyhow::Result<()> {
    for warning in &reply.warnings {
        eprintln!("warning: {warning}");
    }
    for change in &reply.changes {
        let word = match change.action {
            StackAction::Create => "created",
            StackAction::Update => "updated",
            StackAction::Remove => "removed",
            StackAction::Keep => "unchanged",
        };
        let fields = if change.fields.is_empty() {
            String::new()
        } else {
            format!("  ({})", change.fields.join(", "))
        };
        println!("{word:<9} {:<8} {}{fields}", change.kind, change.name);
    }
    let gone = |action| matches!(action, StackAction::Remove);
    let services: Vec<Awaited> = reply
        .changes
        .iter()
        .filter(|c| c.kind == "service" && !gone(c.action))
        .map(|c| match c.action {
            StackAction::Keep => Awaited::unchanged(c.id.clone()),
            _ => Awaited::spec(c.id.clone()),
        })
        .collect();
    if let Some(revision) = reply.revision {
        println!("stack {stack} is at revision {revision}");
    }
    wait::converged(client, &services, wait).await
}

/// Prints how a stack differs from files, or from what was deployed before.
///
/// # Errors
/// Those of the calls.
pub async fn diff(client: &Client, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let changes = match (args.from, args.to) {
        (Some(from), Some(to)) => {
            super::revisions::between(client, &args.stack, (from, to), args.format).await?
        }
        (None, Some(to)) => {
            show(&plan::of_rollback(client, &args.stack, Some(to)).await?, args.format)?
        }
        (_, None) => return with_files(client, args).await,
    };
    Ok(ExitCode::from(u8::from(changes)))
}

async fn with_files(client: &Client, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let loaded = match args.files.load(&args.stack) {
        Ok(loaded) => loaded,
        Err(error) if error.is::<Wrong>() => return Ok(ExitCode::from(2)),
        Err(error) => return Err(error),
    };
    // Everything that is not in the files differs as well.
    let specs = loaded.stack.specs;
    let changes = show_plan(client, &args.stack, specs, Prune::Yes, args.format).await?;
    Ok(ExitCode::from(u8::from(changes)))
}

/// Asks for the plan and prints it; says whether it changes anything.
async fn show_plan(
    client: &Client,
    stack: &str,
    specs: compose::Specs,
    prune: Prune,
    format: plan::Format,
) -> anyhow::Result<bool> {
    show(&plan::plan(client, stack, specs, prune).await?, format)
}

/// Prints a plan; says whether it changes anything.
///
/// # Errors
/// When it cannot be printed.
pub fn show(plan: &plan::Plan, format: plan::Format) -> anyhow::Result<bool> {
    for warning in plan.warnings() {
        eprintln!("warning: {warning}");
    }
    print!("{}", plan.show(format)?);
    Ok(!plan.is_empty())
}
