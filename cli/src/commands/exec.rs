//! `exec`: runs a command in a task's container, with this terminal if there is one.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use clap::Args;
use http::{Method, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use model::api::{Node, Service, Task};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf};

use crate::client::{CallError, Client, encoded, filters};
use crate::logs::next_line;
use crate::names;
use crate::terminal::{self, Raw};

/// `swarmctl exec`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl exec -it web.2 sh            a task, by its name in swarmctl ps\n  \
    swarmctl exec web cat /etc/hostname   any running task of a service\n  \
    echo 'select 1' | swarmctl exec -i db psql\n\n\
    Exit code: that of the command; 125 when it could not be run.")]
pub struct ExecArgs {
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// A terminal for the command
    #[arg(short, long)]
    tty: bool,
    /// Do not wait for the command
    #[arg(short, long)]
    detach: bool,
    /// An environment variable; NAME alone takes this shell's
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = super::service::variable)]
    env: Vec<String>,
    /// User, or user:group
    #[arg(short, long, value_name = "USER[:GROUP]", default_value = "", hide_default_value = true)]
    user: String,
    /// Working directory
    #[arg(short, long, value_name = "PATH", default_value = "", hide_default_value = true)]
    workdir: String,
    /// With all capabilities
    #[arg(long)]
    privileged: bool,
    /// A task (web.2, or its id), a service, or a container of this host
    #[arg(add = names::of(names::Kind::Task))]
    target: String,
    /// The command
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Docker's exit code of what could not be run.
const NOT_RUN: u8 = 125;

/// A container, and whose it is.
struct Place {
    container: String,
    /// What runs there and where, for messages; none for a container that was named itself.
    task: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ended {
    exit_code: Option<i64>,
}

/// Runs it; the exit code is the command's.
///
/// # Errors
/// When there is no such task, or the command could not be run.
pub async fn run(client: &Client, args: &ExecArgs) -> anyhow::Result<ExitCode> {
    match attempt(client, args).await {
        Ok(code) => Ok(code),
        Err(error) => {
            eprintln!("swarmctl: {error:#}");
            Ok(ExitCode::from(NOT_RUN))
        }
    }
}

async fn attempt(client: &Client, args: &ExecArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !args.tty || !args.interactive || std::io::stdin().is_terminal(),
        "-it needs a terminal on standard input; leave out -t"
    );
    let place = find(client, &args.target).await?;
    let body = json!({
        "AttachStdin": args.interactive && !args.detach,
        "AttachStdout": !args.detach,
        "AttachStderr": !args.detach,
        "Tty": args.tty,
        "Cmd": args.command,
        "Env": args.env,
        "User": args.user,
        "WorkingDir": args.workdir,
        "Privileged": args.privileged,
    });
    let path = format!("/containers/{}/exec", encoded(&place.container));
    let made: Made = match client.post(&path, &body).await {
        Ok(made) => made,
        Err(error) => return Err(place.unknown(error)),
    };
    let start = format!("/exec/{}/start", made.id);
    let how = json!({"Detach": args.detach, "Tty": args.tty});
    if args.detach {
        let _: serde_json::Value = client.post(&start, &how).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let upgrade = [("connection", "Upgrade"), ("upgrade", "tcp")];
    let answer = client.send(Method::POST, &start, &upgrade, Bytes::from(how.to_string())).await?;
    anyhow::ensure!(
        answer.status() == StatusCode::SWITCHING_PROTOCOLS,
        "the engine did not open a stream (it answered {})",
        answer.status()
    );
    let stream = TokioIo::new(hyper::upgrade::on(answer).await?);
    attached(client, args, &made.id, stream).await?;
    let ended: Ended = client.get(&format!("/exec/{}/json", made.id)).await?;
    let code = ended.exit_code.unwrap_or(0);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(NOT_RUN)))
}

/// Both directions until the command has written all.
async fn attached(
    client: &Client,
    args: &ExecArgs,
    id: &str,
    stream: TokioIo<Upgraded>,
) -> anyhow::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    // Given back when this ends, however it ends.
    let _raw = if args.tty { Raw::enter() } else { None };
    let input = async {
        if args.interactive {
            let mut stdin = tokio::io::stdin();
            // The command may end before its input does.
            let _ = tokio::io::copy(&mut stdin, &mut writer).await;
            let _ = writer.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let resize = async {
        if args.tty {
            let _ = follow_size(client, id).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = output(reader, args.tty) => done,
        () = input => Ok(()),
        () = resize => Ok(()),
    }
}

async fn output(mut reader: ReadHalf<TokioIo<Upgraded>>, tty: bool) -> anyhow::Result<()> {
    let mut buffer = BytesMut::with_capacity(64 << 10);
    while reader.read_buf(&mut buffer).await? > 0 {
        if tty {
            let mut out = std::io::stdout().lock();
            out.write_all(&buffer.split())?;
            out.flush()?;
            continue;
        }
        while let Some((stream, bytes)) = next_line(&mut buffer) {
            if stream == 2 {
                std::io::stderr().write_all(&bytes)?;
            } else {
                let mut out = std::io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
        }
    }
    Ok(())
}

/// Tells the engine the terminal's size, now and whenever it changes.
async fn follow_size(client: &Client, id: &str) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut changes = signal(SignalKind::window_change())?;
    loop {
        if let Some((rows, columns)) = terminal::size() {
            let path = format!("/exec/{id}/resize?h={rows}&w={columns}");
            // Too early or too late: the command has its own idea of a size then.
            let _ = client.send(Method::POST, &path, &[], Bytes::new()).await;
        }
        changes.recv().await;
    }
}

async fn find(client: &Client, target: &str) -> anyhow::Result<Place> {
    match client.get::<Task>(&format!("/tasks/{}", encoded(target))).await {
        Ok(task) => return of_task(client, target, &task).await,
        Err(error) if error.is_not_found() => {}
        // Of a worker, or a plain engine: there are only containers here.
        Err(CallError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => {
            return Ok(Place { container: target.to_owned(), task: None });
        }
        Err(error) => return Err(error.into()),
    }
    let service: Service = match client.get(&format!("/services/{}", encoded(target))).await {
        Ok(service) => service,
        Err(error) if error.is_not_found() => {
            return Ok(Place { container: target.to_owned(), task: None });
        }
        Err(error) => return Err(error.into()),
    };
    let running = filters(&[("service", &service.id), ("desired-state", "running")]);
    let tasks: Vec<Task> = client.get(&format!("/tasks?filters={running}")).await?;
    let mut tasks: Vec<&Task> = tasks.iter().filter(|t| t.status.state == "running").collect();
    let own = super::node::own_id(client).await.unwrap_or_default();
    // One on this host first, then by number.
    tasks.sort_by_key(|t| (t.node_id != own, t.slot, t.id.clone()));
    let Some(task) = tasks.first() else {
        anyhow::bail!("no task of {target} runs (why: swarmctl explain service {target})")
    };
    let name = match task.slot {
        0 => format!("{target}.{}", task.node_id),
        slot => format!("{target}.{slot}"),
    };
    of_task(client, &name, task).await
}

async fn of_task(client: &Client, name: &str, task: &Task) -> anyhow::Result<Place> {
    anyhow::ensure!(
        task.status.state == "running",
        "{name} is {}, not running (why: swarmctl explain task {name})",
        task.status.state
    );
    let container = task.status.container_status.as_ref().map_or("", |c| c.container_id.as_str());
    anyhow::ensure!(!container.is_empty(), "{name} has no container yet");
    let node: Result<Node, _> = client.get(&format!("/nodes/{}", task.node_id)).await;
    let host = node.map_or_else(|_| task.node_id.clone(), |n| n.description.hostname);
    Ok(Place { container: container.to_owned(), task: Some((name.to_owned(), host)) })
}

impl Place {
    /// Managers reach every node's containers, so one that is not found is gone.
    fn unknown(&self, error: CallError) -> anyhow::Error {
        match &self.task {
            Some((name, host)) if error.is_not_found() => anyhow::anyhow!(
                "the container of {name} on {host} is gone; what runs now: swarmctl ps"
            ),
            _ if error.is_not_found() => anyhow::anyhow!(
                "{error}; there is no such task or service either (swarmctl ps, service ls)"
            ),
            _ => error.into(),
        }
    }
}
