//! Sends back what comes in, over TCP and UDP.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

/// # Errors
/// When the address cannot be listened on.
pub async fn tcp(address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            // A client that breaks off is no news in a test.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

/// # Errors
/// When the address cannot be listened on.
pub async fn udp(address: SocketAddr) -> std::io::Result<()> {
    let socket = UdpSocket::bind(address).await?;
    let mut datagram = vec![0; 65_536];
    loop {
        let (length, peer) = socket.recv_from(&mut datagram).await?;
        let _ = socket.send_to(&datagram[..length], peer).await;
    }
}
