//! Opens a TCP connection to a name: looked up afresh each time, all its addresses tried.
//!
//! In a cluster a name's addresses change from one second to the next, so nothing is remembered.

use std::net::SocketAddr;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::net::TcpStream;

/// One attempt to connect: on a cluster's network an address that is there answers in milliseconds.
const CONNECT: Duration = Duration::from_millis(500);

/// A look-up: the cluster's DNS is on the same host. Less than a caller's own limit, so that the
/// reason gets through.
const LOOK_UP: Duration = Duration::from_millis(800);

/// No connection, so nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    #[error("the name {name} has no address ({reason})")]
    Name { name: String, reason: String },
    #[error("no connection to {name} ({tried})")]
    Connect { name: String, tried: String },
}

/// Connects to any of the name's addresses, in random order, so that callers spread by themselves
/// where the name stands for several.
///
/// # Errors
/// [`DialError`] after every address has been tried.
pub async fn dial(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let name = format!("{host}:{port}");
    let mut tried = Vec::new();
    for address in look_up(host, port).await? {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => tried.push(format!("{address}: {}", plain(&error))),
            Err(_) => tried.push(format!("{address}: no answer in {} ms", CONNECT.as_millis())),
        }
    }
    Err(DialError::Connect { name, tried: tried.join(", ") })
}

/// Every address of the name, in random order.
///
/// # Errors
/// [`DialError::Name`] when there is none.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |reason: String| DialError::Name { name: host.to_owned(), reason };
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| failed(format!("no answer in {} ms", LOOK_UP.as_millis())))?
        .map_err(|error| failed(plain(&error)))?;
    let mut addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(failed("empty answer".to_owned()));
    }
    addresses.shuffle(&mut rand::rng());
    Ok(addresses)
}

/// The error's text without the operating system's number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(text).to_lowercase()
}
