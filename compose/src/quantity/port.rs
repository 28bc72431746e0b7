//! Published ports in their short form: `[address:][published:]target[/protocol]`, with ranges.

use std::net::IpAddr;

/// One port of a short form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortPort {
    /// Empty: every address.
    pub host_ip: String,
    /// None: one is chosen.
    pub published: Option<u16>,
    pub target: u16,
    pub protocol: &'static str,
}

/// Ports that a short form stands for: one, or one for each of a range.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Vec<ShortPort>, PortError> {
    let (address, published, target) = parts(text);
    let (target, protocol) = match target.split_once('/') {
        Some((target, protocol)) => (target, protocol.to_ascii_lowercase()),
        None => (target, "tcp".to_owned()),
    };
    if target.is_empty() {
        return Err(PortError::NoTarget);
    }
    let protocol = match protocol.as_str() {
        "tcp" | "" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err(PortError::Protocol(protocol)),
    };
    let address = match address.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').ok_or_else(|| PortError::Address(address.to_owned()))?
        }
        None => address,
    };
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(PortError::Address(address.to_owned()));
    }
    let (first, last) = range(target)?;
    let made =
        |target, published| ShortPort { host_ip: address.to_owned(), published, target, protocol };
    if published.is_empty() {
        return Ok((first..=last).map(|target| made(target, None)).collect());
    }
    let (from, to) = range(published)?;
    if last - first == to - from {
        return Ok((first..=last)
            .zip(from..=to)
            .map(|(target, published)| made(target, zero_is_any(published)))
            .collect());
    }
    if first == last {
        return Ok((from..=to).map(|p| made(first, zero_is_any(p))).collect());
    }
    Err(PortError::Ranges { target: target.to_owned(), published: published.to_owned() })
}

/// Why a text is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("the container's port is missing")]
    NoTarget,
    #[error("`{0}` is not a port")]
    Number(String),
    #[error("the range `{0}` runs backwards")]
    Backwards(String),
    #[error("the ranges {published} and {target} have different lengths")]
    Ranges { target: String, published: String },
    #[error("there is no protocol `{0}`")]
    Protocol(String),
    #[error("`{0}` is not an IP address")]
    Address(String),
}

/// What a message calls an acceptable port.
pub const ALLOWED: &str = "[address:][published:]target[/tcp|udp|sctp], ports from 1 to 65535 or ranges such as 8000-8010";

fn zero_is_any(port: u16) -> Option<u16> {
    (port != 0).then_some(port)
}

fn parts(text: &str) -> (&str, &str, &str) {
    let Some((rest, target)) = text.rsplit_once(':') else { return ("", "", text) };
    match rest.rsplit_once(':') {
        Some((address, published)) => (address, published, target),
        None => ("", rest, target),
    }
}

fn range(text: &str) -> Result<(u16, u16), PortError> {
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| PortError::Number(text.to_owned()))
    };
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                Err(PortError::Backwards(text.to_owned()))
            } else {
                Ok((first, last))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        parse(text)
            .expect(text)
            .iter()
            .map(|p| {
                let published = p.published.map_or("-".to_owned(), |p| p.to_string());
                format!("{}|{published}|{}|{}", p.host_ip, p.target, p.protocol)
            })
            .collect()
    }

    #[test]
    fn short_ports_name_every_port_they_mean() {
        assert_eq!(read("80"), ["|-|80|tcp"]);
        assert_eq!(read("8080:80/UDP"), ["|8080|80|udp"]);
        assert_eq!(read("127.0.0.1:8080:80"), ["127.0.0.1|8080|80|tcp"]);
        assert_eq!(read("[::1]:1:2"), ["::1|1|2|tcp"]);
        assert_eq!(read("127.0.0.1::80"), ["127.0.0.1|-|80|tcp"]);
        assert_eq!(read("1-2:3-4"), ["|1|3|tcp", "|2|4|tcp"]);
        assert_eq!(read("1-2:3"), ["|1|3|tcp", "|2|3|tcp"]);
        for bad in ["", ":80:", "x", "1:2:3:4", "80/icmp", "2-1", "1-3:1-2", "70000", "-1", " 80"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
