//! `deploy` and `stack`: what belongs together.

use std::collections::BTreeMap;

use clap::Subcommand;
use model::api::Service;
use model::spec::STACK_LABEL;

use super::{service, task};
use crate::client::{Client, filters};
use crate::output::{Format, Table, render};

/// `swarmctl stack`
#[derive(Debug, Subcommand)]
pub enum StackCommand {
    /// List stacks
    Ls {
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
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
pub async fn run(client: &Client, command: &StackCommand) -> anyhow::Result<()> {
    match command {
        StackCommand::Ls { format } => ls(client, *format).await,
        StackCommand::Services { stack, list } => {
            let label = of_stack(stack);
            exists(client, stack).await?;
            service::ls(client, &[("label", &label)], list).await
        }
        StackCommand::Ps { stack, list } => {
            let label = of_stack(stack);
            exists(client, stack).await?;
            task::list(client, &[("label", &label)], list).await
        }
        StackCommand::Rm { stacks } => {
            for stack in stacks {
                rm(client, stack).await?;
            }
            Ok(())
        }
    }
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

async fn ls(client: &Client, format: Format) -> anyhow::Result<()> {
    let path = format!("/services?filters={}", filters(&[("label", STACK_LABEL)]));
    let services: Vec<Service> = client.get(&path).await?;
    let mut stacks = BTreeMap::<&str, u64>::new();
    for service in &services {
        *stacks.entry(service.spec.stack().unwrap_or_default()).or_default() += 1;
    }
    let table = || {
        let mut table = Table::new(&["NAME", "SERVICES"]);
        for (stack, count) in &stacks {
            table.row(vec![(*stack).to_owned(), count.to_string()]);
        }
        table.render()
    };
    print!("{}", render(format, &stacks, table)?);
    Ok(())
}

/// Services first, so that nothing is in use when the rest goes.
async fn rm(client: &Client, stack: &str) -> anyhow::Result<()> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(alias = "ID", alias = "Id")]
        id: String,
        #[serde(default, rename = "Name")]
        name: String,
        #[serde(default, rename = "Spec")]
        spec: Option<NamedSpec>,
    }
    #[derive(serde::Deserialize)]
    struct NamedSpec {
        #[serde(rename = "Name")]
        name: String,
    }
    let label = filters(&[("label", &of_stack(stack))]);
    let mut found = 0;
    for kind in ["service", "secret", "config", "network"] {
        let objects: Vec<Named> = client.get(&format!("/{kind}s?filters={label}")).await?;
        for object in objects {
            client.delete(&format!("/{kind}s/{}", object.id)).await?;
            let name = object.spec.map_or(object.name, |spec| spec.name);
            println!("Removing {kind} {name}");
            found += 1;
        }
    }
    anyhow::ensure!(found > 0, "nothing found in stack: {stack} (stacks: swarmctl stack ls)");
    Ok(())
}
