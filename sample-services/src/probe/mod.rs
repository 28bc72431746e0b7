//! `probe`: a program for tests inside containers. It serves, asks, resolves, echoes and misbehaves
//! on request.

mod ask;
mod echo;
mod serve;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "probe", about = "A program for tests inside containers", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP: / tells about this process and the request (?env=1: the environment too),
    /// /health (POST /fail and /recover switch it), /sleep?ms=, /exit?code=, /bytes?n=, /echo
    Serve {
        #[arg(long, env = "PORT", default_value_t = 8080)]
        port: u16,
        /// Start with a failing /health
        #[arg(long)]
        failing: bool,
    },
    /// Ask a URL; prints the body, exit code 1 unless the answer is 2xx or 3xx
    Get {
        url: String,
        /// Ask this many times, each on a connection of its own
        #[arg(long, default_value_t = 1)]
        times: u32,
        /// Time limit of one request
        #[arg(long, default_value_t = 5000)]
        timeout_ms: u64,
        #[arg(long, default_value = "GET")]
        method: String,
        /// Body to send
        #[arg(long, default_value = "")]
        body: String,
        /// Print status and headers too
        #[arg(long, short)]
        include: bool,
    },
    /// Look a name up with the container's resolver; prints its addresses, one a line, sorted
    Resolve {
        name: String,
        /// IPv6 addresses too
        #[arg(long)]
        all: bool,
    },
    /// Send back what comes in, connection by connection
    TcpEcho {
        #[arg(long, default_value_t = 7)]
        port: u16,
    },
    /// Send back every datagram
    UdpEcho {
        #[arg(long, default_value_t = 7)]
        port: u16,
    },
    /// Send a text over TCP to HOST:PORT and print what comes back
    TcpSend { to: String, text: String },
    /// Send a datagram to HOST:PORT and print the answer; exit code 1 when none comes in time
    UdpSend {
        to: String,
        text: String,
        #[arg(long, default_value_t = 1000)]
        timeout_ms: u64,
    },
    /// Do nothing until a stop signal (or for so long)
    Sleep { seconds: Option<f64> },
    /// End by itself after some time
    Crash {
        #[arg(long, default_value_t = 0)]
        after: u64,
        #[arg(long, default_value_t = 1)]
        code: u8,
    },
    /// Print files
    Cat { files: Vec<PathBuf> },
    /// Print the environment
    Env,
    /// Print a text
    Echo { words: Vec<String> },
    /// Do nothing, and go on doing it when asked to stop: only a kill ends it
    IgnoreTerm,
}

/// Runs one subcommand; `arguments[0]` is the program's name.
pub async fn run(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    match Arguments::parse_from(arguments).command {
        Command::Serve { port, failing } => serve::run(port, failing).await?,
        Command::Get { url, times, timeout_ms, method, body, include } => {
            let limit = Duration::from_millis(timeout_ms);
            return ask::get(&ask::Question { url, times, limit, method, body, include }).await;
        }
        Command::Resolve { name, all } => ask::resolve(&name, all).await?,
        Command::TcpEcho { port } => {
            until_stopped(echo::tcp(any(port)), None).await?.transpose()?;
        }
        Command::UdpEcho { port } => {
            until_stopped(echo::udp(any(port)), None).await?.transpose()?;
        }
        Command::TcpSend { to, text } => ask::tcp(&to, &text).await?,
        Command::UdpSend { to, text, timeout_ms } => {
            ask::udp(&to, &text, Duration::from_millis(timeout_ms)).await?;
        }
        Command::Sleep { seconds } => {
            let limit = seconds.map(Duration::try_from_secs_f64).transpose()?;
            until_stopped(std::future::pending::<()>(), limit).await?;
        }
        Command::Crash { after, code } => {
            tokio::time::sleep(Duration::from_millis(after)).await;
            eprintln!("crashing with code {code} as asked");
            return Ok(ExitCode::from(code));
        }
        Command::Cat { files } => {
            for file in files {
                let mut content = tokio::fs::File::open(&file)
                    .await
                    .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
                tokio::io::copy(&mut content, &mut tokio::io::stdout()).await?;
            }
        }
        Command::Env => {
            for (name, value) in std::env::vars() {
                println!("{name}={value}");
            }
        }
        Command::Echo { words } => println!("{}", words.join(" ")),
        Command::IgnoreTerm => {
            // As process 1 an unhandled signal is ignored anyway; elsewhere it has to be caught.
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            println!("waiting to be killed");
            loop {
                tokio::select! {
                    _ = terminate.recv() => println!("SIGTERM ignored"),
                    _ = interrupt.recv() => println!("SIGINT ignored"),
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// Does `work` until it is done (`Some`), a stop signal comes or `limit` has passed (`None`).
///
/// The signals are caught by hand: process 1 of a container has no default action for them.
async fn until_stopped<T>(
    work: impl Future<Output = T>,
    limit: Option<Duration>,
) -> anyhow::Result<Option<T>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let limit = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    Ok(tokio::select! {
        done = work => Some(done),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        () = limit => None,
    })
}
