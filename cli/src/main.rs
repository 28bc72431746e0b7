//! `swarmctl`: flags in, one call, a table out.
//!
//! `main` stays synchronous: `lab exec` and the hidden `lab host-*` commands enter namespaces,
//! which the kernel allows only to a process with a single thread. A command that needs a runtime
//! starts its own.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use swarmctl::client::{Client, DEFAULT_HOST};
use swarmctl::commands::{cluster, deploy, node, service, stack, task};
use swarmctl::{lab, logs};

#[derive(Parser)]
#[command(name = "swarmctl", version, about = "Runs and inspects a swarmctl cluster")]
struct Cli {
    /// Where the API is: unix:///path or tcp://host:port [default: the agent's socket]
    #[arg(short = 'H', long, env = "SWARMCTL_HOST", value_name = "URL")]
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
    let matches = with_host(Cli::command()).get_matches();
    let late = late_host(&matches);
    let Cli { host, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let host = late.or(host);
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

/// `--host` is also understood behind a subcommand, but for one that has its own (`service create
/// --host NAME:ADDRESS`, as docker has it): a global argument of clap's would take that one's value.
fn with_host(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|sub| {
        let taken = sub.get_arguments().any(|arg| arg.get_long() == Some("host"));
        let sub = if taken { sub } else { sub.arg(late_host_argument()) };
        with_host(sub)
    })
}

fn late_host_argument() -> clap::Arg {
    clap::Arg::new(LATE_HOST).short('H').long("host").value_name("URL").hide(true)
}

const LATE_HOST: &str = "api-address";

/// The `--host` that stands deepest.
fn late_host(matches: &clap::ArgMatches) -> Option<String> {
    let (_, sub) = matches.subcommand()?;
    let own = || sub.try_get_one::<String>(LATE_HOST).ok().flatten().cloned();
    late_host(sub).or_else(own)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_every_command_go_together() {
        with_host(Cli::command()).debug_assert();
    }

    #[test]
    fn the_address_is_read_before_and_behind_the_command() {
        let host = |words: &[&str]| {
            let words = std::iter::once("swarmctl").chain(words.iter().copied());
            let matches = with_host(Cli::command()).try_get_matches_from(words).expect("a command");
            late_host(&matches).or(matches.get_one::<String>("host").cloned())
        };
        let some = Some("unix:///x".to_owned());
        assert_eq!(host(&["-H", "unix:///x", "ps"]), some);
        assert_eq!(host(&["ps", "--host", "unix:///x"]), some);
        assert_eq!(host(&["service", "-H", "unix:///x", "ls"]), some);
        let create = ["--host=unix:///x", "service", "create", "--host", "db:10.0.0.1", "i"];
        assert_eq!(host(&create), some);
    }
}
