//! Loads nftables rule sets, each as one transaction, through `nft -f -`.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use super::KernelError;
use super::netns::{Netns, Threads};

/// Where `nft` may be when the path of the process does not name it.
const PLACES: [&str; 4] = ["nft", "/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"];

/// Loads a rule set into this process's own namespace.
///
/// # Errors
/// [`KernelError::Rules`] with what `nft` says; the old rules hold then.
pub async fn load_here(text: String) -> Result<(), KernelError> {
    let outcome = tokio::task::spawn_blocking(move || load(&text))
        .await
        .unwrap_or_else(|e| Err(io::Error::other(e)));
    judge(outcome)
}

/// Loads a rule set into a namespace.
///
/// # Errors
/// As [`load_here`].
pub async fn load_inside(
    threads: &Threads,
    netns: &Netns,
    text: String,
) -> Result<(), KernelError> {
    judge(threads.inside(netns, move || load(&text)).await)
}

fn judge(outcome: io::Result<Option<String>>) -> Result<(), KernelError> {
    match outcome {
        Ok(None) => Ok(()),
        Ok(Some(message)) => Err(KernelError::Rules { message }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(KernelError::NoNft),
        Err(source) => Err(KernelError::Io { what: "running nft".into(), source }),
    }
}

/// `Some`: what nft has against it. A child starts in the namespace of the thread that starts it.
fn load(text: &str) -> io::Result<Option<String>> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in PLACES {
        let started = Command::new(place)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                last = e;
                continue;
            }
            Err(e) => return Err(e),
        };
        let written =
            child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(None);
        }
        written?;
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().next().unwrap_or("no message").to_owned();
        return Ok(Some(first));
    }
    Err(last)
}
