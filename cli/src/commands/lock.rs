//! `autolock`, `unlock-key`, `unlock`: managers that need a key after a restart.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster::Swarm;
use crate::client::Client;
use crate::terminal::Hidden;

/// `swarmctl autolock`
#[derive(Debug, Args)]
pub struct AutolockArgs {
    #[arg(value_enum)]
    wanted: Wanted,
}

/// `swarmctl unlock-key`
#[derive(Debug, Args)]
pub struct UnlockKeyArgs {
    /// Make a new key; managers that are away go on asking for the old one until they have been back
    #[arg(long)]
    rotate: bool,
    /// Only the key
    #[arg(short, long)]
    quiet: bool,
}

/// `swarmctl unlock`
#[derive(Debug, Args)]
pub struct UnlockArgs {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// A manager that was restarted waits for the key
    On,
    /// Managers start by themselves
    Off,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Key {
    unlock_key: String,
}

/// Locks managers, or does not.
///
/// # Errors
/// Those of the calls.
pub async fn autolock(client: &Client, args: &AutolockArgs) -> anyhow::Result<()> {
    let mut swarm: Swarm = client.get("/swarm").await?;
    let on = args.wanted == Wanted::On;
    swarm.spec["EncryptionConfig"]["AutoLockManagers"] = Value::Bool(on);
    let path = format!("/swarm/update?version={}", swarm.version.index);
    let _: Value = client.post(&path, &swarm.spec).await?;
    if on {
        return show(client).await;
    }
    crate::output::print("Managers start without a key.\n")
}

/// Prints, or renews, the key.
///
/// # Errors
/// Those of the calls; when managers are not locked.
pub async fn unlock_key(client: &Client, args: &UnlockKeyArgs) -> anyhow::Result<()> {
    if args.rotate {
        let swarm: Swarm = client.get("/swarm").await?;
        // The API takes it, as Docker's does, and does nothing.
        if swarm.spec["EncryptionConfig"]["AutoLockManagers"] != true {
            bail!("managers are not locked by a key, so there is none to rotate");
        }
        let path =
            format!("/swarm/update?version={}&rotateManagerUnlockKey=true", swarm.version.index);
        let _: Value = client.post(&path, &swarm.spec).await?;
    }
    if args.quiet {
        return crate::output::print(&format!("{}\n", key(client).await?));
    }
    show(client).await
}

/// Gives this host's manager the key.
///
/// # Errors
/// Those of the calls; when the key is not the right one.
pub async fn unlock(client: &Client, _: &UnlockArgs) -> anyhow::Result<()> {
    let info: Value = client.get("/info").await?;
    match info["Swarm"]["LocalNodeState"].as_str() {
        Some("locked") => {}
        Some("inactive") | None => bail!("this host is not a node of a cluster"),
        Some(_) => bail!("the manager of this host is not locked"),
    }
    let unlock_key = tokio::task::spawn_blocking(read_key).await.context("reading the key")??;
    let _: Value = client.post("/swarm/unlock", &Key { unlock_key }).await?;
    crate::output::print("Unlocked.\n")
}

/// A line of standard input; a terminal does not show it.
fn read_key() -> anyhow::Result<String> {
    let hidden = Hidden::enter();
    if std::io::stdin().is_terminal() {
        eprint!("Unlock key: ");
        std::io::stderr().flush()?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    if hidden.is_some() {
        eprintln!();
    }
    let key = line.trim();
    if key.is_empty() {
        bail!("no key was given");
    }
    Ok(key.to_owned())
}

async fn key(client: &Client) -> anyhow::Result<String> {
    let Key { unlock_key } = client.get("/swarm/unlockkey").await?;
    if unlock_key.is_empty() {
        bail!("managers are not locked, so there is no key (swarmctl autolock on)");
    }
    Ok(unlock_key)
}

/// The key, and what it is for.
pub(super) async fn show(client: &Client) -> anyhow::Result<()> {
    let key = key(client).await?;
    crate::output::print(&format!(
        "A manager that is restarted waits for this key (swarmctl unlock on its host):\n\n    {key}\n\n\
         Keep it where you keep passwords. Without it a manager's data cannot be read any more.\n"
    ))
}
