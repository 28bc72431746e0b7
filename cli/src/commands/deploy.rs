//! `deploy` and `config`: Compose files to a stack that runs, or to what would be sent.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use compose::{Colour, Input, InputFile, Loaded, ReadError, Reader};
use model::api::{StackAction, StackReply, StackRequest};

use crate::client::{Client, encoded};
use crate::wait::{self, Awaited};

/// Which files make a stack.
#[derive(Debug, clap::Args)]
pub struct Files {
    /// A Compose file; several are merged in order; `-` reads standard input
    #[arg(short, long = "compose-file", value_name = "FILE", default_value = "compose.yml")]
    compose_file: Vec<String>,
    /// Where relative paths start [default: the first file's directory]
    #[arg(long, value_name = "DIR")]
    project_directory: Option<PathBuf>,
    /// Also services of this profile
    #[arg(long, value_name = "PROFILE")]
    profile: Vec<String>,
}

/// `swarmctl deploy`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    swarmctl deploy shop -c compose.yml\n  \
    swarmctl deploy shop -c compose.yml -c production.yml --prune\n  \
    swarmctl deploy shop -c compose.yml --plan      what would change\n\n\
    Exit code: 0 when everything runs, 1 when it does not or was not sent, 2 when a file is wrong.")]
pub struct DeployArgs {
    /// The stack's name
    stack: String,
    #[command(flatten)]
    files: Files,
    /// Say what would change, and change nothing
    #[arg(long)]
    plan: bool,
    /// Remove services of the stack that the files do not have any more
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    wait: wait::Args,
}

/// `swarmctl config`
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    files: Files,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ConfigFormat,
    /// Print the requests that would be sent instead, as JSON
    #[arg(long, requires = "stack")]
    specs: bool,
    /// The stack's name, for --specs
    #[arg(long)]
    stack: Option<String>,
    /// Print nothing: only say whether the files are right
    #[arg(short, long)]
    quiet: bool,
}

/// How a normalised file is printed.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum ConfigFormat {
    #[default]
    Yaml,
    Json,
}

/// The files are wrong. What is wrong has been printed.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed")]
struct Wrong;

/// Deploys a stack.
///
/// # Errors
/// Those of the call, and when the stack does not converge.
pub async fn run(client: &Client, args: &DeployArgs) -> anyhow::Result<ExitCode> {
    let loaded = match load(&args.files, &args.stack) {
        Ok(loaded) => loaded,
        Err(error) if error.is::<Wrong>() => return Ok(ExitCode::from(2)),
        Err(error) => return Err(error),
    };
    let specs = loaded.stack.specs;
    let request = StackRequest {
        networks: specs.networks,
        secrets: specs.secrets,
        configs: specs.configs,
        services: specs.services,
    };
    let path = format!(
        "/stacks/{}?dryRun={}&prune={}",
        encoded(&args.stack),
        u8::from(args.plan),
        u8::from(args.prune)
    );
    let reply: StackReply = client.post(&path, &request).await?;
    for warning in &reply.warnings {
        eprintln!("warning: {warning}");
    }
    for change in &reply.changes {
        let word = match (change.action, args.plan) {
            (StackAction::Create, false) => "created",
            (StackAction::Create, true) => "would create",
            (StackAction::Update, false) => "updated",
            (StackAction::Update, true) => "would update",
            (StackAction::Remove, false) => "removed",
            (StackAction::Remove, true) => "would remove",
            (StackAction::Keep, _) => "unchanged",
        };
        let fields = if change.fields.is_empty() {
            String::new()
        } else {
            format!("  ({})", change.fields.join(", "))
        };
        println!("{word:<12} {:<8} {}{fields}", change.kind, change.name);
    }
    if args.plan {
        return Ok(ExitCode::SUCCESS);
    }
    let gone = |action| matches!(action, StackAction::Remove);
    let services: Vec<Awaited> = reply
        .changes
        .iter()
        .filter(|c| c.kind == "service" && !gone(c.action))
        .map(|c| match c.action {
            StackAction::Keep => Awaited::unchanged(c.id.clone()),
            _ => Awaited::spec(c.id.clone()),
        })
        .collect();
    wait::converged(client, &services, &args.wait).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what files mean.
///
/// # Errors
/// When a file cannot be read.
pub fn config(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let stack = args.stack.as_deref().unwrap_or("config");
    let loaded = match load(&args.files, stack) {
        Ok(loaded) => loaded,
        Err(error) if error.is::<Wrong>() => return Ok(ExitCode::from(2)),
        Err(error) => return Err(error),
    };
    if args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    if args.specs {
        println!("{:#}", compose::wire::specs_json(&loaded.stack.specs));
        return Ok(ExitCode::SUCCESS);
    }
    match args.format {
        ConfigFormat::Yaml => print!("{}", loaded.stack.document.to_yaml()),
        ConfigFormat::Json => println!("{:#}", loaded.stack.document.to_json()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the files and prints warnings and problems.
fn load(files: &Files, stack: &str) -> anyhow::Result<Loaded> {
    let mut read = Vec::new();
    for name in &files.compose_file {
        let bytes = if name == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            bytes
        } else {
            std::fs::read(name)
                .map_err(|e| anyhow::anyhow!("{name}: {e} (another file: -c FILE)"))?
        };
        read.push(InputFile {
            name: if name == "-" { "stdin".into() } else { name.clone() },
            bytes,
        });
    }
    let project_dir = project_directory(files)?;
    // Names are shown as they were typed; the compose crate looks for them from the project.
    let cwd = std::env::current_dir()?;
    for file in &mut read {
        let path = cwd.join(&file.name);
        if path.is_file()
            && let Ok(below) = path.strip_prefix(&project_dir)
        {
            file.name = below.display().to_string();
        }
    }
    let input = Input {
        files: read,
        project_dir: project_dir.display().to_string(),
        environment: std::env::vars().collect::<BTreeMap<_, _>>(),
        reader: &Disk,
        stack: stack.to_owned(),
        profiles: files.profile.clone(),
    };
    let colour = if std::io::stderr().is_terminal() { Colour::Always } else { Colour::Never };
    match compose::load(&input) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                eprint!("{}", loaded.warnings.render(colour));
            }
            Ok(loaded)
        }
        Err(problems) => {
            eprint!("{}", problems.render(colour));
            Err(Wrong.into())
        }
    }
}

fn project_directory(files: &Files) -> anyhow::Result<PathBuf> {
    let cwd = std::env::current_dir()?;
    let directory = match (&files.project_directory, files.compose_file.first()) {
        (Some(directory), _) => cwd.join(directory),
        (None, Some(file)) if file != "-" => {
            cwd.join(Path::new(file).parent().unwrap_or(Path::new("")))
        }
        (None, _) => cwd,
    };
    directory
        .canonicalize()
        .map_err(|e| anyhow::anyhow!("the project's directory {}: {e}", directory.display()))
}

/// The files of this machine.
struct Disk;

/// The largest file that is read for a stack, bytes.
const MAX_FILE: u64 = 4 << 20;

impl Reader for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let other = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => ReadError::NotFound,
            _ => ReadError::Other(e.to_string()),
        };
        let file = std::fs::File::open(path).map_err(other)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(other)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(ReadError::Other(format!("larger than {MAX_FILE} bytes")));
        }
        Ok(bytes)
    }
}
