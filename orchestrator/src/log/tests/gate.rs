//! A TCP relay in front of a manager that can be closed, so that tests can cut a network.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Gate {
    pub(super) address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Gate {
    /// An open gate before `inner`.
    pub(super) async fn before(inner: SocketAddr) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                tokio::spawn(relay(outside, inner, state.clone()));
            }
        });
        Gate { address, open }
    }

    /// Ends every connection, lets no new one through.
    pub(super) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn relay(mut outside: TcpStream, inner: SocketAddr, mut open: watch::Receiver<bool>) {
    if !*open.borrow_and_update() {
        return;
    }
    let Ok(mut inside) = TcpStream::connect(inner).await else { return };
    // Neither delay what the ends want sent at once.
    let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut outside, &mut inside) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
