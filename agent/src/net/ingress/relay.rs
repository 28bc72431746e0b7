//! Takes connections that other agents hand over for tasks of this node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use agent_core::net::relay::{CODE, HEADER, Header, SIGNED, Status};
use agent_core::net::routes::{Place, Target, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Shared, dial, pump, udp};

/// How long an agent may take to say what it wants.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);
/// The pause when no connection can be taken because the process lacks something.
const BREATH: Duration = Duration::from_millis(100);

/// Takes connections until it is stopped.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok(place) = shared.places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a relayed connection could not be taken");
                sleep(BREATH).await;
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = relay(&shared, stream).await {
                debug!(%error, "a relayed connection ended early");
            }
        });
    }
}

async fn relay(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    dial::prepare(&stream)?;
    let mut bytes = [0; HEADER];
    timeout(HEADER_PATIENCE, stream.read_exact(&mut bytes)).await??;
    let (signed, code) = bytes.split_at(SIGNED);
    let identity = shared.identity.load_full();
    let header = match <&[u8; SIGNED]>::try_from(signed) {
        Ok(signed) if code.len() == CODE && dial::is_signed(&identity.relay_key, signed, code) => {
            Header::read(signed)
        }
        Ok(_) | Err(_) => None,
    };
    let Some(header) = header else { return stream.write_u8(Status::Denied as u8).await };
    let routes = shared.routes.load_full();
    let task = routes.local.get(&header.task).filter(|task| {
        header.node == identity.node && task.ports.contains(&(header.transport, header.port))
    });
    let Some(task) = task else { return stream.write_u8(Status::NoTask as u8).await };
    let target = Target { task: header.task, place: Place::Here(task.dial), port: header.port };
    match header.transport {
        Transport::Tcp => match dial::tcp(shared, &target, header.client).await {
            Ok(task) => {
                stream.write_u8(Status::Connected as u8).await?;
                pump::both_ways(stream, task).await;
                Ok(())
            }
            Err(error) => {
                debug!(task = %header.task, %error, "a task was not reached");
                stream.write_u8(Status::Refused as u8).await
            }
        },
        Transport::Udp => match dial::udp(shared, task.dial, header.port, header.client).await {
            Ok(socket) => {
                stream.write_u8(Status::Connected as u8).await?;
                udp::unframe(stream, socket).await
            }
            Err(error) => {
                debug!(task = %header.task, %error, "a task was not reached");
                stream.write_u8(Status::Refused as u8).await
            }
        },
    }
}
