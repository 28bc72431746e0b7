//! `swarmctl`: flags in, one call, a table out.
//!
//! `main` stays synchronous: `lab exec` and the hidden `lab host-*` commands enter namespaces,
//! which the kernel allows only to a process with a single thread. A command that needs a runtime
//! starts its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use swarmctl::client::{Client, DEFAULT_HOST};
use swarmctl::commands::{cluster, deploy, node, service, stack, task};
use swarmctl::{lab, logs};

#[derive(Parser)]
#[command(name = "swarmctl", version, about = "Runs and inspects a swarmctl cluster")]
struct Cli {
    /// Where the API is: unix:///path or tcp://host:port [default: the agent's socket]
    #[arg(short = 'H', long, global = true, env = "SWARMCTL_HOST", value_name = "URL")]
    host: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this host the first manager of a new cluster
    Init(cluster::InitArgs),
    /// Make this host a node of an existing cluster
    Join(cluster::JoinArgs),
    /// Take this host out of its cluster
    Leave(cluster::LeaveArgs),
    /// Print, or renew, a join token
    Token(cluster::TokenArgs),
    /// Deploy a stack from Compose files, and wait until it runs
    Deploy(deploy::DeployArgs),
    /// Print what Compose files mean, normalised; or every mistake in them
    Config(deploy::ConfigArgs),
    /// The hosts of the cluster
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Services
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Stacks: what belongs together
    #[command(subcommand)]
    Stack(stack::StackCommand),
    /// List every task, with the reason of everything that does not run
    Ps(task::ListArgs),
    /// Print what a service's or a task's containers wrote
    Logs(logs::LogsArgs),
    /// A cluster of hosts on one machine: the test bed and the quick demo
    Lab(lab::LabArgs),
}

fn main() -> ExitCode {
    let Cli { host, command } = Cli::parse();
    let outcome = match command {
        Command::Lab(args) => lab::run(args),
        Command::Config(args) => deploy::config(&args),
        command => call(host, &command),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("swarmctl: {error:#}");
        ExitCode::FAILURE
    })
}

/// A command that calls the API.
fn call(host: Option<String>, command: &Command) -> anyhow::Result<ExitCode> {
    let host = host
        .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()))
        .unwrap_or_else(|| DEFAULT_HOST.to_owned());
    let client = Client::new(&host)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Init(args) => return cluster::init(&client, args).await,
            Command::Join(args) => return cluster::join(&client, args).await,
            Command::Leave(args) => return cluster::leave(&client, args).await,
            Command::Deploy(args) => return deploy::run(&client, args).await,
            Command::Token(args) => return cluster::token(&client, args).await,
            Command::Node(command) => node::run(&client, command).await?,
            Command::Service(command) => service::run(&client, command).await?,
            Command::Stack(command) => stack::run(&client, command).await?,
            Command::Ps(args) => task::list(&client, &[], args).await?,
            Command::Logs(args) => logs::run(&client, args).await?,
            Command::Lab(_) | Command::Config(_) => unreachable!("handled before"),
        }
        Ok(ExitCode::SUCCESS)
    })
}
