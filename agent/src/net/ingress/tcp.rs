//! One published TCP port: takes connections, finds each a task, passes bytes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent_core::net::routes::{Place, PublishedPort, Target};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::{Shared, dial, pump};
use crate::metrics;

/// How long a client is kept waiting while no task takes its connection: a lone task that is
/// being replaced is back within this time, and the client notices nothing but the wait.
const HOLD: Duration = Duration::from_secs(5);
/// The shortest pause before all tasks are tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// Targets tried in one round.
const MOST_TARGETS: usize = 8;
/// The pause when no connection can be taken because the process lacks something.
const BREATH: Duration = Duration::from_millis(100);

/// Takes connections until it is stopped.
pub async fn serve(shared: Arc<Shared>, port: PublishedPort, listener: TcpListener) {
    // Where the round begins; not at the same task on every node.
    let turn = Arc::new(AtomicUsize::new(rand::random::<u16>().into()));
    loop {
        let Ok(place) = shared.places.clone().acquire_owned().await else { return };
        let (client, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if is_fatal(&error) {
                    warn!(%port, %error, "a connection could not be taken");
                    sleep(BREATH).await;
                }
                continue;
            }
        };
        let (shared, turn) = (shared.clone(), turn.clone());
        tokio::spawn(async move {
            let _place = place;
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let service = shared.service_at(port);
            metrics::TAKEN.add(&[&service], 1);
            let _open = metrics::OpenConnection::of(&service);
            let taken = Instant::now();
            match find(&shared, port, address, &turn).await {
                Some(task) => {
                    metrics::CONNECTED.observe(&[&service], taken.elapsed().as_secs_f64());
                    if dial::prepare(&client).is_ok() {
                        pump::both_ways(client, task).await;
                    }
                }
                None => {
                    metrics::FAILED.add(&[&service], 1);
                    refuse(&client);
                }
            }
        });
    }
}

/// Errors of one connection are the client's affair; others would come again at once.
fn is_fatal(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// With a reset, as if nobody listened.
fn refuse(client: &TcpStream) {
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
}

async fn find(
    shared: &Shared,
    port: PublishedPort,
    client: SocketAddr,
    turn: &AtomicUsize,
) -> Option<TcpStream> {
    let until = Instant::now() + HOLD;
    let mut changes = shared.changed.subscribe();
    loop {
        changes.borrow_and_update();
        let routes = shared.routes.load_full();
        let published = routes.ports.get(&port)?;
        let targets = &published.targets;
        for target in in_order(shared, targets, turn.fetch_add(1, Ordering::Relaxed)) {
            match dial::tcp(shared, target, client).await {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    metrics::UNREACHED.add(&[&published.service_name], 1);
                    debug!(%port, task = %target.task, %error, "a task was not reached");
                }
            }
            if Instant::now() >= until {
                return None;
            }
        }
        if targets.is_empty() {
            // Only a change can help.
            timeout_at(until, changes.changed()).await.ok()?.ok()?;
        } else {
            let again = (Instant::now() + PAUSE).min(until);
            if timeout_at(again, changes.changed()).await.is_err() && again == until {
                return None;
            }
        }
    }
}

/// All targets in turn, those on nodes that lately did not answer at the end.
fn in_order<'a>(
    shared: &Shared,
    targets: &'a [Target],
    turn: usize,
) -> impl Iterator<Item = &'a Target> {
    let start = if targets.is_empty() { 0 } else { turn % targets.len() };
    let (doubtful, good): (Vec<&Target>, Vec<&Target>) = targets[start..]
        .iter()
        .chain(&targets[..start])
        .partition(|target| suspect_node(target).is_some_and(|node| shared.is_suspect(node)));
    good.into_iter().chain(doubtful).take(MOST_TARGETS)
}

fn suspect_node(target: &Target) -> Option<IpAddr> {
    match target.place {
        Place::Here(_) => None,
        Place::Node { address, .. } => Some(address),
    }
}
