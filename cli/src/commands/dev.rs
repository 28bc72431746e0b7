//! `dev`: a cluster of this one host, for as long as the command runs.
//!
//! Starts an agent with folders and a socket of its own, so that a node that this host may be is left
//! alone; makes it the manager of a new cluster that nobody else can reach; at the end takes it out of
//! it again, so that nothing is left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::Client;
use crate::lab::find_agent;

/// `swarmctl dev`
#[derive(Debug, Args)]
#[command(after_help = "\
Prints what to set so that docker and swarmctl use it. Ctrl-C ends it: containers, networks and what
the cluster knew are gone then; with --keep they stay, and the next `swarmctl dev --keep` goes on.

Examples:
  swarmctl dev                          in one terminal
  export DOCKER_HOST=unix:///run/swarmctl-dev/docker.sock
  swarmctl deploy shop -c compose.yml   in another one")]
pub struct DevArgs {
    /// Leave the cluster as it is at the end, to go on with it later
    #[arg(long)]
    keep: bool,
    /// The Docker Engine of this host
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///var/run/docker.sock")]
    engine: String,
    /// Where certificates and the cluster's state are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/swarmctl-dev")]
    data_dir: PathBuf,
    /// The socket on which the Docker API is served
    #[arg(long, value_name = "FILE", default_value = "/run/swarmctl-dev/docker.sock")]
    socket: PathBuf,
    /// Where the manager listens
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:2377")]
    listen_addr: std::net::SocketAddr,
    /// The agent program [default: the one beside swarmctl]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// How long the agent may take to serve its socket.
const START: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `dev`.
///
/// # Errors
/// When something is missing, the cluster cannot be made, or the agent ends by itself.
pub fn run(args: &DevArgs) -> anyhow::Result<ExitCode> {
    ensure!(geteuid().is_root(), "an agent makes networks and rules: run this as root");
    let agent = find_agent(args.agent.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args, &agent))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &DevArgs, agent: &Path) -> anyhow::Result<()> {
    let address = format!("unix://{}", args.socket.display());
    let client = Client::new(&address)?;
    if client.get::<Value>("/info").await.is_ok() {
        bail!(
            "an agent serves {} already: another `swarmctl dev`, or what is left of one that was \
             killed; end it, or choose another --socket and --data-dir",
            args.socket.display()
        );
    }
    // Before the agent starts: nobody is to miss them.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let log = args.socket.with_file_name("agent.log");
    let mut child = start(args, agent, &log)?;
    let outcome = tokio::select! {
        ended = child.wait() => ended_by_itself(ended?, &log),
        outcome = cluster(args, &client, &address) => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    let outcome = match outcome {
        Ok(()) if child.id().is_some() => {
            eprintln!(
                "ending {}",
                if args.keep { "(everything is kept)" } else { "and removing everything" }
            );
            leave(args, &client).await
        }
        other => other,
    };
    stop(&mut child).await?;
    if !args.keep && outcome.is_ok() {
        fs::remove_dir_all(&args.data_dir).with_context(|| args.data_dir.display().to_string())?;
    }
    outcome
}

fn start(args: &DevArgs, agent: &Path, log: &Path) -> anyhow::Result<Child> {
    let folder = args.socket.parent().context("--socket names no file")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let file = File::create(log).with_context(|| log.display().to_string())?;
    let mut command = Command::new(agent);
    // Settings of this host's own agent are not meant for this one.
    command.args(["--config", "/dev/null"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWARMCTL_") {
            command.env_remove(name);
        }
    }
    let child = command
        .arg("--data-dir")
        .arg(&args.data_dir)
        .arg("--socket")
        .arg(&args.socket)
        .args(["--engine", &args.engine, "--listen-addr", &args.listen_addr.to_string()])
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        // A Ctrl-C is for this program, which then ends the agent in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| agent.display().to_string())
}

/// Makes the cluster and says how to use it. Never returns unless it fails.
async fn cluster(args: &DevArgs, client: &Client, address: &str) -> anyhow::Result<()> {
    let served = async {
        loop {
            match client.get::<Value>("/info").await {
                Ok(info) => return info,
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    };
    let info = tokio::time::timeout(START, served).await;
    let info = info.with_context(|| {
        format!("the agent does not serve {address}; is an engine at {}?", args.engine)
    })?;
    if info["Swarm"]["LocalNodeState"] == "inactive" {
        let listen = args.listen_addr.to_string();
        let request =
            json!({"ListenAddr": listen, "AdvertiseAddr": listen, "Availability": "active"});
        client.post::<_, Value>("/swarm/init", &request).await?;
    }
    println!("export DOCKER_HOST={address}");
    eprintln!("A cluster of this host is ready; Ctrl-C ends it.");
    std::future::pending().await
}

/// Takes the host out of its cluster, unless that is to be kept.
async fn leave(args: &DevArgs, client: &Client) -> anyhow::Result<()> {
    if args.keep {
        return Ok(());
    }
    match client.post::<_, Value>("/swarm/leave?force=1", &json!({})).await {
        // It had not come so far.
        Err(error) if error.to_string().contains("not part of a swarm") => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

async fn stop(child: &mut Child) -> anyhow::Result<()> {
    let Some(id) = child.id() else { return Ok(()) };
    let id = Pid::from_raw(i32::try_from(id)?);
    kill(id, Signal::SIGTERM).context("cannot end the agent")?;
    match tokio::time::timeout(STOP, child.wait()).await {
        Ok(ended) => ended.map(drop).map_err(Into::into),
        Err(_) => Ok(child.kill().await?),
    }
}

/// The agent has ended though nobody asked it to: its last lines say why.
fn ended_by_itself(status: ExitStatus, log: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n");
    bail!("the agent ended by itself ({status}); its last lines, of {}:\n{last}", log.display())
}
