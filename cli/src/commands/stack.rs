//! `deploy` and `stack`: what belongs together.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Subcommand;
use model::api::{Service, StackReply};
use model::spec::STACK_LABEL;

use super::common::Listing;
use super::{deploy, revisions, service, task};
use crate::client::{Client, encoded, filters};
use crate::output::Table;

/// `swarmctl stack`
#[derive(Debug, Subcommand)]
pub enum StackCommand {
    /// List stacks
    Ls {
        #[command(flatten)]
        listing: Listing,
    },
    /// List a stack's services
    Services {
        stack: String,
        #[command(flatten)]
        list: service::ListArgs,
    },
    /// List a stack's tasks, with the reason of everything that does not run
    Ps {
        stack: String,
        #[command(flatten)]
        list: task::ListArgs,
    },
    /// Show how a stack differs from Compose files, or from what was deployed before
    Diff(deploy::DiffArgs),
    /// List what was deployed under a stack's name; with a revision, print it
    History(revisions::HistoryArgs),
    /// Deploy again what was deployed before, and wait until it runs
    Rollback(revisions::RollbackArgs),
    /// Remove stacks
    Rm {
        #[arg(required = true)]
        stacks: Vec<String>,
    },
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and when there is no such stack.
pub async fn run(client: &Client, command: &StackCommand) -> anyhow::Result<ExitCode> {
    match command {
        StackCommand::Diff(args) => return deploy::diff(client, args).await,
        StackCommand::Rollback(args) => return revisions::rollback(client, args).await,
        StackCommand::History(args) => revisions::history(client, args).await?,
        StackCommand::Ls { listing } => ls(client, listing).await?,
        StackCommand::Services { stack, list } => {
            let label = of_stack(stack);
            exists(client, stack).await?;
            service::ls(client, &[("label", &label)], list).await?;
        }
        StackCommand::Ps { stack, list } => {
            let label = of_stack(stack);
            exists(client, stack).await?;
            task::list(client, &[("label", &label)], list).await?;
        }
        StackCommand::Rm { stacks } => {
            for stack in stacks {
                rm(client, stack).await?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn of_stack(stack: &str) -> String {
    format!("{STACK_LABEL}={stack}")
}

async fn exists(client: &Client, stack: &str) -> anyhow::Result<()> {
    let path = format!("/services?filters={}", filters(&[("label", &of_stack(stack))]));
    let services: Vec<Service> = client.get(&path).await?;
    anyhow::ensure!(
        !services.is_empty(),
        "nothing found in stack: {stack} (stacks: swarmctl stack ls)"
    );
    Ok(())
}

#[derive(serde::Serialize)]
struct Summary<'a> {
    name: &'a str,
    services: u64,
}

async fn ls(client: &Client, listing: &Listing) -> anyhow::Result<()> {
    let path = format!("/services?filters={}", listing.query(&[("label", STACK_LABEL)]));
    let services: Vec<Service> = client.get(&path).await?;
    let mut stacks = BTreeMap::<&str, u64>::new();
    for service in &services {
        *stacks.entry(service.spec.stack().unwrap_or_default()).or_default() += 1;
    }
    let stacks: Vec<Summary<'_>> =
        stacks.into_iter().map(|(name, services)| Summary { name, services }).collect();
    let mut table = Table::new(&["NAME", "SERVICES"]);
    for stack in &stacks {
        table.row(vec![stack.name.to_owned(), stack.services.to_string()]);
    }
    listing.print(&stacks, |stack| stack.name, &table)
}

/// All of it or nothing: what something else uses keeps the whole stack.
async fn rm(client: &Client, stack: &str) -> anyhow::Result<()> {
    let reply: StackReply = match client.delete_for(&format!("/stacks/{}", encoded(stack))).await {
        Err(error) if error.is_not_found() => {
            anyhow::bail!("nothing found in stack: {stack} (stacks: swarmctl stack ls)")
        }
        outcome => outcome?,
    };
    for change in &reply.changes {
        println!("Removing {} {}", change.kind, change.name);
    }
    Ok(())
}
