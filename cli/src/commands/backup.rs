//! `backup` and `restore`: what the cluster was asked for, in a file.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use model::api::{Backup, RestoreReply, StackAction};

use crate::client::Client;
use crate::sealed;
use crate::wait::{self, Awaited};

/// `swarmctl backup`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In it: services, networks, secrets with their values, configs, credentials of \
    registries, labels and availability of hosts, the cluster's settings, revisions of stacks. Not in \
    it: tasks, volumes, the certificate authority, join tokens.\n\nThe file can be read by its owner \
    only; with a passphrase it is sealed.\n\nExamples:\n  \
    swarmctl backup cluster.json\n  \
    swarmctl backup --passphrase-file pass cluster.sealed\n  \
    swarmctl backup - | gpg -e -r ops > cluster.gpg"
)]
pub struct BackupArgs {
    /// Where to; `-` is standard output
    file: String,
    /// Overwrite the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

/// `swarmctl restore`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Make a new cluster first (swarmctl init), let the hosts join, then restore: hosts of \
    the same name get their labels back. A cluster that has anything is refused without --replace; with \
    it, what the backup has not is removed, and what is the same keeps running.\n\nExamples:\n  \
    swarmctl restore --plan cluster.json      what would be done\n  \
    swarmctl restore cluster.json\n  \
    swarmctl restore --passphrase-file pass cluster.sealed"
)]
pub struct RestoreArgs {
    /// A file that swarmctl backup wrote; `-` is standard input
    file: String,
    /// Make a cluster that is not empty what the backup says
    #[arg(long)]
    replace: bool,
    /// Restore jobs too, which runs them again
    #[arg(long)]
    jobs: bool,
    /// Say what would be done; change nothing
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
    #[command(flatten)]
    passphrase: Passphrase,
    #[command(flatten)]
    wait: wait::Args,
}

/// What the file is sealed with.
#[derive(Debug, clap::Args)]
pub struct Passphrase {
    /// The file is sealed with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE", env = "SWARMCTL_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Shorter ones are guessed.
const SHORTEST: usize = 12;

/// The largest backup that is read, bytes: what the API takes in one request.
const LARGEST: u64 = 64 << 20;

impl Passphrase {
    fn read(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.passphrase_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        anyhow::ensure!(
            line.chars().count() >= SHORTEST,
            "{}: a passphrase has at least {SHORTEST} characters, in its first line",
            file.display()
        );
        Ok(Some(line))
    }
}

/// Writes a backup.
///
/// # Errors
/// Those of the call, and when the file cannot be written.
pub async fn backup(client: &Client, args: &BackupArgs) -> anyhow::Result<()> {
    let passphrase = args.passphrase.read()?;
    if args.file != "-" && !args.force && Path::new(&args.file).exists() {
        anyhow::bail!("{} is there already (--force overwrites it)", args.file);
    }
    let answer = client.send(http::Method::GET, "/backup", &[], bytes::Bytes::new()).await?;
    let text = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
    let backup: Backup = serde_json::from_slice(&text).context("the answer is not understood")?;
    let bytes = match &passphrase {
        Some(passphrase) => sealed::seal(&text, passphrase)?,
        None => text.to_vec(),
    };
    if args.file == "-" {
        std::io::stdout().write_all(&bytes)?;
    } else {
        write_private(Path::new(&args.file), &bytes)
            .with_context(|| format!("{} cannot be written", args.file))?;
    }
    eprintln!("{}", content(&backup));
    if passphrase.is_none() {
        eprintln!("not sealed: the values of secrets are in it in the clear (--passphrase-file)");
    }
    Ok(())
}

/// Beside the file first, so that an old backup is whole until the new one is.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&part)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&part, path)).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&part);
    })
}

fn content(backup: &Backup) -> String {
    let some = |number: usize, word: &str| {
        format!("{number} {word}{}", if number == 1 { "" } else { "s" })
    };
    format!(
        "cluster {} at revision {}: {}, {}, {} with their values, {}, {}, revisions of {}",
        backup.cluster_id,
        backup.revision,
        some(backup.services.len(), "service"),
        some(backup.networks.len(), "network"),
        some(backup.secrets.len(), "secret"),
        some(backup.configs.len(), "config"),
        some(backup.nodes.len(), "host"),
        some(backup.stacks.len(), "stack"),
    )
}

/// Restores a backup, and waits until everything runs.
///
/// # Errors
/// Those of the call, when the file is none that can be read, and when a service does not converge.
pub async fn restore(client: &Client, args: &RestoreArgs) -> anyhow::Result<()> {
    let backup = read(args)?;
    eprintln!("{}", content(&backup));
    let flag = |name: &str, set: bool| format!("{name}={}&", u8::from(set));
    let path = format!(
        "/backup?{}{}{}",
        flag("replace", args.replace),
        flag("jobs", args.jobs),
        flag("dryRun", args.plan)
    );
    let reply: RestoreReply = client.post(path.trim_end_matches('&'), &backup).await?;
    for warning in &reply.warnings {
        eprintln!("warning: {warning}");
    }
    for change in &reply.changes {
        let word = match (change.action, reply.dry_run) {
            (StackAction::Keep, _) => "unchanged",
            (StackAction::Create, false) => "created",
            (StackAction::Update, false) => "updated",
            (StackAction::Remove, false) => "removed",
            (StackAction::Create, true) => "create",
            (StackAction::Update, true) => "update",
            (StackAction::Remove, true) => "remove",
        };
        println!("{word:<9} {:<8} {}", change.kind, change.name);
    }
    if reply.dry_run {
        return Ok(());
    }
    let services: Vec<Awaited> = reply
        .changes
        .iter()
        .filter(|c| c.kind == "service" && c.action != StackAction::Remove)
        .map(|c| match c.action {
            StackAction::Keep => Awaited::unchanged(c.id.clone()),
            _ => Awaited::spec(c.id.clone()),
        })
        .collect();
    wait::converged(client, &services, &args.wait).await
}

fn read(args: &RestoreArgs) -> anyhow::Result<Backup> {
    let mut bytes = Vec::new();
    if args.file == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(&args.file);
        file.and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
            .with_context(|| args.file.clone())?;
    }
    anyhow::ensure!(bytes.len() as u64 <= LARGEST, "{}: larger than {LARGEST} bytes", args.file);
    let bytes = match (sealed::is_sealed(&bytes), args.passphrase.read()?) {
        (false, _) => bytes,
        (true, Some(passphrase)) => {
            sealed::open(&bytes, &passphrase).with_context(|| args.file.clone())?
        }
        (true, None) => anyhow::bail!("{} is sealed: --passphrase-file FILE opens it", args.file),
    };
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no backup", args.file))
}
