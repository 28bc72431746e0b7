//! Passes bytes between two connections until both sides have said their last.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

/// Octets read at once, each way: enough for a page, small enough for many idle connections.
const BUFFER: usize = 16 * 1024;

/// Passes bytes both ways. The end of one direction is passed on and the other goes on; a broken
/// connection breaks the other.
pub async fn both_ways(mut one: TcpStream, mut other: TcpStream) {
    if copy_bidirectional_with_sizes(&mut one, &mut other, BUFFER, BUFFER).await.is_err() {
        // A reset, so that neither side takes what it has for the whole.
        for stream in [&one, &other] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
