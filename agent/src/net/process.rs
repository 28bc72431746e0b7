//! The data plane as a process of its own, which outlives the agent that started it.
//!
//! Published ports, DNS sockets and proxied connections must not end when the agent is restarted.
//! So they live in `agent dataplane`: it listens on a Unix socket, takes orders from whichever
//! agent is connected, and goes on by the last ones while none is. A newer version takes over the
//! sockets of the older ([`super::handover`]), which ends when its last connection has.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use agent_core::net::LocalContainer;
use model::object::Revision;
use model::wire::orders::{NetworkOrder, Orders};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::handover::{self, Handed};
use super::ingress::Shared;
use super::plane::{Desired, Request};
use super::{Config, DataPlane, PortError};
use crate::config::{LOG_FORMAT, LogFormat};

/// Octets of one frame: the orders of a very large cluster.
const MOST_OCTETS: u32 = 256 << 20;
/// How often a process that is being started is looked for, and how many times.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 250;
/// How long a running process may take to say who it is.
const HELLO: Duration = Duration::from_secs(2);
/// The pause before a lost process is replaced again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long connections may go on in a process that has handed over.
const DRAIN: Duration = Duration::from_secs(3_600);
/// How often it is looked whether they have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(500);

/// To a data plane.
#[derive(Debug, Serialize, Deserialize)]
enum ToPlane {
    /// First, from an agent: say who you are and how far you are, and go on saying it.
    Watch,
    /// First, from whoever asks what was measured: say it, and no more.
    Measure,
    /// First, from a successor: send every socket over this connection and take nothing new.
    HandOver,
    Orders(Arc<Orders>),
    Local(Arc<Vec<LocalContainer>>),
    Ensure {
        number: u64,
        network: Box<NetworkOrder>,
        orders: Arc<Orders>,
    },
    Clear {
        number: u64,
    },
    /// End; the kernel keeps what it has.
    Stop,
}

/// To an agent.
#[derive(Debug, Serialize, Deserialize)]
enum FromPlane {
    /// First: which program this is.
    Hello {
        build: String,
    },
    /// A page of metrics.
    Measured(String),
    Applied(Revision),
    PortErrors(Vec<PortError>),
    Ensured {
        number: u64,
        outcome: Result<u32, String>,
    },
    Cleared {
        number: u64,
        outcome: Result<(), String>,
    },
}

/// How to start the process.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program `agent`.
    pub path: PathBuf,
    /// What the program is started with: a command that goes in front of it, or nothing.
    pub launcher: Vec<String>,
    /// Where the process listens.
    pub socket: PathBuf,
    pub log_format: LogFormat,
}

/// The command line of the process.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen for the agent
    #[arg(long)]
    pub socket: PathBuf,
    /// What to know of the host, as JSON
    #[arg(long)]
    pub config: String,
    /// Take the sockets of the process that listens there now
    #[arg(long)]
    pub take_over: bool,
}

/// What `agent dataplane` does.
///
/// # Errors
/// When the configuration is none, or as [`run`].
pub async fn main(arguments: Arguments) -> io::Result<()> {
    let config: Config = serde_json::from_str(&arguments.config).map_err(io::Error::other)?;
    let take_over = if arguments.take_over { TakeOver::IfThere } else { TakeOver::No };
    run(config, &arguments.socket, take_over).await
}

/// Which program with which configuration: another one has to take over.
fn build(program: &Path, config: &Config) -> String {
    let file = match std::fs::metadata(program) {
        Ok(file) => format!("{}-{}-{}.{}", file.ino(), file.len(), file.mtime(), file.mtime_nsec()),
        Err(_) => env!("CARGO_PKG_VERSION").to_owned(),
    };
    format!("{file} {}", serde_json::to_string(config).unwrap_or_default())
}

/// Runs the data plane as this process, until it is told to stop or has handed over.
///
/// `take_over`: the sockets of a process that is still listening there are taken first.
///
/// # Errors
/// When the Unix socket or the kernel's sockets are not to be had.
pub async fn run(config: Config, socket: &Path, take_over: TakeOver) -> io::Result<()> {
    let handed = match take_over {
        TakeOver::No => Vec::new(),
        TakeOver::IfThere => take_sockets(socket).await.unwrap_or_else(|error| {
            info!(%error, "no sockets taken over");
            Vec::new()
        }),
    };
    let build = build(Path::new("/proc/self/exe"), &config);
    let plane = DataPlane::start_inheriting(config, handed)?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let (stop, mut stopped) = mpsc::channel(1);
    info!(socket = %socket.display(), "data plane ready");
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let (plane, stop, build) = (plane.clone(), stop.clone(), build.clone());
                tokio::spawn(async move {
                    match serve(&plane, build, stream).await {
                        Ok(Ended::Gone) => debug!("an agent has gone"),
                        Ok(Ended::Stop) => {
                            let _ = stop.send(None).await;
                        }
                        Ok(Ended::HandedOver(shared)) => {
                            let _ = stop.send(Some(shared)).await;
                        }
                        Err(error) => debug!(%error, "an agent was lost"),
                    }
                });
            }
            ended = stopped.recv() => {
                drop(listener);
                if let Some(Some(shared)) = ended {
                    drain(&shared).await;
                } else {
                    let _ = std::fs::remove_file(socket);
                }
                return Ok(());
            }
        }
    }
}

/// Whether a new process asks an old one for its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    No,
    IfThere,
}

async fn drain(shared: &Shared) {
    info!(connections = shared.busy(), "handed over");
    let _ = timeout(DRAIN, async {
        while shared.busy() > 0 {
            sleep(DRAIN_LOOK).await;
        }
    })
    .await;
}

enum Ended {
    Gone,
    Stop,
    HandedOver(Arc<Shared>),
}

async fn serve(plane: &DataPlane, build: String, stream: UnixStream) -> io::Result<Ended> {
    let (mut from, mut to) = stream.into_split();
    match read::<ToPlane>(&mut from).await? {
        Some(ToPlane::HandOver) => return hand_over(plane, from, to).await,
        Some(ToPlane::Measure) => {
            let page = crate::metrics::data_plane_page();
            write(&mut to, &FromPlane::Measured(page)).await?;
            return Ok(Ended::Gone);
        }
        Some(_) => {}
        None => return Ok(Ended::Gone),
    }
    write(&mut to, &FromPlane::Hello { build }).await?;
    let (answers, mut answered) = mpsc::unbounded_channel::<FromPlane>();
    let mut applied = plane.applied();
    let mut errors = plane.port_errors();
    applied.mark_changed();
    errors.mark_changed();
    let mut frames = frames::<ToPlane>(from);
    loop {
        let answer = tokio::select! {
            frame = frames.recv() => match frame {
                None => return Ok(Ended::Gone),
                Some(ToPlane::Stop) => return Ok(Ended::Stop),
                Some(ToPlane::Watch | ToPlane::HandOver | ToPlane::Measure) => continue,
                Some(ToPlane::Orders(orders)) => {
                    plane.apply(orders);
                    continue;
                }
                Some(ToPlane::Local(local)) => {
                    plane.set_local(local.to_vec());
                    continue;
                }
                Some(ToPlane::Ensure { number, network, orders }) => {
                    let (plane, answers) = (plane.clone(), answers.clone());
                    tokio::spawn(async move {
                        let outcome = plane.ensure_links(*network, orders).await;
                        let outcome = outcome.map_err(|error| error.to_string());
                        let _ = answers.send(FromPlane::Ensured { number, outcome });
                    });
                    continue;
                }
                Some(ToPlane::Clear { number }) => {
                    let (plane, answers) = (plane.clone(), answers.clone());
                    tokio::spawn(async move {
                        let outcome = plane.clear().await.map_err(|error| error.to_string());
                        let _ = answers.send(FromPlane::Cleared { number, outcome });
                    });
                    continue;
                }
            },
            Some(answer) = answered.recv() => answer,
            Ok(()) = applied.changed() => FromPlane::Applied(*applied.borrow_and_update()),
            Ok(()) = errors.changed() => FromPlane::PortErrors(errors.borrow_and_update().clone()),
        };
        write(&mut to, &answer).await?;
    }
}

async fn hand_over(
    plane: &DataPlane,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
) -> io::Result<Ended> {
    let (sockets, shared) = plane.hand_over().await.map_err(io::Error::other)?;
    let mut stream = from.reunite(to).map_err(io::Error::other)?.into_std()?;
    stream.set_nonblocking(false)?;
    tokio::task::spawn_blocking(move || handover::send(&mut stream, &sockets))
        .await
        .map_err(io::Error::other)??;
    Ok(Ended::HandedOver(shared))
}

async fn take_sockets(socket: &Path) -> io::Result<Vec<(Handed, OwnedFd)>> {
    let (from, mut to) = UnixStream::connect(socket).await?.into_split();
    write(&mut to, &ToPlane::HandOver).await?;
    let mut stream = from.reunite(to).map_err(io::Error::other)?.into_std()?;
    stream.set_nonblocking(false)?;
    tokio::task::spawn_blocking(move || handover::receive(&mut stream))
        .await
        .map_err(io::Error::other)?
}

/// The agent's end: keeps a process running and connected until the handle is dropped.
pub(super) async fn keep(
    config: Config,
    program: Program,
    mut desired: watch::Receiver<Desired>,
    mut requests: mpsc::Receiver<Request>,
    applied: watch::Sender<Revision>,
    port_errors: watch::Sender<Vec<PortError>>,
) {
    // Whoever gave the handle back wants no process started any more.
    while desired.has_changed().is_ok() {
        let connection = match attach(&config, &program).await {
            Ok(connection) => connection,
            Err(error) => {
                error!(%error, "no data plane");
                sleep(PAUSE).await;
                continue;
            }
        };
        let reports = (&applied, &port_errors);
        match talk(connection, &mut desired, &mut requests, reports).await {
            Ok(()) => return,
            Err(error) => warn!(%error, "the data plane was lost"),
        }
        sleep(PAUSE).await;
    }
}

/// Connects to the process; starts it where there is none, replaces one of another build.
async fn attach(config: &Config, program: &Program) -> io::Result<UnixStream> {
    let mine = build(&program.path, config);
    match hello(&program.socket).await {
        Ok((stream, build)) if build == mine => return Ok(stream),
        Ok((_, build)) => {
            info!(old = build, new = mine, "replacing the data plane");
            spawn(config, program, TakeOver::IfThere)?;
        }
        Err(error) => {
            debug!(%error, "no data plane is running");
            spawn(config, program, TakeOver::No)?;
        }
    }
    for _ in 0..LOOKS {
        sleep(LOOK).await;
        if let Ok((stream, build)) = hello(&program.socket).await
            && build == mine
        {
            return Ok(stream);
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the data plane does not start"))
}

/// The page of metrics of the process that listens there.
///
/// # Errors
/// When none does, or one that has no such page.
pub async fn measured(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    write(&mut stream, &ToPlane::Measure).await?;
    match read::<FromPlane>(&mut stream).await? {
        Some(FromPlane::Measured(page)) => Ok(page),
        Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, "no page there")),
    }
}

async fn hello(socket: &Path) -> io::Result<(UnixStream, String)> {
    let mut stream = UnixStream::connect(socket).await?;
    write(&mut stream, &ToPlane::Watch).await?;
    match timeout(HELLO, read::<FromPlane>(&mut stream)).await?? {
        Some(FromPlane::Hello { build }) => Ok((stream, build)),
        Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, "no data plane there")),
    }
}

fn spawn(config: &Config, program: &Program, take_over: TakeOver) -> io::Result<()> {
    let config = serde_json::to_string(config).map_err(io::Error::other)?;
    let mut command = match program.launcher.split_first() {
        None => std::process::Command::new(&program.path),
        Some((launcher, arguments)) => {
            let mut command = std::process::Command::new(launcher);
            command.args(arguments).arg(&program.path);
            command
        }
    };
    command.arg("dataplane").arg("--socket").arg(&program.socket).args(["--config", &config]);
    if take_over == TakeOver::IfThere {
        command.arg("--take-over");
    }
    command.env(LOG_FORMAT, program.log_format.name());
    // Of its own group: what ends the agent at a terminal does not end the data plane.
    let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    std::thread::Builder::new().name("dataplane-wait".into()).spawn(move || {
        match child.wait() {
            Ok(status) => info!(%status, "a data plane has ended"),
            Err(error) => warn!(%error, "waiting for a data plane"),
        }
    })?;
    Ok(())
}

/// `Ok`: nobody holds the handle any more, or it said stop.
async fn talk(
    stream: UnixStream,
    desired: &mut watch::Receiver<Desired>,
    requests: &mut mpsc::Receiver<Request>,
    (applied, port_errors): (&watch::Sender<Revision>, &watch::Sender<Vec<PortError>>),
) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut frames = frames::<FromPlane>(from);
    let mut ensuring: BTreeMap<u64, oneshot::Sender<Result<u32, String>>> = BTreeMap::new();
    let mut clearing: BTreeMap<u64, oneshot::Sender<Result<(), String>>> = BTreeMap::new();
    let mut number = 0;
    let mut sent = Desired::default();
    desired.mark_changed();
    loop {
        tokio::select! {
            // A last word comes before the end of the handle that said it.
            biased;
            request = requests.recv() => {
                number += 1;
                match request {
                    None => return Ok(()),
                    Some(Request::Ensure { network, peers, done }) => {
                        ensuring.insert(number, done);
                        let frame = ToPlane::Ensure { number, network, orders: peers };
                        write(&mut to, &frame).await?;
                    }
                    Some(Request::Clear { done }) => {
                        clearing.insert(number, done);
                        write(&mut to, &ToPlane::Clear { number }).await?;
                    }
                    Some(Request::Stop) => {
                        write(&mut to, &ToPlane::Stop).await?;
                        return Ok(());
                    }
                    // Only a process hands over, and to a process.
                    Some(Request::HandOver { done }) => {
                        let _ = done.send(Err("the sockets are in another process".into()));
                    }
                }
            }
            changed = desired.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = desired.borrow_and_update().clone();
                if *now.local != *sent.local {
                    write(&mut to, &ToPlane::Local(now.local.clone())).await?;
                }
                if !Arc::ptr_eq(&now.orders, &sent.orders) && *now.orders != *sent.orders {
                    write(&mut to, &ToPlane::Orders(now.orders.clone())).await?;
                }
                sent = now;
            }
            frame = frames.recv() => match frame {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(FromPlane::Hello { .. } | FromPlane::Measured(_)) => {}
                Some(FromPlane::Applied(revision)) => {
                    applied.send_replace(revision);
                }
                Some(FromPlane::PortErrors(errors)) => {
                    port_errors.send_replace(errors);
                }
                Some(FromPlane::Ensured { number, outcome }) => {
                    if let Some(done) = ensuring.remove(&number) {
                        let _ = done.send(outcome);
                    }
                }
                Some(FromPlane::Cleared { number, outcome }) => {
                    if let Some(done) = clearing.remove(&number) {
                        let _ = done.send(outcome);
                    }
                }
            },
        }
    }
}

/// Frames as they come. A frame is read in pieces, so it must not be given up half-way for
/// something else that happens.
fn frames<T: DeserializeOwned + Send + 'static>(mut from: OwnedReadHalf) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            match read::<T>(&mut from).await {
                Ok(Some(frame)) => {
                    if sender.send(frame).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    debug!(%error, "reading a frame");
                    return;
                }
            }
        }
    });
    receiver
}

/// `None`: the other side has closed.
async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncReadExt + Unpin),
) -> io::Result<Option<T>> {
    let length = match from.read_u32().await {
        Ok(length) if length <= MOST_OCTETS => length,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame too large")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text).await?;
    serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
}

async fn write<T: Serialize>(to: &mut (impl AsyncWriteExt + Unpin), frame: &T) -> io::Result<()> {
    let text = serde_json::to_vec(frame).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(&text).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_process_is_started_for_a_handle_that_has_gone() {
        let home = tempfile::tempdir().expect("a directory");
        let started = home.path().join("started");
        let program = Program {
            path: PathBuf::from("agent"),
            launcher: vec!["touch".into(), started.display().to_string()],
            socket: home.path().join("plane.sock"),
            log_format: LogFormat::Text,
        };
        let config = Config {
            advertise: std::net::Ipv4Addr::LOCALHOST.into(),
            netns_directories: Vec::new(),
            resolv_conf: home.path().join("resolv.conf"),
        };
        let (desired, desired_there) = watch::channel(Desired::default());
        let (requests, requests_there) = mpsc::channel(1);
        let (applied, _) = watch::channel(Revision::default());
        let (errors, _) = watch::channel(Vec::new());
        drop((desired, requests));
        keep(config, program, desired_there, requests_there, applied, errors).await;
        assert!(!started.exists());
    }
}
