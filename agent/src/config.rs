//! What the agent is told: flags, environment, `agent.toml`; in that order, the first that says it wins.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use serde::Deserialize;

const DATA_DIR: &str = "/var/lib/swarmctl";
const SOCKET: &str = "/run/swarmctl/docker.sock";
const ENGINE: &str = "unix:///var/run/docker.sock";
const CONFIG: &str = "/etc/swarmctl/agent.toml";
/// Where managers listen.
pub const PORT: u16 = 2377;

/// Makes one host do what the managers of its cluster ordered.
///
/// Drives the local Docker Engine, wires the networks, answers DNS, balances traffic, and serves the
/// Docker API on a socket. A host that has not joined a cluster waits for `swarmctl init` or `join`.
#[derive(Parser, Debug, Default, Deserialize)]
#[command(name = "agent", version)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Flags {
    /// Where certificates, orders and a manager's state are kept [default: /var/lib/swarmctl]
    #[arg(long, env = "SWARMCTL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The socket on which the Docker API is served [default: /run/swarmctl/docker.sock]
    #[arg(long, env = "SWARMCTL_SOCKET", value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The local Docker Engine [default: unix:///var/run/docker.sock]
    #[arg(long, env = "SWARMCTL_ENGINE", value_name = "ADDRESS")]
    engine: Option<String>,
    /// The address at which other hosts reach this one: IP, IP:PORT or interface
    #[arg(long, env = "SWARMCTL_ADVERTISE_ADDR", value_name = "ADDRESS")]
    advertise_addr: Option<String>,
    /// Where a manager on this host listens [default: 0.0.0.0:2377]
    #[arg(long, env = "SWARMCTL_LISTEN_ADDR", value_name = "IP:PORT")]
    listen_addr: Option<String>,
    /// What a task on a manager gets that mounts the engine's socket: `cluster` (the socket above, so
    /// that tools made for Swarm managers find one) or `engine` [default: cluster]
    #[arg(long, env = "SWARMCTL_SOCKET_FOR_TASKS", value_enum, value_name = "WHOSE")]
    socket_for_tasks: Option<SocketForTasks>,
    /// Containers created or started at the same time [default: twice the number of CPUs, at least 4]
    #[arg(long, env = "SWARMCTL_STARTS_AT_ONCE", value_name = "N")]
    starts_at_once: Option<usize>,
    /// How log lines look [default: text]
    #[arg(long, env = "SWARMCTL_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// A file with the same settings under the same names [default: /etc/swarmctl/agent.toml, if there]
    #[arg(long, env = "SWARMCTL_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
}

/// Whose socket a task gets that asks for the engine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketForTasks {
    #[default]
    Cluster,
    Engine,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// The settings with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub socket: PathBuf,
    pub engine: PathBuf,
    pub advertise: Option<String>,
    pub listen: SocketAddr,
    pub socket_for_tasks: SocketForTasks,
    pub starts_at_once: usize,
    pub log_format: LogFormat,
}

/// Settings that cannot be used. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {why}")]
    File { path: String, why: String },
    #[error("--engine {0:?}: only a local engine can be driven; give unix:///path/to/docker.sock")]
    Engine(String),
    #[error("--listen-addr {0:?} is not IP:PORT, IP or :PORT")]
    Listen(String),
    #[error("--socket {0} and --engine name the same socket")]
    SameSocket(String),
}

impl Flags {
    /// The settings, with those of the file where flags and environment say nothing.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None if Path::new(CONFIG).exists() => read(Path::new(CONFIG))?,
            None => Flags::default(),
        };
        let engine = self.engine.or(file.engine).unwrap_or_else(|| ENGINE.to_owned());
        let engine = match engine.strip_prefix("unix://") {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            None if engine.starts_with('/') => PathBuf::from(&engine),
            _ => return Err(ConfigError::Engine(engine)),
        };
        let socket = self.socket.or(file.socket).unwrap_or_else(|| PathBuf::from(SOCKET));
        if socket == engine {
            return Err(ConfigError::SameSocket(socket.display().to_string()));
        }
        let cpus = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Config {
            data_dir: self.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from(DATA_DIR)),
            socket,
            engine,
            advertise: self.advertise_addr.or(file.advertise_addr).filter(|a| !a.is_empty()),
            listen: listen_address(
                &self.listen_addr.or(file.listen_addr).unwrap_or_else(|| String::from("0.0.0.0")),
            )?,
            socket_for_tasks: self.socket_for_tasks.or(file.socket_for_tasks).unwrap_or_default(),
            starts_at_once: self
                .starts_at_once
                .or(file.starts_at_once)
                .unwrap_or_else(|| (cpus * 2).max(4))
                .max(1),
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

/// `IP:PORT`, `IP` or `:PORT`.
///
/// # Errors
/// [`ConfigError::Listen`].
pub fn listen_address(text: &str) -> Result<SocketAddr, ConfigError> {
    let any = IpAddr::from([0, 0, 0, 0]);
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    text.strip_prefix(':')
        .and_then(|port| port.parse().ok())
        .map(|port| SocketAddr::new(any, port))
        .ok_or_else(|| ConfigError::Listen(text.to_owned()))
}

fn read(path: &Path) -> Result<Flags, ConfigError> {
    let wrong = |why: String| ConfigError::File { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    toml::from_str(&text).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Flags {
        Flags::parse_from(std::iter::once("agent").chain(words.iter().copied()))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("agent.toml");
        std::fs::write(&file, "data-dir = \"/one\"\nlisten-addr = \":2400\"\n").expect("written");
        let name = file.display().to_string();
        let config = flags(&["--config", &name, "--data-dir", "/two"]).resolve().expect("right");
        assert_eq!(config.data_dir, Path::new("/two"));
        assert_eq!(config.listen, "0.0.0.0:2400".parse().expect("an address"));
        assert_eq!(config.socket, Path::new(SOCKET));
        std::fs::write(&file, "data-dri = \"/one\"\n").expect("written");
        let error = flags(&["--config", &name]).resolve().expect_err("a misspelt key");
        assert!(error.to_string().contains("data-dri"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let engine = flags(&["--engine", "tcp://1.2.3.4:2375"]).resolve();
        assert_eq!(engine, Err(ConfigError::Engine("tcp://1.2.3.4:2375".into())));
        let listen = flags(&["--listen-addr", "here"]).resolve();
        assert_eq!(listen, Err(ConfigError::Listen("here".into())));
        let same = flags(&["--socket", "/s", "--engine", "unix:///s"]).resolve();
        assert_eq!(same, Err(ConfigError::SameSocket("/s".into())));
    }
}
