//! Which address other hosts are told, and how addresses are written.

use std::net::{IpAddr, SocketAddr};

use crate::config::PORT;
use crate::transport::resolve;

/// The host's name.
pub(super) fn hostname() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| String::from("unknown"), |name| name.to_string_lossy().into_owned())
}

/// `host:port`, with the port that managers listen on by default.
pub(super) fn with_default_port(text: &str) -> String {
    with_port(text, PORT)
}

/// `host:port` with the port unless the text has one.
pub(super) fn with_port(text: &str, port: u16) -> String {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return SocketAddr::new(ip, port).to_string();
    }
    match text.rsplit_once(':') {
        Some((_, number)) if number.parse::<u16>().is_ok() => text.to_owned(),
        _ => format!("{text}:{port}"),
    }
}

/// The host part of `host:port` or of an address alone.
pub(super) fn host_of(text: &str) -> &str {
    if text.parse::<IpAddr>().is_ok() {
        return text;
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The IP address (perhaps with a port) at which other hosts reach this one: the one that is wanted (an
/// address or an interface), or the one from which `towards` is reached, or the only one there is.
pub(super) async fn advertised(
    wanted: &str,
    towards: Option<&str>,
    listen: SocketAddr,
) -> Result<String, String> {
    if !wanted.is_empty() {
        let host = host_of(wanted);
        if let Ok(ip) = host.parse::<IpAddr>() {
            if ip.is_unspecified() {
                return Err(format!(
                    "the advertised address must be one that other hosts can reach, not {ip}"
                ));
            }
            return Ok(wanted.to_owned());
        }
        return interface(host).map(|ip| wanted.replacen(host, &ip.to_string(), 1));
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen.ip().to_string());
    }
    // No packet is sent: connecting a UDP socket only asks the routing table.
    let towards = towards.unwrap_or("192.0.2.1:9");
    let any: SocketAddr = ([0, 0, 0, 0], 0).into();
    let towards = resolve::addresses(towards).await.unwrap_or_default();
    if let Ok(socket) = tokio::net::UdpSocket::bind(any).await
        && socket.connect(&towards[..]).await.is_ok()
        && let Ok(local) = socket.local_addr()
        && !local.ip().is_unspecified()
    {
        return Ok(local.ip().to_string());
    }
    let all = addresses();
    match &all[..] {
        [(_, only)] => Ok(only.to_string()),
        [] => Err(String::from(
            "this host has no address that others could reach; give one with --advertise-addr",
        )),
        several => {
            let list: Vec<String> =
                several.iter().map(|(name, ip)| format!("{ip} on {name}")).collect();
            Err(format!(
                "could not choose an IP address to advertise since this system has multiple addresses ({}); specify one with --advertise-addr",
                list.join(", ")
            ))
        }
    }
}

/// The IPv4 addresses of this host that are not only its own, with their interfaces.
fn addresses() -> Vec<(String, IpAddr)> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    all.filter_map(|interface| {
        let address = interface.address?;
        let ip = address.as_sockaddr_in()?.ip();
        (!ip.is_loopback()).then_some((interface.interface_name, IpAddr::V4(ip)))
    })
    .collect()
}

fn interface(name: &str) -> Result<IpAddr, String> {
    let found: Vec<IpAddr> =
        addresses().into_iter().filter(|(n, _)| n == name).map(|(_, ip)| ip).collect();
    match &found[..] {
        [only] => Ok(*only),
        [] => Err(format!("{name} is neither an IP address nor an interface with one")),
        _ => Err(format!("interface {name} has more than one address; give the address itself")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_port_is_filled_in() {
        for (text, full, host) in [
            ("10.0.0.1", "10.0.0.1:2377", "10.0.0.1"),
            ("10.0.0.1:99", "10.0.0.1:99", "10.0.0.1"),
            ("m1", "m1:2377", "m1"),
            ("m1:99", "m1:99", "m1"),
            ("fd00::1", "[fd00::1]:2377", "fd00::1"),
            ("[fd00::1]:99", "[fd00::1]:99", "fd00::1"),
        ] {
            assert_eq!(with_default_port(text), full);
            assert_eq!(host_of(text), host);
        }
    }

    #[tokio::test]
    async fn the_advertised_address_is_the_wanted_one_or_that_towards_the_manager() {
        let any: SocketAddr = "0.0.0.0:2377".parse().expect("an address");
        assert_eq!(advertised("10.1.2.3", None, any).await, Ok("10.1.2.3".into()));
        assert!(advertised("lo", None, any).await.is_err(), "loopback reaches nobody");
        assert_eq!(advertised("", Some("127.0.0.1:2377"), any).await, Ok("127.0.0.1".into()));
        let one: SocketAddr = "127.0.0.5:2377".parse().expect("an address");
        assert_eq!(advertised("", None, one).await, Ok("127.0.0.5".into()));
        assert!(advertised("0.0.0.0", None, any).await.is_err());
        assert!(advertised("nosuch0", None, any).await.is_err());
    }
}
