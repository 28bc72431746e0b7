//! The header with which one agent hands a client's connection to the agent on the task's node.
//!
//! Fixed size, so that it is read at once: magic, transport, client, task, port, the node that is
//! meant, a random number, and at the end an HMAC-SHA-256 of all before it under the cluster's
//! relay key (made and checked by the shell). The relay answers one octet ([`Status`]); only after
//! [`Status::Connected`] do bytes of the client follow, so a refusal costs the client nothing.
//! For UDP each datagram is preceded by its length, two octets, big end first.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use model::{Id, NodeId, TaskId};

use super::routes::Transport;

/// First octets; the digit is the version.
const MAGIC: [u8; 4] = *b"swr1";
/// Octets before the code that authenticates them.
pub const SIGNED: usize = 4 + 1 + 16 + 2 + 16 + 2 + 16 + 16;
/// Octets of the code.
pub const CODE: usize = 32;
/// Octets in all.
pub const HEADER: usize = SIGNED + CODE;

/// Whose connection it is and where it should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub transport: Transport,
    pub client: SocketAddr,
    pub task: TaskId,
    /// Inside the container.
    pub port: u16,
    /// The node that should take it.
    pub node: NodeId,
    pub nonce: [u8; 16],
}

/// How the relay answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Connected = 0,
    /// The task did not take the connection.
    Refused = 1,
    /// No such task, or it does not publish the port, or another node is meant.
    NoTask = 2,
    /// The code is wrong.
    Denied = 3,
    /// Too many connections.
    Busy = 4,
}

impl Status {
    /// Reads an answer.
    #[must_use]
    pub fn read(octet: u8) -> Option<Status> {
        [Status::Connected, Status::Refused, Status::NoTask, Status::Denied, Status::Busy]
            .into_iter()
            .find(|status| *status as u8 == octet)
    }
}

impl Header {
    /// The octets that are to be signed.
    #[must_use]
    pub fn write(&self) -> [u8; SIGNED] {
        let mut out = [0; SIGNED];
        let address = match self.client.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let transport = match self.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        };
        let mut at = 0;
        for part in [
            &MAGIC[..],
            &[transport],
            &address.octets(),
            &self.client.port().to_be_bytes(),
            &self.task.0.0.to_be_bytes(),
            &self.port.to_be_bytes(),
            &self.node.0.0.to_be_bytes(),
            &self.nonce,
        ] {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        out
    }

    /// Reads what [`Header::write`] wrote; `None` when it is something else.
    #[must_use]
    pub fn read(bytes: &[u8; SIGNED]) -> Option<Header> {
        let mut rest = &bytes[..];
        if take::<4>(&mut rest)? != MAGIC {
            return None;
        }
        let transport = match take::<1>(&mut rest)? {
            [6] => Transport::Tcp,
            [17] => Transport::Udp,
            _ => return None,
        };
        let address = IpAddr::V6(Ipv6Addr::from(take::<16>(&mut rest)?)).to_canonical();
        let client = SocketAddr::new(address, u16::from_be_bytes(take(&mut rest)?));
        let task = TaskId(Id(u128::from_be_bytes(take(&mut rest)?)));
        let port = u16::from_be_bytes(take(&mut rest)?);
        let node = NodeId(Id(u128::from_be_bytes(take(&mut rest)?)));
        Some(Header { transport, client, task, port, node, nonce: take(&mut rest)? })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_reads_back(
            v6: bool, udp: bool, address: u128, client: u16, task: u128, port: u16, node: u128,
            nonce: [u8; 16],
        ) {
            let ip = if v6 {
                IpAddr::V6(Ipv6Addr::from(address | 1 << 127))
            } else {
                IpAddr::V4(std::net::Ipv4Addr::from((address & 0xffff_ffff) as u32))
            };
            let header = Header {
                transport: if udp { Transport::Udp } else { Transport::Tcp },
                client: SocketAddr::new(ip, client),
                task: TaskId(Id(task)),
                port,
                node: NodeId(Id(node)),
                nonce,
            };
            prop_assert_eq!(Header::read(&header.write()), Some(header));
        }

        #[test]
        fn anything_else_is_no_header(bytes in proptest::collection::vec(any::<u8>(), SIGNED)) {
            let bytes: [u8; SIGNED] = bytes.try_into().expect("the size");
            if bytes[..4] != MAGIC {
                prop_assert_eq!(Header::read(&bytes), None);
            }
        }
    }

    #[test]
    fn an_answer_is_one_of_five() {
        for octet in 0..=u8::MAX {
            assert_eq!(
                Status::read(octet).map(|status| status as u8),
                (octet < 5).then_some(octet)
            );
        }
    }
}
