//! Passes sockets from one process to the next over a Unix socket (`SCM_RIGHTS`).
//!
//! In chunks: four octets of length with the descriptors attached, then as many octets of JSON that
//! say what each descriptor is. A chunk without descriptors is the last.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::ingress::Door;

/// Descriptors in one message; the kernel's limit is 253.
const CHUNK: usize = 128;
/// Octets of the description of one chunk.
const MOST_OCTETS: u32 = 1 << 20;

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Handed {
    Door(Door),
    DnsUdp { netns: u64 },
    DnsTcp { netns: u64 },
}

/// Sends sockets; blocks.
///
/// # Errors
/// When the other side goes away: nothing is lost, this process still has all of them.
pub fn send(stream: &mut UnixStream, sockets: &[(Handed, OwnedFd)]) -> io::Result<()> {
    for chunk in sockets.chunks(CHUNK).chain([&[][..]]) {
        let what: Vec<Handed> = chunk.iter().map(|(what, _)| *what).collect();
        let text = serde_json::to_vec(&what).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_be_bytes();
        let files: Vec<RawFd> = chunk.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&files)];
        let control = if files.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(&length)],
            control,
            MsgFlags::empty(),
            None,
        )
        .map_err(io::Error::from)?;
        stream.write_all(&text)?;
    }
    Ok(())
}

/// Takes sockets until the last has come; blocks.
///
/// # Errors
/// When the other side goes away or says something else.
pub fn receive(stream: &mut UnixStream) -> io::Result<Vec<(Handed, OwnedFd)>> {
    let mut all = Vec::new();
    loop {
        let (length, files) = receive_files(stream)?;
        if length > MOST_OCTETS {
            return Err(wrong());
        }
        let mut text = vec![0; length as usize];
        stream.read_exact(&mut text)?;
        let what: Vec<Handed> = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if what.len() != files.len() {
            return Err(wrong());
        }
        if what.is_empty() {
            return Ok(all);
        }
        all.extend(what.into_iter().zip(files));
    }
}

#[allow(unsafe_code)] // the only way to own a descriptor that has just arrived
fn receive_files(stream: &UnixStream) -> io::Result<(u32, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let mut control = nix::cmsg_space!([RawFd; CHUNK]);
    let mut parts = [IoSliceMut::new(&mut length)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)
        .map_err(io::Error::from)?;
    let mut files = Vec::new();
    for part in message.cmsgs().map_err(io::Error::from)? {
        if let ControlMessageOwned::ScmRights(list) = part {
            // SAFETY: the kernel has just made these descriptors for us and nobody else has them.
            files.extend(list.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.bytes != 4 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((u32::from_be_bytes(length), files))
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not what a data plane hands over")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listening_socket_goes_on_on_the_other_side() {
        let (mut one, mut other) = UnixStream::pair().expect("a pair");
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for netns in 0..200 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
            addresses.push(listener.local_addr().expect("its address"));
            sockets.push((Handed::DnsTcp { netns }, OwnedFd::from(listener)));
        }
        let sender = std::thread::spawn(move || send(&mut one, &sockets).expect("sent"));
        let received = receive(&mut other).expect("received");
        sender.join().expect("no panic");
        assert_eq!(received.len(), 200);
        for (expected, (number, (what, fd))) in addresses.iter().zip((0u64..).zip(received)) {
            assert_eq!(what, Handed::DnsTcp { netns: number });
            let listener = TcpListener::from(fd);
            assert_eq!(listener.local_addr().expect("its address"), *expected);
            let _client = TcpStream::connect(expected).expect("connected");
            listener.accept().expect("accepted");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let (mut one, mut other) = UnixStream::pair().expect("a pair");
        one.write_all(&[0xff; 64]).expect("written");
        assert!(receive(&mut other).is_err());
    }
}
