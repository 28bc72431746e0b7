//! Makes one host do what the managers ordered: the acting half of the agent.
//!
//! Read in this order: [`membership`] (is this host a node?), [`session`] (orders down, reports up),
//! [`orders`] and [`ledger`] (what is kept), [`worker`] and [`engine`] (orders become containers),
//! [`plane`] (what the data plane does for them), [`socket`] (the API of this host), [`supervise`] (the
//! manager's process), [`metrics`] and [`traces`] (what is measured). What is decided is decided in `agent_core`.

pub mod clock;
pub mod config;
pub mod disk;
pub mod engine;
pub mod ledger;
pub mod membership;
pub mod metrics;
pub mod net;
pub mod networks;
pub mod orders;
pub mod plane;
pub mod session;
pub mod socket;
pub mod supervise;
pub mod traces;
pub mod transport;
pub mod worker;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use config::{Config, Flags, LogFormat};
use engine::Docker;
use membership::Membership;
use net::host::HostNet;
use plane::Net;
use socket::{Socket, TcpServer};

/// How long the collector of traces may take for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Runs as the host's data plane: `agent dataplane`, started by the agent itself.
///
/// # Errors
/// When the arguments are wrong or the kernel's sockets are not to be had.
pub fn run_data_plane(arguments: net::process::Arguments) -> anyhow::Result<()> {
    // As the agent that started it was told.
    let json = std::env::var_os(config::LOG_FORMAT).is_some_and(|format| format == "json");
    log_to_stderr(if json { LogFormat::Json } else { LogFormat::Text });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(net::process::main(arguments))?)
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the settings cannot be used or the socket cannot be opened.
pub fn run(flags: Flags) -> anyhow::Result<()> {
    let config = flags.resolve()?;
    log_to_stderr(config.log_format);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SWARMCTL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // The data plane outlives whoever reads what it writes.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    if let Some(collector) = config.traces.clone() {
        telemetry::start(collector, "agent");
    }
    disk::make_dir(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let listener = socket::listen(&config.socket)
        .await
        .with_context(|| format!("cannot serve {}", config.socket.display()))?;
    let engine = Arc::new(metrics::Measured(Arc::new(Docker::new(&config.engine))));
    let net: Arc<dyn Net> = Arc::new(HostNet::new(
        engine::http::Endpoint::new(&config.engine),
        std::env::current_exe().context("cannot find this program's own file")?,
        config.socket.with_file_name("dataplane.sock"),
        config.log_format,
    ));
    let remote = match &config.api {
        Some(api) => Some(TcpServer::bind(api.clone()).await.context("the API over TCP")?),
        None => None,
    };
    let membership = Membership::new(config.clone(), engine, net);
    let stop = CancellationToken::new();
    let socket = Socket::new(&config.engine, membership.clone());
    let served = tokio::spawn(socket.clone().serve(listener, stop.clone()));
    tracing::info!(socket = %config.socket.display(), "serving the Docker API");
    if let (Some(remote), Some(api)) = (remote, &config.api) {
        tokio::spawn(remote.serve(socket, stop.clone()));
        tracing::info!(address = %api.address, "serving the Docker API over TCP with TLS");
    }
    if let Some(address) = config.metrics {
        tokio::spawn(metrics::serve::serve(address, membership.clone(), stop.clone()));
    }
    if let Err(error) = membership.resume().await {
        // The socket goes on: it is how a person finds out, and how the host can leave.
        tracing::error!(%error, "this host is a node, but cannot act as one");
    }
    let removals = membership.clone();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = removals.watch_for_removal() => {}
    }
    tracing::info!("stopping; containers go on");
    membership.stop().await;
    stop.cancel();
    served.await?;
    telemetry::flush(LAST_SPANS).await;
    // Somebody else may have removed it.
    let _ = disk::remove(&config.socket);
    Ok(())
}
