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
/// Where Docker's clients look for an engine with TLS.
const API_PORT: u16 = 2376;
/// Where metrics are served, if at all.
pub const METRICS_PORT: u16 = 2378;
/// Tells the programs that the agent starts how log lines look.
pub const LOG_FORMAT: &str = "SWARMCTL_LOG_FORMAT";
/// Tells them where traces go; OpenTelemetry's own name.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

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
    /// Serve the Docker API over TCP too, with TLS and for clients with a credential only [default port: 2376]
    #[arg(long, env = "SWARMCTL_API_ADDR", value_name = "IP:PORT")]
    api_addr: Option<String>,
    /// With --api-addr: this host's certificate for clients, with its chain, PEM
    #[arg(long, env = "SWARMCTL_API_TLS_CERT", value_name = "FILE")]
    api_tls_cert: Option<PathBuf>,
    /// With --api-addr: the key of that certificate, PEM
    #[arg(long, env = "SWARMCTL_API_TLS_KEY", value_name = "FILE")]
    api_tls_key: Option<PathBuf>,
    /// With --api-addr: let clients in whose certificate this authority has signed, PEM
    #[arg(long, env = "SWARMCTL_API_TLS_CLIENT_CA", value_name = "FILE")]
    api_tls_client_ca: Option<PathBuf>,
    /// With --api-addr: let clients in that show one of the tokens in this file, one a line
    #[arg(long, env = "SWARMCTL_API_TOKENS", value_name = "FILE")]
    api_tokens: Option<PathBuf>,
    /// Containers created or started at the same time [default: twice the number of CPUs, at least 4]
    #[arg(long, env = "SWARMCTL_STARTS_AT_ONCE", value_name = "N")]
    starts_at_once: Option<usize>,
    /// Where metrics are served for Prometheus, over plain HTTP: IP:PORT, IP (port 2378) or :PORT.
    /// Whoever reaches it may read them [default: nowhere]
    #[arg(long, env = "SWARMCTL_METRICS_ADDR", value_name = "IP:PORT")]
    metrics_addr: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "SWARMCTL_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Tell traces of what requests to the API lead to, to this collector over OTLP/HTTP:
    /// http://HOST[:PORT], port 4318 where none is named [default: nowhere]
    #[arg(long, env = OTLP_ENDPOINT, value_name = "URL")]
    otlp_endpoint: Option<String>,
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

impl LogFormat {
    /// As it is written in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
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
    /// The API over TCP, if it is asked for.
    pub api: Option<TcpApi>,
    pub starts_at_once: usize,
    pub metrics: Option<SocketAddr>,
    pub log_format: LogFormat,
    /// The collector of traces, if there is one.
    pub traces: Option<telemetry::Endpoint>,
}

/// The API over TCP: where, and whose clients it lets in (at least one of the last two is there).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpApi {
    pub address: SocketAddr,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
    pub tokens: Option<PathBuf>,
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
    #[error("--api-addr {0:?} is not IP:PORT, IP or :PORT")]
    ApiAddress(String),
    #[error("the API is served over TCP only with TLS and credentials; missing: {}", .0.join(", "))]
    ApiOpen(Vec<&'static str>),
    #[error("{} without --api-addr", .0.join(", "))]
    ApiUnused(Vec<&'static str>),
    #[error("--metrics-addr {0:?} is not IP:PORT, IP or :PORT")]
    Metrics(String),
    #[error("--otlp-endpoint {0}")]
    Traces(#[from] telemetry::EndpointError),
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
        let api = TcpApi::of(
            self.api_addr.or(file.api_addr),
            self.api_tls_cert.or(file.api_tls_cert),
            self.api_tls_key.or(file.api_tls_key),
            self.api_tls_client_ca.or(file.api_tls_client_ca),
            self.api_tokens.or(file.api_tokens),
        )?;
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
            api,
            starts_at_once: self
                .starts_at_once
                .or(file.starts_at_once)
                .unwrap_or_else(|| (cpus * 2).max(4))
                .max(1),
            metrics: match self.metrics_addr.or(file.metrics_addr).filter(|a| !a.is_empty()) {
                Some(text) => {
                    Some(address_with(&text, METRICS_PORT).ok_or(ConfigError::Metrics(text))?)
                }
                None => None,
            },
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
            traces: match self.otlp_endpoint.or(file.otlp_endpoint).filter(|a| !a.is_empty()) {
                Some(text) => Some(text.parse()?),
                None => None,
            },
        })
    }
}

impl TcpApi {
    fn of(
        address: Option<String>,
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        client_ca: Option<PathBuf>,
        tokens: Option<PathBuf>,
    ) -> Result<Option<TcpApi>, ConfigError> {
        let Some(address) = address.filter(|a| !a.is_empty()) else {
            let given = [
                (cert.is_some(), "--api-tls-cert"),
                (key.is_some(), "--api-tls-key"),
                (client_ca.is_some(), "--api-tls-client-ca"),
                (tokens.is_some(), "--api-tokens"),
            ];
            let given: Vec<_> = given.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect();
            return if given.is_empty() { Ok(None) } else { Err(ConfigError::ApiUnused(given)) };
        };
        let no_client = client_ca.is_none() && tokens.is_none();
        let missing = [
            (cert.is_none(), "--api-tls-cert"),
            (key.is_none(), "--api-tls-key"),
            (no_client, "--api-tls-client-ca or --api-tokens"),
        ];
        let missing = missing.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect();
        let (Some(cert), Some(key), false) = (cert, key, no_client) else {
            return Err(ConfigError::ApiOpen(missing));
        };
        let address = address_with(&address, API_PORT).ok_or(ConfigError::ApiAddress(address))?;
        Ok(Some(TcpApi { address, cert, key, client_ca, tokens }))
    }
}

/// `IP:PORT`, `IP` or `:PORT`.
///
/// # Errors
/// [`ConfigError::Listen`].
pub fn listen_address(text: &str) -> Result<SocketAddr, ConfigError> {
    address_with(text, PORT).ok_or_else(|| ConfigError::Listen(text.to_owned()))
}

fn address_with(text: &str, port: u16) -> Option<SocketAddr> {
    let any = IpAddr::from([0, 0, 0, 0]);
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port));
    }
    let port = text.strip_prefix(':')?.parse().ok()?;
    Some(SocketAddr::new(any, port))
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
    fn the_api_is_never_served_over_tcp_without_tls_and_credentials() {
        let open = flags(&["--api-addr", "0.0.0.0"]).resolve().expect_err("nothing else is given");
        assert_eq!(
            open.to_string(),
            "the API is served over TCP only with TLS and credentials; missing: --api-tls-cert, \
             --api-tls-key, --api-tls-client-ca or --api-tokens"
        );
        let tls = ["--api-addr", ":2400", "--api-tls-cert", "/c", "--api-tls-key", "/k"];
        let open = flags(&tls).resolve();
        assert_eq!(open, Err(ConfigError::ApiOpen(vec!["--api-tls-client-ca or --api-tokens"])));
        let unused = flags(&["--api-tokens", "/t"]).resolve();
        assert_eq!(unused, Err(ConfigError::ApiUnused(vec!["--api-tokens"])));
        let fine = flags(&[&tls[..], &["--api-tokens", "/t"]].concat()).resolve().expect("all");
        assert_eq!(fine.api.map(|api| api.address), "0.0.0.0:2400".parse().ok());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let engine = flags(&["--engine", "tcp://1.2.3.4:2375"]).resolve();
        assert_eq!(engine, Err(ConfigError::Engine("tcp://1.2.3.4:2375".into())));
        let listen = flags(&["--listen-addr", "here"]).resolve();
        assert_eq!(listen, Err(ConfigError::Listen("here".into())));
        let metrics = flags(&["--metrics-addr", "everywhere"]).resolve();
        assert_eq!(metrics, Err(ConfigError::Metrics("everywhere".into())));
        let metrics = flags(&["--metrics-addr", "127.0.0.1"]).resolve().map(|c| c.metrics);
        assert_eq!(metrics, Ok("127.0.0.1:2378".parse().ok()));
        let traces = flags(&["--otlp-endpoint", "https://tracing"]).resolve();
        let why = traces.expect_err("no TLS").to_string();
        assert!(why.starts_with("--otlp-endpoint \"https://tracing\": "), "{why}");
        let same = flags(&["--socket", "/s", "--engine", "unix:///s"]).resolve();
        assert_eq!(same, Err(ConfigError::SameSocket("/s".into())));
    }
}
