//! Makes a namespace forget translated connections to backends that have gone.
//!
//! Spoken to the kernel directly (ctnetlink, `linux/netfilter/nfnetlink_conntrack.h`), because the
//! `conntrack` program is rarely installed. Only the fields needed are read: original and reply
//! addresses, the protocol, the TCP state.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use agent_core::net::vip::{Forget, Removed};
use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;

const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
const DUMP: u16 = 0x300;
const AF_INET: u8 = 2;

const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const PROTO_INFO: u16 = 4;
const ID: u16 = 12;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTO_NUMBER: u16 = 1;
const INFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

const PROTOCOL_TCP: u8 = 6;
/// SYN_SENT, TIME_WAIT, CLOSE: nothing flows, but a reused port would be sent to the old backend.
const IDLE_TCP_STATES: [u8; 3] = [1, 7, 8];

/// Deletes what should be forgotten of each removed backend, in the namespace of the calling
/// thread. Gives how many connections that were.
///
/// # Errors
/// When the kernel does not answer; some may have been deleted.
pub fn forget(what: &BTreeMap<Removed, Forget>) -> io::Result<usize> {
    if what.is_empty() {
        return Ok(0);
    }
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send(&message(GET, REQUEST | DUMP, &[]), 0)?;
    let mut doomed = Vec::new();
    'dump: loop {
        let (bytes, _) = socket.recv_from_full()?;
        for (kind, body) in Messages(&bytes) {
            match kind {
                MESSAGE_DONE => break 'dump,
                MESSAGE_ERROR => return Err(error_of(body)),
                _ => {
                    if let Some(flow) = body.get(4..).and_then(Flow::read)
                        && flow.is_doomed(what)
                    {
                        doomed.push(flow.delete_request());
                    }
                }
            }
        }
    }
    for request in &doomed {
        socket.send(request, 0)?;
        let (bytes, _) = socket.recv_from_full()?;
        // Already gone is as good.
        for (kind, body) in Messages(&bytes) {
            if kind == MESSAGE_ERROR {
                let error = error_of(body);
                let code = error.raw_os_error();
                if code != Some(0) && error.kind() != io::ErrorKind::NotFound {
                    return Err(error);
                }
            }
        }
    }
    Ok(doomed.len())
}

struct Flow<'a> {
    original: &'a [u8],
    id: Option<&'a [u8]>,
    wanted: Ipv4Addr,
    backend: Ipv4Addr,
    protocol: u8,
    tcp_state: Option<u8>,
}

impl<'a> Flow<'a> {
    fn read(attributes: &'a [u8]) -> Option<Flow<'a>> {
        let original = find(attributes, ORIGINAL)?;
        let reply = find(attributes, REPLY)?;
        let tcp_state = find(attributes, PROTO_INFO)
            .and_then(|info| find(info, INFO_TCP))
            .and_then(|tcp| find(tcp, TCP_STATE))
            .and_then(|state| state.first().copied());
        Some(Flow {
            original,
            id: find(attributes, ID),
            wanted: address(find(original, TUPLE_IP)?, IP_DESTINATION)?,
            backend: address(find(reply, TUPLE_IP)?, IP_SOURCE)?,
            protocol: *find(find(original, TUPLE_PROTO)?, PROTO_NUMBER)?.first()?,
            tcp_state,
        })
    }

    fn is_doomed(&self, what: &BTreeMap<Removed, Forget>) -> bool {
        match what.get(&Removed { vip: self.wanted, backend: self.backend }) {
            None => false,
            Some(Forget::All) => true,
            Some(Forget::Idle) => {
                self.protocol != PROTOCOL_TCP
                    || self.tcp_state.is_some_and(|state| IDLE_TCP_STATES.contains(&state))
            }
        }
    }

    fn delete_request(&self) -> Vec<u8> {
        let mut attributes = attribute(ORIGINAL | NESTED, self.original);
        if let Some(id) = self.id {
            attributes.extend_from_slice(&attribute(ID, id));
        }
        message(DELETE, REQUEST | ACK, &attributes)
    }
}

fn address(tuple: &[u8], kind: u16) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = find(tuple, kind)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

fn message(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(20 + attributes.len());
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&1u32.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    out.extend_from_slice(&[AF_INET, 0, 0, 0]);
    out.extend_from_slice(attributes);
    out
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(4 + value.len());
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn error_of(body: &[u8]) -> io::Error {
    let code = body.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    io::Error::from_raw_os_error(-code)
}

fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]) & TYPE_MASK;
        if length < 4 || length > rest.len() {
            return None;
        }
        if kind == wanted {
            return rest.get(4..length);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// The messages of one datagram: kind and body.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_ne_bytes(*self.0.first_chunk::<4>()?);
        let length = usize::try_from(length).ok()?;
        if length < 16 || length > self.0.len() {
            return None;
        }
        let kind = u16::from_ne_bytes([self.0[4], self.0[5]]);
        let body = self.0.get(16..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(wanted: [u8; 4], backend: [u8; 4], protocol: u8, state: u8) -> Vec<u8> {
        let ip = |source: [u8; 4], destination: [u8; 4]| {
            [attribute(IP_SOURCE, &source), attribute(IP_DESTINATION, &destination)].concat()
        };
        let proto = attribute(PROTO_NUMBER, &[protocol]);
        let tuple = |ip: Vec<u8>| {
            [attribute(TUPLE_IP | NESTED, &ip), attribute(TUPLE_PROTO | NESTED, &proto)].concat()
        };
        let client = [10, 1, 0, 50];
        let tcp = attribute(TCP_STATE, &[state]);
        [
            attribute(ORIGINAL | NESTED, &tuple(ip(client, wanted))),
            attribute(REPLY | NESTED, &tuple(ip(backend, client))),
            attribute(PROTO_INFO | NESTED, &attribute(INFO_TCP | NESTED, &tcp)),
            attribute(ID, &[0, 0, 0, 9]),
        ]
        .concat()
    }

    #[test]
    fn only_what_cannot_go_on_is_forgotten_while_the_backend_lives() {
        let vip = [10, 1, 0, 5];
        let backend = [10, 1, 0, 10];
        let removed = Removed { vip: vip.into(), backend: backend.into() };
        for (forget, protocol, state, doomed) in [
            (Forget::Idle, 6, 3, false), // established
            (Forget::Idle, 6, 4, false), // closed by one side, the other still sends
            (Forget::Idle, 6, 8, true),
            (Forget::Idle, 17, 0, true),
            (Forget::All, 6, 3, true),
        ] {
            let bytes = flow(vip, backend, protocol, state);
            let flow = Flow::read(&bytes).expect("a flow");
            let what = BTreeMap::from([(removed, forget)]);
            assert_eq!(flow.is_doomed(&what), doomed, "{forget:?} {protocol} {state}");
        }
        let bytes = flow(vip, [10, 1, 0, 11], 6, 8);
        let other = Flow::read(&bytes).expect("a flow");
        assert!(!other.is_doomed(&BTreeMap::from([(removed, Forget::All)])));
    }

    #[test]
    fn damaged_messages_are_left_alone() {
        let good = flow([10, 1, 0, 5], [10, 1, 0, 10], 6, 3);
        for end in 0..good.len() {
            let _ = Flow::read(&good[..end]);
        }
        assert_eq!(Messages(&[0xff; 20]).count(), 0);
        assert!(find(&[1, 0, 1, 0], 1).is_none());
    }
}
