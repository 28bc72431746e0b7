//! `swarmctl`: flags in, one call, a table out.
//!
//! `main` stays synchronous: `lab exec` and the hidden `lab host-*` commands enter namespaces,
//! which the kernel allows only to a process with a single thread. A command that needs a runtime
//! starts its own.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use swarmctl::BadInput;
use swarmctl::client::{CallError, Client};
use swarmctl::commands::{
    backup, ca, cluster, completion, config, context, convert, dashboard, deploy, dev, events,
    exec, explain, job, lock, network, node, rebalance, secret, service, stack, task, top, version,
    volume,
};
use swarmctl::endpoint::{Endpoint, Said, environment};
use swarmctl::{lab, logs};

#[cfg(test)]
mod docs;
mod examples;
#[cfg(test)]
mod reference;

#[derive(Parser)]
#[command(name = "swarmctl", version, about = "Runs and inspects a swarmctl cluster")]
struct Cli {
    #[command(flatten)]
    said: Said,
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
    /// Say whether managers wait for a key after a restart
    Autolock(lock::AutolockArgs),
    /// Print, or renew, the key that locked managers wait for
    UnlockKey(lock::UnlockKeyArgs),
    /// Give the manager of this host the key that it waits for (from standard input)
    Unlock(lock::UnlockArgs),
    /// Deploy a stack from Compose files, and wait until it runs
    Deploy(deploy::DeployArgs),
    /// Print what Compose files mean, normalised, or every mistake in them; with a command: configs,
    /// the files that tasks read
    Config(ConfigWords),
    /// Make a Compose file of a `docker run` line or of a container
    Convert(convert::Args),
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
    /// Run a command in a task's container
    Exec(exec::ExecArgs),
    /// Print what happens, as it happens
    Events(events::EventsArgs),
    /// Say in plain words why a service, task or node is as it is
    Explain(explain::ExplainArgs),
    /// Spread tasks over the nodes again, when some came back
    Rebalance(rebalance::RebalanceArgs),
    /// Write what the cluster was asked for into a file
    Backup(backup::BackupArgs),
    /// Ask a new cluster for what is in a backup
    Restore(backup::RestoreArgs),
    /// Show the cluster as it is and as it changes
    Top(top::TopArgs),
    /// Tasks that run to completion
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Secrets: files that only the tasks which need them can read
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Networks
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Volumes of one host
    #[command(subcommand)]
    Volume(volume::VolumeCommand),
    /// Print the version of this program and of what it talks to
    Version(version::VersionArgs),
    /// Print what a shell needs to complete commands, flags and names
    Completion(completion::CompletionArgs),
    /// Names for clusters: addresses with their certificates
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Print the certificate that signs those of the cluster's nodes, or rotate it
    Ca(ca::CaArgs),
    /// Write the manual pages of all commands into a folder, for the package
    #[command(hide = true)]
    Man { folder: std::path::PathBuf },
    /// Show the cluster in a browser
    Dashboard(dashboard::DashboardArgs),
    /// Make this host a cluster of its own for as long as the command runs
    Dev(dev::DevArgs),
    /// A cluster of hosts on one machine: the test bed and the quick demo
    Lab(lab::LabArgs),
}

/// `config` has two meanings, Compose's and docker's: with a command it is docker's.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct ConfigWords {
    #[command(subcommand)]
    objects: Option<secret::ConfigCommand>,
    #[command(flatten)]
    files: config::Args,
}

fn main() -> ExitCode {
    // Asked by a shell for the rest of a line, it answers and ends here.
    clap_complete::CompleteEnv::with_factory(command).complete();
    let matches = command().get_matches();
    let late = late_host(&matches);
    let Cli { mut said, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    said.host = late.or(said.host);
    let outcome = match command {
        Command::Lab(args) => lab::run(args),
        Command::Dev(args) => dev::run(&args),
        Command::Config(ConfigWords { objects: None, files }) => config::run(&files),
        Command::Completion(args) => completion::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Man { folder } => man_pages(&folder).map(|()| ExitCode::SUCCESS),
        Command::Convert(args) if !args.asks_an_engine() => convert::run(&args),
        Command::Context(command) => context::run(&said, &command).map(|()| ExitCode::SUCCESS),
        command => call(&said, &command),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("swarmctl: {error:#}");
        let is_ours =
            error.is::<BadInput>() || matches!(error.downcast_ref(), Some(CallError::Address(_)));
        ExitCode::from(if is_ours { 2 } else { 1 })
    })
}

/// One page for `swarmctl` and one for each command that is not hidden.
fn man_pages(folder: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    Ok(clap_mangen::generate_to(command(), folder)?)
}

/// Every command there is.
fn command() -> clap::Command {
    examples::with_examples(with_host(Cli::command()))
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
fn call(said: &Said, command: &Command) -> anyhow::Result<ExitCode> {
    let client = Client::at(&Endpoint::choose(said, &environment)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(answer(&client, command));
    // A thread may still wait for standard input; nobody needs it any more.
    runtime.shutdown_background();
    outcome
}

async fn answer(client: &Client, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => return cluster::init(client, args).await,
        Command::Join(args) => return cluster::join(client, args).await,
        Command::Leave(args) => return cluster::leave(client, args).await,
        Command::Dashboard(args) => return dashboard::run(client, args).await,
        Command::Deploy(args) => return deploy::run(client, args).await,
        Command::Token(args) => return cluster::token(client, args).await,
        Command::Ca(args) => ca::ca(client, args).await?,
        Command::Autolock(args) => lock::autolock(client, args).await?,
        Command::UnlockKey(args) => lock::unlock_key(client, args).await?,
        Command::Unlock(args) => lock::unlock(client, args).await?,
        Command::Exec(args) => return exec::run(client, args).await,
        Command::Explain(args) => {
            let settled = explain::run(client, args).await?;
            return Ok(if settled { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Node(command) => node::run(client, command).await?,
        Command::Service(service::ServiceCommand::Exec(args)) => {
            return exec::run(client, args).await;
        }
        Command::Service(command) => service::run(client, command).await?,
        Command::Stack(command) => return stack::run(client, command).await,
        Command::Convert(args) => return convert::container(client, args).await,
        Command::Ps(args) => task::list(client, &[], args).await?,
        Command::Logs(args) => logs::run(client, args).await?,
        Command::Events(args) => events::run(client, args).await?,
        Command::Rebalance(args) => rebalance::run(client, args).await?,
        Command::Backup(args) => backup::backup(client, args).await?,
        Command::Restore(args) => backup::restore(client, args).await?,
        Command::Top(args) => top::run(client, args).await?,
        Command::Job(command) => job::run(client, command).await?,
        Command::Secret(command) => secret::secret(client, command).await?,
        Command::Network(command) => network::run(client, command).await?,
        Command::Volume(command) => volume::run(client, command).await?,
        Command::Version(args) => version::run(client, args).await?,
        Command::Config(ConfigWords { objects: Some(command), .. }) => {
            secret::config(client, command).await?;
        }
        Command::Lab(_)
        | Command::Dev(_)
        | Command::Config(_)
        | Command::Completion(_)
        | Command::Context(_)
        | Command::Man { .. } => {
            unreachable!("handled before")
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_every_command_go_together() {
        command().debug_assert();
    }

    #[test]
    fn the_address_is_read_before_and_behind_the_command() {
        let host = |words: &[&str]| {
            let words = std::iter::once("swarmctl").chain(words.iter().copied());
            let matches = command().try_get_matches_from(words).expect("a command");
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
