//! DNS for the containers: one UDP and one TCP socket inside each namespace, answers from a table.
//!
//! The socket that a question comes in by says who asks, so nothing in the packet needs to be
//! trusted. Names that are not ours are passed on, from this host, to the servers that the
//! container was given or else to those of the host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_core::net::local::Asker;
use agent_core::net::message::{self, Code, MOST_TCP, Query, Refusal};
use agent_core::net::names::{self, Found, Names, Vips};
use agent_core::net::rules::{DNS_ADDRESS, DNS_PORT};
use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

use self::parking::Parked;
use crate::metrics::QUESTIONS;

/// Questions of all containers that are under way to other servers. More are refused, and asked
/// again by the client, so that one busy container cannot eat the host's ports.
const MOST_FORWARDS: usize = 512;
/// TCP connections of one container.
const MOST_CONNECTIONS: usize = 32;
/// How long one server may take. Three of them fit into a client's own patience of five seconds.
const SERVER_PATIENCE: Duration = Duration::from_millis(1_500);
/// Servers tried for one question.
const MOST_SERVERS: usize = 3;
/// How long a TCP connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
const DNS: u16 = 53;
/// Waiting connections of the TCP socket.
const BACKLOG: i32 = 64;

/// What all servers of a host share.
#[derive(Debug)]
pub struct Directory {
    names: ArcSwap<Names>,
    forwards: Arc<Semaphore>,
    host: HostServers,
}

/// The two sockets of one namespace, opened inside it.
#[derive(Debug)]
pub struct Sockets {
    pub udp: std::net::UdpSocket,
    pub tcp: std::net::TcpListener,
}

/// The server of one namespace. Dropping it closes the sockets.
#[derive(Debug)]
pub struct Server {
    who: Arc<ArcSwap<Who>>,
    udp: Arc<UdpSocket>,
    tcp: Arc<TcpListener>,
    tasks: Vec<JoinHandle<()>>,
}

/// Who asks through a namespace's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub asker: Asker,
    pub vips: Vips,
}

impl Directory {
    /// Knows no name yet.
    #[must_use]
    pub fn new(resolv_conf: PathBuf) -> Directory {
        Directory {
            names: ArcSwap::from_pointee(Names::default()),
            forwards: Arc::new(Semaphore::new(MOST_FORWARDS)),
            host: HostServers { path: resolv_conf, read: Parked::default() },
        }
    }

    /// From now on answers follow `names`.
    pub fn set(&self, names: Names) {
        self.names.store(Arc::new(names));
    }

    /// `None`: it has to be asked elsewhere.
    fn answer(&self, query: &Query, who: &Who, limit: usize) -> Option<Vec<u8>> {
        let name = query.internet_name()?;
        let (kind, answer) = match self.names.load().find(&who.asker, who.vips, name) {
            Found::Addresses(mut addresses) => {
                names::shuffle(&mut addresses, rand::random());
                ("cluster", query.answer_addresses(&addresses, limit))
            }
            Found::Pointer(name) => ("cluster", query.answer_pointer(&name, limit)),
            Found::Nobody => ("nobody", query.answer_code(Code::NoSuchName)),
            Found::Elsewhere => return None,
        };
        QUESTIONS.add(&[kind], 1);
        Some(answer)
    }

    async fn forward(&self, query: &Query, bytes: &[u8], who: &Who, over: Over) -> Vec<u8> {
        let answer = self.ask_elsewhere(query, bytes, who, over).await;
        QUESTIONS.add(&[if answer.is_some() { "forwarded" } else { "failed" }], 1);
        answer.unwrap_or_else(|| query.answer_code(Code::Failed))
    }

    /// None when no server answered.
    async fn ask_elsewhere(
        &self,
        query: &Query,
        bytes: &[u8],
        who: &Who,
        over: Over,
    ) -> Option<Vec<u8>> {
        let Ok(_turn) = self.forwards.try_acquire() else {
            return None;
        };
        let servers = if who.asker.nameservers.is_empty() {
            self.host.servers()
        } else {
            who.asker.nameservers.clone()
        };
        if servers.is_empty() {
            return Some(query.answer_code(Code::NoSuchName));
        }
        for server in servers.iter().take(MOST_SERVERS) {
            let server = SocketAddr::new(*server, DNS);
            let asked = async {
                match over {
                    Over::Udp => ask_udp(server, bytes).await,
                    Over::Tcp => ask_tcp(server, bytes).await,
                }
            };
            match timeout(SERVER_PATIENCE, asked).await {
                Ok(Ok(answer)) if over == Over::Udp && answer.len() > query.udp_limit() => {
                    return Some(message::truncate(&answer));
                }
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => debug!(%server, %error, "a DNS server did not answer"),
                Err(_) => debug!(%server, "a DNS server took too long"),
            }
        }
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
}

/// Opens the sockets in the namespace of the calling thread.
///
/// # Errors
/// When the loopback link is not up yet or somebody has the port.
pub fn open() -> io::Result<Sockets> {
    let address: SocketAddr = (DNS_ADDRESS, DNS_PORT).into();
    let udp = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    udp.set_nonblocking(true)?;
    udp.bind(&address.into())?;
    let tcp = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    tcp.set_nonblocking(true)?;
    tcp.set_reuse_address(true)?;
    tcp.bind(&address.into())?;
    tcp.listen(BACKLOG)?;
    Ok(Sockets { udp: udp.into(), tcp: tcp.into() })
}

impl Server {
    /// Serves a namespace.
    ///
    /// # Errors
    /// When the runtime cannot take the sockets.
    pub fn start(directory: Arc<Directory>, sockets: Sockets, who: Who) -> io::Result<Server> {
        let who = Arc::new(ArcSwap::from_pointee(who));
        let udp = Arc::new(UdpSocket::from_std(sockets.udp)?);
        let tcp = Arc::new(TcpListener::from_std(sockets.tcp)?);
        let tasks = vec![
            tokio::spawn(serve_udp(directory.clone(), udp.clone(), who.clone())),
            tokio::spawn(serve_tcp(directory, tcp.clone(), who.clone())),
        ];
        Ok(Server { who, udp, tcp, tasks })
    }

    /// The container's networks or servers changed.
    pub fn set(&self, who: Who) {
        if **self.who.load() != who {
            self.who.store(Arc::new(who));
        }
    }

    /// Copies of the two sockets, for another process to go on with.
    ///
    /// # Errors
    /// When this process has too many files open.
    pub fn sockets(&self) -> io::Result<[OwnedFd; 2]> {
        use std::os::fd::AsFd;
        Ok([self.udp.as_fd().try_clone_to_owned()?, self.tcp.as_fd().try_clone_to_owned()?])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve_udp(directory: Arc<Directory>, socket: Arc<UdpSocket>, who: Arc<ArcSwap<Who>>) {
    let mut buffer = vec![0; MOST_TCP];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An earlier answer could not be delivered: nothing of this socket is broken.
            Err(error) => {
                debug!(%error, "receiving a DNS question");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let bytes = &buffer[..length];
        let query = match Query::read(bytes) {
            Ok(query) => query,
            Err(Refusal::Silent) => continue,
            Err(Refusal::Code { id, code }) => {
                QUESTIONS.add(&["refused"], 1);
                let _ = socket.send_to(&message::refuse(id, code), client).await;
                continue;
            }
        };
        let asker = who.load_full();
        if let Some(answer) = directory.answer(&query, &asker, query.udp_limit()) {
            let _ = socket.send_to(&answer, client).await;
            continue;
        }
        let (directory, socket, bytes) = (directory.clone(), socket.clone(), bytes.to_vec());
        tokio::spawn(async move {
            let answer = directory.forward(&query, &bytes, &asker, Over::Udp).await;
            let _ = socket.send_to(&answer, client).await;
        });
    }
}

async fn serve_tcp(directory: Arc<Directory>, listener: Arc<TcpListener>, who: Arc<ArcSwap<Who>>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a DNS connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (directory, who) = (directory.clone(), who.clone());
        tokio::spawn(async move {
            let _place = place;
            // Ends with the client or with its silence; neither is worth a word.
            let _ = serve_connection(&directory, stream, &who).await;
        });
    }
}

async fn serve_connection(
    directory: &Directory,
    mut stream: TcpStream,
    who: &ArcSwap<Who>,
) -> io::Result<()> {
    loop {
        let Ok(bytes) = timeout(IDLE, read_message(&mut stream)).await? else { return Ok(()) };
        let answer = match Query::read(&bytes) {
            Err(Refusal::Silent) => return Ok(()),
            Err(Refusal::Code { id, code }) => message::refuse(id, code),
            Ok(query) => {
                let asker = who.load_full();
                match directory.answer(&query, &asker, MOST_TCP) {
                    Some(answer) => answer,
                    None => directory.forward(&query, &bytes, &asker, Over::Tcp).await,
                }
            }
        };
        timeout(IDLE, write_message(&mut stream, &answer)).await??;
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write_message(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    stream.write_all(&out).await
}

async fn ask_udp(server: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let here: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((here, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; MOST_TCP];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if message::answers(&buffer[..length], bytes) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, bytes).await?;
    let answer = read_message(&mut stream).await?;
    if message::answers(&answer, bytes) {
        Ok(answer)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "answer to another question"))
    }
}

/// The servers of the host's own resolver, read again when the file changes.
#[derive(Debug)]
struct HostServers {
    path: PathBuf,
    read: Parked<(Option<SystemTime>, Vec<IpAddr>)>,
}

impl HostServers {
    fn servers(&self) -> Vec<IpAddr> {
        let changed = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        self.read.with(|(known, servers)| {
            if changed.is_none() || *known != changed {
                let text = std::fs::read_to_string(&self.path).unwrap_or_default();
                *servers = servers_in(&text);
                *known = changed;
            }
            servers.clone()
        })
    }
}

fn servers_in(resolv_conf: &str) -> Vec<IpAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect()
}

/// A value behind a lock that is never held across an await.
mod parking {
    use std::sync::{Mutex, PoisonError};

    #[derive(Debug, Default)]
    pub struct Parked<T>(Mutex<T>);

    impl<T> Parked<T> {
        pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
            work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_servers_are_those_of_its_resolv_conf() {
        let text = "# nameserver 1.1.1.1\nnameserver 192.0.2.53\n nameserver\tfe80::1%eth0\n\
                    nameserver 2001:db8::53 # second\nnameservers 9.9.9.9\noptions edns0\n";
        let expected: Vec<IpAddr> =
            ["192.0.2.53", "2001:db8::53"].iter().map(|a| a.parse().expect("one")).collect();
        assert_eq!(servers_in(text), expected);
    }
}
