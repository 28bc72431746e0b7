//! Host names to addresses, by `/etc/hosts` and the servers of `/etc/resolv.conf`.
//!
//! Not asked of the C library: in a static program it crashes on hosts whose name service is set up with
//! modules (multicast DNS, containers of systemd), which it would have to load.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::{TcpStream, UdpSocket};

/// How long one server may take.
const SERVER: Duration = Duration::from_secs(2);
/// The largest answer over UDP.
const DATAGRAM: usize = 4096;

/// Connects to `host:port`, trying every address of the host in turn.
///
/// # Errors
/// The last address's, or that the name has none.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = None;
    for address in addresses(address).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

/// The addresses of `host:port`.
///
/// # Errors
/// When it is no `host:port`, or the name has no address.
pub async fn addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("a port is missing"))?;
    let port: u16 = port.parse().map_err(|_| wrong("the port is no number"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ips = match host.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => lookup(host).await?,
    };
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let known = in_hosts(&read("/etc/hosts"), host);
    if !known.is_empty() {
        return Ok(known);
    }
    if host == "localhost" {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let settings = Settings::read(&read("/etc/resolv.conf"));
    for name in settings.names(host) {
        for server in &settings.servers {
            let (four, six) = tokio::join!(
                ask(*server, &name, RecordType::A),
                ask(*server, &name, RecordType::AAAA)
            );
            let found: Vec<IpAddr> =
                four.into_iter().flatten().chain(six.into_iter().flatten()).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no address is known for {host}")))
}

async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> io::Result<Vec<IpAddr>> {
    let name = Name::from_utf8(name).map_err(io::Error::other)?;
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, kind));
    let bytes = query.to_vec().map_err(io::Error::other)?;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; DATAGRAM];
    let answer = async {
        loop {
            let length = socket.recv(&mut buffer).await?;
            if let Ok(message) = Message::from_vec(&buffer[..length])
                && message.metadata.id == query.metadata.id
            {
                return Ok::<_, io::Error>(message);
            }
        }
    };
    let message = tokio::time::timeout(SERVER, answer)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        })
        .collect())
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace();
        if let Some(Ok(ip)) = words.next().map(str::parse)
            && words.any(|name| name.eq_ignore_ascii_case(host))
        {
            found.push(ip);
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Settings {
    fn read(text: &str) -> Settings {
        let mut settings = Settings { servers: Vec::new(), search: Vec::new() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|ip| ip.parse::<IpAddr>().ok());
                    settings.servers.extend(server.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("search" | "domain") => settings.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        settings
    }

    /// The full names to ask for: a name with a dot as it is first, one without with the domains first.
    fn names(&self, host: &str) -> Vec<String> {
        let bare = host.trim_end_matches('.');
        let whole = format!("{bare}.");
        if host.ends_with('.') {
            return vec![whole];
        }
        let searched = self.search.iter().map(|d| format!("{bare}.{}.", d.trim_end_matches('.')));
        let mut names: Vec<String> = if bare.contains('.') {
            std::iter::once(whole).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(whole)).collect()
        };
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_resolver_settings_are_read() {
        let hosts = "127.0.0.1 localhost\n10.0.0.2\tm1.lan M1 # first\nfd00::2 m1\nbad m1\n";
        let both: Vec<IpAddr> = ["10.0.0.2", "fd00::2"].map(|ip| ip.parse().expect("an ip")).into();
        assert_eq!(in_hosts(hosts, "m1"), both);
        assert_eq!(in_hosts(hosts, "first"), Vec::<IpAddr>::new());
        let settings =
            Settings::read("# x\nnameserver 9.9.9.9\nnameserver ::1\nsearch lan home.\n");
        assert_eq!(settings.servers.len(), 2);
        assert_eq!(settings.names("m1"), ["m1.lan.", "m1.home.", "m1."]);
        assert_eq!(settings.names("a.b"), ["a.b.", "a.b.lan.", "a.b.home."]);
        assert_eq!(settings.names("m1."), ["m1."]);
    }

    #[tokio::test]
    async fn an_address_needs_no_server() {
        let plain = addresses("[::1]:99").await.expect("an address");
        assert_eq!(plain, ["[::1]:99".parse().expect("an address")]);
        assert!(
            addresses("localhost:1").await.expect("known").iter().any(|a| a.ip().is_loopback())
        );
        assert!(addresses("m1").await.is_err());
    }
}
