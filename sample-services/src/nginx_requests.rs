//! What nginx answered, counted for Prometheus: a small process beside it.
//!
//! nginx tells of each request in a datagram (method, service, status, seconds: a log format of
//! `nginx`) and hands `/metrics` on to this process. Counters need nobody else: the page has the
//! names that the other services have. Without this process nginx answers all the same.

use std::fs::Permissions;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use tokio::net::{UnixDatagram, UnixListener};

use crate::metrics::Metrics;

/// As what this program is called for it.
pub const NAME: &str = "nginx-requests";

/// The socket on which nginx tells of requests, below its folder.
pub const REQUESTS: &str = "requests.sock";

/// The socket on which nginx asks for the page, below its folder.
pub const PAGE: &str = "page.sock";

/// Methods that get a label of their own; a client may send any word.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"];

/// Longest datagram, bytes: it is a line.
const MAX_DATAGRAM: usize = 2_048;

/// Starts the process. Its socket is open when this returns, so that no request goes untold.
///
/// # Errors
/// The socket or the process cannot be had.
pub fn start_beside(folder: &Path, version: &str) -> anyhow::Result<()> {
    let requests = bind(folder)?;
    let program = std::env::current_exe().context("find this program")?;
    Command::new(program)
        .arg(NAME)
        .env("SAMPLE_VERSION", version)
        .env("NGINX_FOLDER", folder)
        .stdin(Stdio::from(OwnedFd::from(requests)))
        .spawn()
        .context("start it")?;
    Ok(())
}

/// The socket on which nginx tells of requests.
///
/// # Errors
/// It cannot be made.
pub fn bind(folder: &Path) -> anyhow::Result<StdDatagram> {
    let path = folder.join(REQUESTS);
    // Of an earlier start of this container.
    let _ = std::fs::remove_file(&path);
    let socket = StdDatagram::bind(&path).with_context(|| format!("make {}", path.display()))?;
    open_to_all(&path)?;
    Ok(socket)
}

/// nginx's workers run as another user than its master.
fn open_to_all(socket: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(socket, Permissions::from_mode(0o666))
}

/// The process: the datagram socket is its standard input.
///
/// # Errors
/// It was not started by [`start_beside`].
pub fn run() -> anyhow::Result<()> {
    let requests = StdDatagram::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let folder = std::env::var_os("NGINX_FOLDER").context("variable NGINX_FOLDER is not set")?;
    let version = crate::settings::text("SAMPLE_VERSION", "1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(requests, Path::new(&folder).join(PAGE), version))
}

/// Counts what comes in on `requests` and answers at `page`, for ever.
///
/// # Errors
/// A socket cannot be had or breaks.
pub async fn serve(requests: StdDatagram, page: PathBuf, version: String) -> anyhow::Result<()> {
    requests.set_nonblocking(true)?;
    let requests = UnixDatagram::from_std(requests)?;
    // Of an earlier start of this container.
    let _ = std::fs::remove_file(&page);
    let listener = UnixListener::bind(&page).with_context(|| format!("make {}", page.display()))?;
    open_to_all(&page)?;
    let metrics = Arc::new(Metrics::default());
    let shown = Arc::clone(&metrics);
    let router = Router::new().route(
        "/metrics",
        get(move || {
            let text = shown.render("api-gateway", &version);
            std::future::ready(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
        }),
    );
    let counting = async {
        let mut datagram = [0; MAX_DATAGRAM];
        loop {
            let length = requests.recv(&mut datagram).await?;
            count(&metrics, &String::from_utf8_lossy(&datagram[..length]));
        }
    };
    tokio::select! {
        ended = counting => ended,
        ended = async { axum::serve(listener, router).await } => Ok(ended?),
    }
}

/// Takes in one datagram: `<190>Nov 21 12:00:00 n: GET customers 200 0.012`. What does not look like it
/// is not counted.
fn count(metrics: &Metrics, datagram: &str) {
    let Some((_, line)) = datagram.split_once(" n: ") else { return };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [method, service, status, seconds] = words[..] else { return };
    let (Ok(status), Ok(seconds)) = (status.parse(), seconds.parse::<f64>()) else { return };
    let Ok(took) = Duration::try_from_secs_f64(seconds) else { return };
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
    metrics.end(method, service, status, took);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nginx_writes_is_counted() {
        let metrics = Metrics::default();
        for datagram in [
            "<190>Nov 21 12:00:00 n: GET customers 200 0.012",
            "<190>Nov 21 12:00:00 n: GET customers two 0.012",
            "<190>Nov 21 12:00:00 n: GET customers 200 -1",
            "<190>Nov 21 12:00:00 n: GET",
            "something else",
        ] {
            count(&metrics, datagram);
        }
        let text = metrics.render("api-gateway", "1");
        let counted: Vec<_> =
            text.lines().filter(|l| l.starts_with("http_requests_total")).collect();
        assert_eq!(
            counted,
            ["http_requests_total{method=\"GET\",route=\"customers\",status=\"200\"} 1"]
        );
        assert!(!text.contains("in_flight"), "only ends are known");
    }
}
