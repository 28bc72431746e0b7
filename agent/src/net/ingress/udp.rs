//! One published UDP port: each client keeps one task while that gets traffic.
//!
//! Datagrams to a task of another node travel over one relayed connection for each client, each
//! preceded by its length. An answer leaves from the address that the client had sent to.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_core::net::relay::Header;
use agent_core::net::routes::{Place, PublishedPort, Target, Transport};
use model::TaskId;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{Shared, dial};
use crate::metrics;

/// The largest datagram.
const MOST_OCTETS: usize = 65_535;
/// Clients of one port at a time; when it is full, the quietest makes room.
const MOST_CLIENTS: usize = 4_096;
/// Datagrams of one client that wait for its task; more are lost, as in any full queue.
const MOST_WAITING: usize = 64;
/// A client that sends and gets nothing for so long is forgotten, as the kernel's own tracking does.
const IDLE: Duration = Duration::from_secs(120);

/// A client, and which of this host's addresses it sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    client: SocketAddr,
    here: Option<Ipv4Addr>,
}

struct Session {
    task: TaskId,
    sender: mpsc::Sender<Vec<u8>>,
    /// Milliseconds after `began`.
    used: Arc<AtomicU64>,
}

/// Has the kernel say with each datagram which address it was sent to. Before `bind`.
///
/// # Errors
/// When the kernel refuses.
pub fn ask_for_destinations(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true).map_err(io::Error::from)?;
    }
    Ok(())
}

/// Takes datagrams until it is stopped.
pub async fn serve(shared: Arc<Shared>, port: PublishedPort, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let began = Instant::now();
    let mut sessions: BTreeMap<Peer, Session> = BTreeMap::new();
    let mut turn = usize::from(rand::random::<u16>());
    let mut buffer = vec![0; MOST_OCTETS];
    loop {
        let (length, peer) = match receive(&socket, &mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%port, %error, "receiving a datagram");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let routes = shared.routes.load_full();
        let Some(targets) = routes.ports.get(&port).map(|port| &port.targets) else { continue };
        let kept = sessions.get(&peer).filter(|session| {
            !session.sender.is_closed() && targets.iter().any(|t| t.task == session.task)
        });
        let datagram = buffer[..length].to_vec();
        if let Some(session) = kept {
            session.used.store(elapsed(began), Ordering::Relaxed);
            // Full: this datagram is lost.
            let _ = session.sender.try_send(datagram);
            continue;
        }
        sessions.remove(&peer);
        if targets.is_empty() {
            continue;
        }
        if sessions.len() >= MOST_CLIENTS {
            sessions.retain(|_, session| !session.sender.is_closed());
            let quietest = sessions
                .iter()
                .min_by_key(|(_, session)| session.used.load(Ordering::Relaxed))
                .map(|(peer, _)| *peer)
                .filter(|_| sessions.len() >= MOST_CLIENTS);
            if let Some(peer) = quietest {
                sessions.remove(&peer);
            }
        }
        turn = turn.wrapping_add(1);
        let target = targets[turn % targets.len()].clone();
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let _ = sender.try_send(datagram);
        let used = Arc::new(AtomicU64::new(elapsed(began)));
        sessions.insert(peer, Session { task: target.task, sender, used });
        metrics::TAKEN.add(&[&shared.service_at(port)], 1);
        let (shared, socket) = (shared.clone(), socket.clone());
        tokio::spawn(async move {
            if let Err(error) = session(&shared, &socket, peer, &target, receiver).await {
                debug!(%port, client = %peer.client, %error, "a UDP client is forgotten");
            }
        });
    }
}

fn elapsed(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Carries one client's datagrams to one task and back until either is silent or gone.
async fn session(
    shared: &Shared,
    socket: &UdpSocket,
    peer: Peer,
    target: &Target,
    mut receiver: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    match target.place {
        Place::Here(dial) => {
            let task = dial::udp(shared, dial, target.port, peer.client).await?;
            let mut buffer = vec![0; MOST_OCTETS];
            loop {
                let event = timeout(IDLE, async {
                    tokio::select! {
                        datagram = receiver.recv() => Ok(datagram.ok_or(0)),
                        received = task.recv(&mut buffer) => received.map(Err),
                    }
                });
                match event.await? {
                    Ok(Ok(datagram)) => {
                        task.send(&datagram).await?;
                    }
                    Ok(Err(0)) if receiver.is_closed() => return Ok(()),
                    Ok(Err(length)) => answer(socket, peer, &buffer[..length]).await?,
                    Err(error) => return Err(error),
                }
            }
        }
        Place::Node { node, address } => {
            let identity = shared.identity.load_full();
            let header = Header {
                transport: Transport::Udp,
                client: peer.client,
                task: target.task,
                port: target.port,
                node,
                nonce: rand::random(),
            };
            let stream = dial::through_relay(shared, &identity, address, &header).await?;
            let (mut from, mut to) = stream.into_split();
            let out = async {
                while let Some(datagram) = timeout(IDLE, receiver.recv()).await? {
                    write_frame(&mut to, &datagram).await?;
                }
                Ok::<(), io::Error>(())
            };
            let back = async {
                loop {
                    let datagram = read_frame(&mut from).await?;
                    answer(socket, peer, &datagram).await?;
                }
            };
            tokio::select! {
                ended = out => ended,
                ended = back => ended,
            }
        }
    }
}

/// The relay's half: frames of the stream are datagrams of the socket.
///
/// # Errors
/// When either is broken; a silent pair is given up too.
pub async fn unframe(stream: TcpStream, socket: UdpSocket) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let out = async {
        loop {
            let datagram = timeout(IDLE, read_frame(&mut from)).await??;
            // Refused by the task just now; the next may be taken.
            let _ = socket.send(&datagram).await;
        }
    };
    let back = async {
        let mut buffer = vec![0; MOST_OCTETS];
        loop {
            match socket.recv(&mut buffer).await {
                Ok(length) => write_frame(&mut to, &buffer[..length]).await?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    };
    tokio::select! {
        ended = out => ended,
        ended = back => ended,
    }
}

async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut datagram = vec![0; usize::from(length)];
    stream.read_exact(&mut datagram).await?;
    Ok(datagram)
}

async fn write_frame(stream: &mut (impl AsyncWriteExt + Unpin), datagram: &[u8]) -> io::Result<()> {
    let length = u16::try_from(datagram.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(datagram);
    stream.write_all(&frame).await
}

async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Peer)> {
    socket
        .async_io(Interest::READABLE, || {
            let mut control = nix::cmsg_space!(nix::libc::in_pktinfo);
            let mut parts = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            )
            .map_err(io::Error::from)?;
            let client = message.address.as_ref().and_then(address_of).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "a datagram without sender")
            })?;
            let mut here = None;
            for part in message.cmsgs().map_err(io::Error::from)? {
                if let ControlMessageOwned::Ipv4PacketInfo(info) = part {
                    here = Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)));
                }
            }
            Ok((message.bytes, Peer { client, here }))
        })
        .await
}

async fn answer(socket: &UdpSocket, peer: Peer, datagram: &[u8]) -> io::Result<()> {
    let (Some(here), SocketAddr::V4(client)) = (peer.here, peer.client) else {
        return socket.send_to(datagram, peer.client).await.map(|_| ());
    };
    let info = nix::libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(here).to_be() },
        ipi_addr: nix::libc::in_addr { s_addr: 0 },
    };
    socket
        .async_io(Interest::WRITABLE, || {
            sendmsg(
                socket.as_raw_fd(),
                &[IoSlice::new(datagram)],
                &[ControlMessage::Ipv4PacketInfo(&info)],
                MsgFlags::MSG_DONTWAIT,
                Some(&SockaddrStorage::from(client)),
            )
            .map_err(io::Error::from)
        })
        .await
        .map(|_| ())
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::new(v4.ip(), v4.port())));
    }
    storage.as_sockaddr_in6().map(|v6| {
        let address = IpAddr::V6(v6.ip()).to_canonical();
        SocketAddr::new(address, v6.port())
    })
}
