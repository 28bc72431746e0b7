//! `orchestrator`: one manager of a cluster, run by the host's agent or by hand.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use model::wire::start::Start;
use orchestrator::log::Timing;
use orchestrator::manager::{Manager, Settings};
use orchestrator::wiring;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A manager of the cluster: keeps its state, decides what runs where, answers its API.
///
/// Usually started and supervised by `agent`. Without a subcommand it takes part in the cluster
/// that this host belongs to; SIGTERM hands the leadership over and stops it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Mode {
    /// Start a new cluster with this host as its only manager, then serve.
    Bootstrap {
        /// What the cluster starts with, JSON: description, availability, spec, address_pools,
        /// subnet_size, data_path_port.
        #[arg(long, value_name = "FILE")]
        start: Option<PathBuf>,
    },
    /// Print the manual page, for the package.
    #[command(hide = true)]
    Man,
}

#[derive(Args)]
struct Flags {
    /// Where certificates and state are kept; the same as the agent's.
    #[arg(long, global = true, env = "SWARMCTL_DATA_DIR", default_value = "/var/lib/swarmctl")]
    data_dir: PathBuf,
    /// Where other hosts are listened to (mutual TLS).
    #[arg(long, global = true, env = "SWARMCTL_LISTEN_ADDR", default_value = "0.0.0.0:2377")]
    listen_addr: SocketAddr,
    /// HOST:PORT at which other hosts reach the address above.
    #[arg(long, global = true, env = "SWARMCTL_ADVERTISE_ADDR", value_name = "HOST:PORT")]
    advertise_addr: Option<String>,
    /// The API's unix socket.
    #[arg(
        long,
        global = true,
        env = "SWARMCTL_API_SOCKET",
        default_value = "/run/swarmctl/manager.sock"
    )]
    api_socket: PathBuf,
    /// Go on alone with the state that is here, after most managers were lost for good. They must
    /// not come back with their old state.
    #[arg(long, global = true)]
    force_new_cluster: bool,
    /// Milliseconds between two heartbeats of the leader.
    #[arg(long, global = true, default_value_t = 80, value_name = "MS")]
    heartbeat: u64,
    /// Shortest wait before an election after the leader's lease has run out, milliseconds.
    #[arg(long, global = true, default_value_t = 130, value_name = "MS")]
    election_min: u64,
    /// Longest such wait, and the lease itself, milliseconds.
    #[arg(long, global = true, default_value_t = 260, value_name = "MS")]
    election_max: u64,
    /// How log lines look.
    #[arg(long, global = true, env = "SWARMCTL_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Tell traces of requests to this collector over OTLP/HTTP, http://HOST[:PORT].
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Log entries between two snapshots.
    #[arg(long, global = true, default_value_t = 10_000, value_name = "N")]
    snapshot_every: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Flags {
    fn settings(self) -> Settings {
        // Where nothing is said and one address is listened on, that one is meant.
        let advertise = self.advertise_addr.unwrap_or_else(|| self.listen_addr.to_string());
        Settings {
            data_dir: self.data_dir,
            listen: self.listen_addr,
            advertise,
            api_socket: self.api_socket,
            timing: Timing {
                heartbeat: Duration::from_millis(self.heartbeat),
                election_min: Duration::from_millis(self.election_min),
                election_max: Duration::from_millis(self.election_max),
                ..Timing::default()
            },
            snapshot_every: self.snapshot_every,
            force_new_cluster: self.force_new_cluster,
        }
    }
}

/// How long the collector may take for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if matches!(cli.mode, Some(Mode::Man)) {
        let command = Cli::command().name("swarmctl-orchestrator");
        let page = clap_mangen::Man::new(command).section("8");
        return Ok(page.render(&mut std::io::stdout())?);
    }
    // openraft warns at every heartbeat to a peer that is away; we say once that it is.
    let filter = EnvFilter::try_from_env("SWARMCTL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,openraft=error"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match cli.flags.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(cli))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    if cli.flags.advertise_addr.is_none() && cli.flags.listen_addr.ip().is_unspecified() {
        anyhow::bail!(
            "{} is no address that other hosts can reach; give one with --advertise-addr HOST:PORT",
            cli.flags.listen_addr
        );
    }
    if let Some(text) = cli.flags.otlp_endpoint.as_ref().filter(|text| !text.is_empty()) {
        telemetry::start(text.parse().context("--otlp-endpoint")?, "orchestrator");
    }
    let settings = cli.flags.settings();
    let manager = match cli.mode {
        None | Some(Mode::Man) => Manager::open(settings).await?,
        Some(Mode::Bootstrap { start }) => {
            let start = match start {
                None => Start::default(),
                Some(file) => read(&file).with_context(|| file.display().to_string())?,
            };
            Manager::bootstrap(settings, start).await?
        }
    };
    let stop = manager.stop.clone();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    let routes = wiring::start(&manager);
    let outcome = manager.serve(routes).await;
    telemetry::flush(LAST_SPANS).await;
    Ok(outcome?)
}

fn read(file: &std::path::Path) -> anyhow::Result<Start> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}
