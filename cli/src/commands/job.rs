//! `job`: tasks that run to completion.

use clap::{Args, Subcommand};

use super::common::remove;
use super::service::{self, CreateArgs};
use crate::client::Client;
use crate::logs::{self, LogsArgs};
use crate::names;

/// `swarmctl job`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Run a job, wait until it is done, print what it wrote
    Run(Box<RunArgs>),
    /// List jobs
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        list: service::ListArgs,
    },
    /// Remove jobs, their tasks and logs
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(names::Kind::Service))]
        jobs: Vec<String>,
    },
}

/// `swarmctl job run`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl job run --rm shop/tools:1 migrate\n  \
    swarmctl job run --name resize --replicas 100 --max-concurrent 8 shop/resize:1\n  \
    swarmctl job run --mode global busybox df -h       once on every node\n\n\
    A task that fails is not tried again unless --restart-condition or --restart-max-attempts says \
    so.\nExit code: 0 when every task completed, 1 when one failed for good.")]
pub struct RunArgs {
    #[command(flatten)]
    create: CreateArgs,
    /// Remove the job when it is done, whether it succeeded or not
    #[arg(long)]
    rm: bool,
    /// Do not print what the tasks wrote
    #[arg(long)]
    no_logs: bool,
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and when the job fails.
pub async fn run(client: &Client, command: &JobCommand) -> anyhow::Result<()> {
    match command {
        JobCommand::Run(args) => {
            let spec = args.create.job_spec()?;
            let id = service::create(client, &args.create, &spec).await?;
            if args.create.is_detached() {
                println!("{id}");
                return Ok(());
            }
            let outcome = args.create.wait_for(client, &id).await;
            if outcome.is_ok() && !args.no_logs {
                logs::run(client, &LogsArgs::of(&id)).await?;
            }
            if args.rm {
                client.delete(&format!("/services/{id}")).await?;
            }
            outcome
        }
        JobCommand::Ls { list } => {
            let modes = [("mode", "replicated-job"), ("mode", "global-job")];
            service::ls(client, &modes, list).await
        }
        JobCommand::Rm { jobs } => remove(client, jobs, |name| format!("/services/{name}")).await,
    }
}
