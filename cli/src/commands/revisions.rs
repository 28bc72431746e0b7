//! `stack history`, `stack rollback`, and differences between revisions: what was deployed before.

use std::process::ExitCode;

use compose::diff::{Side, diff};
use model::api::{StackReply, StackRequest, StackRevisionBody, StackRevisionSummary};
use serde_json::Value;

use super::deploy;
use super::plan::{self, Format};
use crate::ago::ago;
use crate::client::{Client, encoded};
use crate::output::{self, Table, print, printed};
use crate::{names, wait};

/// `swarmctl stack history`
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The stack's name
    #[arg(add = names::of(names::Kind::Stack))]
    stack: String,
    /// Print what this revision asked for, as JSON (without the values of secrets)
    revision: Option<u64>,
    /// Only numbers
    #[arg(short, long)]
    quiet: bool,
    /// table, json, yaml, or a template as '{{.Revision}} {{.Changes}}'
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: output::Format,
}

/// `swarmctl stack rollback`
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The stack's name
    #[arg(add = names::of(names::Kind::Stack))]
    stack: String,
    /// Which revision (swarmctl stack history) [default: the one before the newest]
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// Say what would change, key by key, and which tasks would be replaced; change nothing
    #[arg(long)]
    plan: bool,
    /// With --plan: how to print it
    #[arg(long, requires = "plan", value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    wait: wait::Args,
}

async fn revisions(client: &Client, stack: &str) -> anyhow::Result<Vec<StackRevisionSummary>> {
    Ok(client.get(&format!("/stacks/{}/revisions", encoded(stack))).await?)
}

async fn revision(client: &Client, stack: &str, number: u64) -> anyhow::Result<StackRequest> {
    let path = format!("/stacks/{}/revisions/{number}", encoded(stack));
    let body: StackRevisionBody = client.get(&path).await?;
    Ok(body.request)
}

/// The number that a rollback goes to when nothing is said.
///
/// # Errors
/// Those of the call, and when there is none.
pub async fn before_newest(client: &Client, stack: &str) -> anyhow::Result<u64> {
    let revisions = revisions(client, stack).await?;
    let before = revisions.iter().rev().nth(1).map(|r| r.revision);
    before.ok_or_else(|| {
        anyhow::anyhow!("stack {stack} has one revision only: there is none to go back to")
    })
}

/// Lists what was deployed, the newest first; or prints one revision.
///
/// # Errors
/// Those of the calls.
pub async fn history(client: &Client, args: &HistoryArgs) -> anyhow::Result<()> {
    if let Some(number) = args.revision {
        let request = revision(client, &args.stack, number).await?;
        return match args.format {
            output::Format::Yaml => print(&serde_yaml::to_string(&request)?),
            output::Format::Table | output::Format::Json | output::Format::Template(_) => {
                print(&(serde_json::to_string_pretty(&request)? + "\n"))
            }
        };
    }
    let mut revisions = revisions(client, &args.stack).await?;
    revisions.reverse();
    if args.quiet {
        return print(&revisions.iter().map(|r| format!("{}\n", r.revision)).collect::<String>());
    }
    let mut table = Table::new(&["REVISION", "DEPLOYED", "SERVICES", "CHANGES"]);
    for revision in &revisions {
        let number = revision.revision;
        table.row(vec![
            if revision.newest { format!("{number} *") } else { number.to_string() },
            ago(revision.created_at),
            revision.services.to_string(),
            changes(revision),
        ]);
    }
    print(&printed(&args.format, &revisions, &table)?)
}

/// `rollback to 2; + a, ~ b, - c`: services beside those of the revision before.
fn changes(revision: &StackRevisionSummary) -> String {
    let signed = |sign: char, names: &[String]| {
        names.iter().map(|name| format!("{sign} {name}")).collect::<Vec<_>>()
    };
    let services = [
        signed('+', &revision.added),
        signed('~', &revision.changed),
        signed('-', &revision.removed),
    ]
    .concat()
    .join(", ");
    match revision.rollback_to {
        Some(to) if services.is_empty() => format!("rollback to {to}"),
        Some(to) => format!("rollback to {to}; {services}"),
        None => services,
    }
}

/// Deploys a revision again.
///
/// # Errors
/// Those of the calls, and when the stack does not converge.
pub async fn rollback(client: &Client, args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    if args.plan {
        let plan = plan::of_rollback(client, &args.stack, args.to).await?;
        deploy::show(&plan, args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let to = args.to.map(|to| format!("?to={to}")).unwrap_or_default();
    let path = format!("/stacks/{}/rollback{to}", encoded(&args.stack));
    let reply: StackReply = client.post(&path, &Value::Null).await?;
    deploy::finish(client, &args.stack, reply, &args.wait).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints how two revisions differ; says whether they do.
///
/// # Errors
/// Those of the calls.
pub async fn between(
    client: &Client,
    stack: &str,
    (from, to): (u64, u64),
    format: Format,
) -> anyhow::Result<bool> {
    let before = revision(client, stack, from).await?;
    let after = revision(client, stack, to).await?;
    let found = diff(side(&before), side(&after));
    print(&match format {
        Format::Text => found.to_string(),
        Format::Json => serde_json::to_string_pretty(&found)? + "\n",
    })?;
    Ok(!found.is_empty())
}

fn side(request: &StackRequest) -> Side<'_> {
    Side {
        networks: &request.networks,
        secrets: &request.secrets,
        configs: &request.configs,
        services: &request.services,
    }
}
