//! Connects to one task: directly when it is here, through its node's agent when it is not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use agent_core::net::relay::{Header, SIGNED, Status};
use agent_core::net::routes::{Dial, Place, Source, Target, Transport};
use hmac::{Hmac, KeyInit, Mac};
use nix::sys::socket::{setsockopt, sockopt};
use sha2::Sha256;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use tracing::debug;

use super::{Identity, Shared};

/// How long a task or a node may take to accept a connection. A lost first packet is repeated
/// after a second, so less would give up on a network that only hiccups.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1_200);
/// From the client's address it is either quick or impossible.
const TRANSPARENT_PATIENCE: Duration = Duration::from_millis(500);
/// How long the relay may take to answer: it connects in the meantime.
const RELAY_PATIENCE: Duration = Duration::from_millis(2_000);
/// A peer that vanished without a word is noticed after two minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_TRIES: u32 = 3;

/// Connects a client to a target over TCP.
///
/// # Errors
/// Nothing of the client has been sent; another target may be tried.
pub async fn tcp(shared: &Shared, target: &Target, client: SocketAddr) -> io::Result<TcpStream> {
    match target.place {
        Place::Here(dial) => {
            let to = SocketAddr::from((dial.address, target.port));
            let keep = dial.source == Source::Client
                && shared.routes.load().can_keep(client.ip())
                && !shared.is_plain(target.task);
            if keep && let IpAddr::V4(from) = client.ip() {
                match timeout(TRANSPARENT_PATIENCE, tcp_from(from, to)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    // The task is there and says no: from another address it would too.
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        return Err(error);
                    }
                    Ok(Err(error)) => debug!(%client, %error, "the client's address is not kept"),
                    Err(_) => debug!(%client, "the client's address is not kept: no answer"),
                }
                let stream = connect(to).await?;
                // It works from here and not from there.
                shared.use_plain(target.task);
                return Ok(stream);
            }
            connect(to).await
        }
        Place::Node { node, address } => {
            let identity = shared.identity.load_full();
            let header = Header {
                transport: Transport::Tcp,
                client,
                task: target.task,
                port: target.port,
                node,
                nonce: rand::random(),
            };
            through_relay(shared, &identity, address, &header).await
        }
    }
}

/// A stream to the agent of the task's node, already connected to the task.
///
/// # Errors
/// Nothing of the client has been sent; another target may be tried.
pub async fn through_relay(
    shared: &Shared,
    identity: &Identity,
    address: IpAddr,
    header: &Header,
) -> io::Result<TcpStream> {
    let outcome = ask_relay(identity, address, header).await;
    if let Err(error) = &outcome
        && error.kind() == io::ErrorKind::TimedOut
    {
        shared.suspect(address);
    }
    outcome
}

async fn ask_relay(identity: &Identity, address: IpAddr, header: &Header) -> io::Result<TcpStream> {
    let mut stream = connect((address, identity.relay_port).into()).await?;
    let signed = header.write();
    let mut bytes = signed.to_vec();
    bytes.extend_from_slice(&sign(&identity.relay_key, &signed));
    let answer = timeout(RELAY_PATIENCE, async {
        stream.write_all(&bytes).await?;
        stream.read_u8().await
    })
    .await??;
    match Status::read(answer) {
        Some(Status::Connected) => Ok(stream),
        Some(Status::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
        Some(status) => Err(io::Error::other(format!("the relay says {status:?}"))),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "no relay answers there")),
    }
}

/// The code that goes with a header.
#[must_use]
pub fn sign(key: &[u8], signed: &[u8; SIGNED]) -> [u8; 32] {
    let mut mac = mac(key);
    mac.update(signed);
    mac.finalize().into_bytes().into()
}

/// Whether a code is the right one, in constant time.
#[must_use]
pub fn is_signed(key: &[u8], signed: &[u8; SIGNED], code: &[u8]) -> bool {
    let mut mac = mac(key);
    mac.update(signed);
    !key.is_empty() && mac.verify_slice(code).is_ok()
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length")
}

/// A datagram socket to a task of this node, from the client's address where that works.
///
/// # Errors
/// When no socket is to be had.
pub async fn udp(
    shared: &Shared,
    dial: Dial,
    port: u16,
    client: SocketAddr,
) -> io::Result<UdpSocket> {
    let to = SocketAddr::from((dial.address, port));
    if dial.source == Source::Client
        && shared.routes.load().can_keep(client.ip())
        && let IpAddr::V4(from) = client.ip()
    {
        let from = SocketAddr::from((from, client.port()));
        match transparent(Type::DGRAM, Protocol::UDP, from) {
            Ok(socket) => {
                let socket = UdpSocket::from_std(socket.into())?;
                socket.connect(to).await?;
                return Ok(socket);
            }
            Err(error) => debug!(%client, %error, "the client's address is not kept"),
        }
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// What every connection of the proxy wants: no waiting for more, and to notice a dead peer.
///
/// # Errors
/// When the socket is closed already.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_EVERY)
            .with_retries(KEEPALIVE_TRIES),
    )
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_PATIENCE, TcpStream::connect(to)).await??;
    prepare(&stream)?;
    Ok(stream)
}

async fn tcp_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    // The kernel chooses the port: the client's own may still be in use for an earlier connection.
    let socket = transparent(Type::STREAM, Protocol::TCP, (from, 0).into())?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(to).await?;
    prepare(&stream)?;
    Ok(stream)
}

fn transparent(kind: Type, protocol: Protocol, from: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_ip_transparent_v4(true)?;
    if from.port() == 0 {
        // With the destination known the kernel can give the same port for several of them.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true).map_err(io::Error::from)?;
    } else {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&from.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_counts_only_with_the_clusters_own_code() {
        let signed = [7; SIGNED];
        let code = sign(b"key", &signed);
        assert!(is_signed(b"key", &signed, &code));
        assert!(!is_signed(b"other", &signed, &code));
        let mut changed = signed;
        changed[20] ^= 1;
        assert!(!is_signed(b"key", &changed, &code));
        assert!(!is_signed(b"", &signed, &sign(b"", &signed)));
    }
}
