//! `ca`: the cluster's certificate authority, shown and rotated.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use model::api::{Node, Swarm, TlsInfo};
use serde_json::Value;

use super::service::nanoseconds;
use crate::client::{CallError, Client};
use crate::output;
use crate::wait::passes;

/// `swarmctl ca`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  swarmctl ca | openssl x509 -noout -enddate\n  \
                        swarmctl ca --rotate\n  \
                        swarmctl ca --rotate --ca-cert root.pem --ca-key root.key\n\n\
                        A rotation waits for every node. One that is away follows when it is back; one \
                        that is lost is removed (swarmctl node rm NAME). No container is restarted. \
                        Join tokens are new when it is over.")]
pub struct CaArgs {
    /// Put another authority in the place of the present one: a new one, or that of --ca-cert
    #[arg(long)]
    rotate: bool,
    /// The certificate, PEM, of the authority that is to follow
    #[arg(long, value_name = "FILE", requires = "rotate", requires = "ca_key")]
    ca_cert: Option<PathBuf>,
    /// Its key, PEM, without a password
    #[arg(long, value_name = "FILE", requires = "rotate", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// How long nodes' certificates are valid from then on, such as 720h
    #[arg(long, value_name = "SPAN", requires = "rotate", value_parser = nanoseconds)]
    cert_expiry: Option<i64>,
    /// Do not wait until every node has followed
    #[arg(short, long, requires = "rotate")]
    detach: bool,
    /// Do not print for whom it waits
    #[arg(short, long, requires = "rotate")]
    quiet: bool,
}

/// Between two looks at how far a rotation has come.
const LOOK: Duration = Duration::from_millis(300);

/// How long a cluster that does not answer is asked again: a leader change takes far less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints the root certificate that nodes trust, after another has taken its place if that is asked.
///
/// # Errors
/// Those of the files and the calls.
pub async fn ca(client: &Client, args: &CaArgs) -> anyhow::Result<()> {
    if args.rotate {
        rotate(client, args).await?;
        if args.detach {
            return Ok(());
        }
        follow(client, args.quiet).await?;
    }
    let swarm: Swarm = client.get("/swarm").await?;
    output::print(&swarm.info.tls_info.trust_root)
}

async fn rotate(client: &Client, args: &CaArgs) -> anyhow::Result<()> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
    };
    let given = match (&args.ca_cert, &args.ca_key) {
        (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
        _ => None,
    };
    let swarm: Swarm = client.get("/swarm").await?;
    let mut spec = swarm.info.spec;
    match given {
        Some((cert, key)) => {
            spec.ca_config.signing_ca_cert = cert;
            spec.ca_config.signing_ca_key = key;
        }
        None => spec.ca_config.force_rotate += 1,
    }
    if let Some(expiry) = args.cert_expiry {
        spec.ca_config.node_cert_expiry = expiry;
    }
    let path = format!("/swarm/update?version={}", swarm.info.version.index);
    let _: Value = client.post(&path, &spec).await?;
    Ok(())
}

/// Waits until every node has followed, and says of each change for whom it still waits.
async fn follow(client: &Client, quiet: bool) -> anyhow::Result<()> {
    let mut said = String::new();
    let mut answered = Instant::now();
    loop {
        let (swarm, nodes) = match look(client).await {
            Ok(seen) => seen,
            Err(error) if passes(&error) && answered.elapsed() < PATIENCE => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(error) => {
                return Err(anyhow::Error::new(error)
                    .context("the rotation was begun and goes on, but is no longer waited for"));
            }
        };
        answered = Instant::now();
        let rotating = swarm.info.root_rotation_in_progress;
        let behind: Vec<&Node> = nodes
            .iter()
            .filter(|node| {
                !has_followed(&node.description.tls_info, &swarm.info.tls_info, rotating)
            })
            .collect();
        if !rotating && behind.is_empty() {
            return Ok(());
        }
        let line = progress(nodes.len(), &behind, rotating);
        if !quiet && line != said {
            eprint!("{line}");
            said = line;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(client: &Client) -> Result<(Swarm, Vec<Node>), CallError> {
    Ok((client.get("/swarm").await?, client.get("/nodes").await?))
}

/// While the rotation runs a new certificate is waited for; then that the old root is forgotten.
fn has_followed(node: &TlsInfo, wanted: &TlsInfo, rotating: bool) -> bool {
    let certificate = node.cert_issuer_public_key == wanted.cert_issuer_public_key
        && node.cert_issuer_subject == wanted.cert_issuer_subject;
    certificate && (rotating || node.trust_root == wanted.trust_root)
}

fn progress(all: usize, behind: &[&Node], rotating: bool) -> String {
    let what = if rotating { "have a certificate of the new authority" } else { "trust only it" };
    let done = all - behind.len();
    let mut text = format!("{done} of {all} nodes {what}");
    if !behind.is_empty() {
        let name = |node: &&Node| match node.status.state.as_str() {
            "ready" => node.description.hostname.clone(),
            state => format!("{} ({state})", node.description.hostname),
        };
        let names: Vec<String> = behind.iter().map(name).collect();
        text += &format!("; waiting for {}", names.join(", "));
    }
    text.push('\n');
    let lost = behind.iter().find(|node| rotating && node.status.state == "down");
    if let Some(node) = lost {
        let name = &node.description.hostname;
        text += &format!(
            "A node that is down follows when it is back; without it: swarmctl node rm {name}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use model::api::{NodeDescription, NodeStatus};

    use super::*;

    fn node(name: &str, state: &str) -> Node {
        Node {
            description: NodeDescription {
                hostname: name.to_owned(),
                ..NodeDescription::default()
            },
            status: NodeStatus { state: state.to_owned(), ..NodeStatus::default() },
            ..Node::default()
        }
    }

    #[test]
    fn who_is_waited_for_is_named_and_what_to_do_about_it() {
        let (one, lost) = (node("w1", "ready"), node("w2", "down"));
        assert_eq!(
            progress(3, &[&one, &lost], true),
            "1 of 3 nodes have a certificate of the new authority; waiting for w1, w2 (down)\n\
             A node that is down follows when it is back; without it: swarmctl node rm w2\n"
        );
        assert_eq!(progress(3, &[&one], false), "2 of 3 nodes trust only it; waiting for w1\n");
        assert_eq!(
            progress(2, &[], true),
            "2 of 2 nodes have a certificate of the new authority\n"
        );
    }
}
