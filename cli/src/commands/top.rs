//! `top`: the cluster as it is now, and as it changes.
//!
//! It follows `/watch`: nothing is polled, and after a broken connection it goes on where it was.
//! Without a terminal every change is a line.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::api::{Node, Service, Task, WatchChange, WatchLine};
use serde::de::DeserializeOwned;

use super::service::{mode, replicas};
use super::task::name_of;
use crate::ago::ago;
use crate::client::{CallError, Client};
use crate::output::{Table, capital};
use crate::terminal;

/// `swarmctl top`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl top                 until Ctrl-C\n  \
    swarmctl top --once          one picture\n  \
    swarmctl top | tee changes   a line for each change")]
pub struct TopArgs {
    /// Print one picture and end
    #[arg(long)]
    once: bool,
}

/// At most so often is the screen drawn.
const REDRAW: Duration = Duration::from_millis(250);

/// Between two attempts to reach the cluster again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs it.
///
/// # Errors
/// Those of the first call; later ones are shown, and tried again.
pub async fn run(client: &Client, args: &TopArgs) -> anyhow::Result<()> {
    let mut known = Known::default();
    let mut stream = Stream::open(client, 0).await?;
    if args.once {
        while let Some(line) = stream.next().await? {
            known.take(line)?;
            if known.revision > 0 {
                break;
            }
        }
        return crate::output::print(&known.picture(None));
    }
    let screen = Screen::enter();
    tokio::select! {
        outcome = follow(client, &mut known, stream, &screen) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(
    client: &Client,
    known: &mut Known,
    mut stream: Stream,
    screen: &Screen,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(REDRAW);
    let mut trouble = None;
    loop {
        tokio::select! {
            line = stream.next() => match line {
                Ok(Some(line)) => {
                    let first = known.revision == 0;
                    let news = known.take(line)?;
                    if !screen.is_terminal && !first {
                        for line in news {
                            crate::output::print(&format!("{line}\n"))?;
                        }
                    }
                }
                Ok(None) | Err(_) => {
                    trouble = Some("the connection broke; trying again".to_owned());
                    screen.draw(known, trouble.as_deref())?;
                    tokio::time::sleep(RETRY).await;
                    match Stream::open(client, known.revision).await {
                        Ok(again) => (stream, trouble) = (again, None),
                        // The history does not go back so far.
                        Err(CallError::Refused { status: StatusCode::GONE, .. }) => known.revision = 0,
                        Err(error) => trouble = Some(error.to_string()),
                    }
                }
            },
            _ = ticks.tick() => screen.draw(known, trouble.as_deref())?,
        }
    }
}

/// The answer of `/watch`, line by line.
struct Stream {
    body: Incoming,
    buffer: BytesMut,
}

impl Stream {
    async fn open(client: &Client, since: u64) -> Result<Stream, CallError> {
        let path = format!("/watch?since={since}&kinds=node,service,task");
        let answer = client.send(Method::GET, &path, &[], Bytes::new()).await?;
        Ok(Stream { body: answer.into_body(), buffer: BytesMut::new() })
    }

    async fn next(&mut self) -> anyhow::Result<Option<WatchLine>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// What there is.
#[derive(Default)]
struct Known {
    revision: u64,
    nodes: BTreeMap<String, Node>,
    services: BTreeMap<String, Service>,
    tasks: BTreeMap<String, Task>,
}

impl Known {
    /// Takes changes in; what is worth a line of each.
    fn take(&mut self, line: WatchLine) -> anyhow::Result<Vec<String>> {
        if line.reset {
            *self = Known { revision: self.revision, ..Known::default() };
        }
        let mut news = Vec::new();
        for change in line.changes {
            match change.kind.as_str() {
                "node" => {
                    let before = self.nodes.get(&change.id).map(|n| n.status.state.clone());
                    if let Some(node) = put(&mut self.nodes, change)?
                        && before.as_ref() != Some(&node.status.state)
                    {
                        let (name, state) = (&node.description.hostname, &node.status.state);
                        news.push(format!("node {name} {state}"));
                    }
                }
                "service" => {
                    let gone = self.services.get(&change.id).map(|s| s.spec.name.clone());
                    let before = self.services.get(&change.id).map(replicas);
                    match put(&mut self.services, change)? {
                        Some(service) if before.as_ref() != Some(&replicas(service)) => {
                            news.push(format!(
                                "service {} {}",
                                service.spec.name,
                                replicas(service)
                            ));
                        }
                        Some(_) => {}
                        None => news.extend(gone.map(|name| format!("service {name} removed"))),
                    }
                }
                "task" => {
                    let before = self.tasks.get(&change.id).map(said);
                    if let Some(task) = put(&mut self.tasks, change)?
                        && before != Some(said(task))
                    {
                        let task = task.clone();
                        news.push(format!("task {}", self.task_line(&task)));
                    }
                }
                _ => {}
            }
        }
        self.revision = line.revision.max(self.revision);
        Ok(news)
    }

    fn task_line(&self, task: &Task) -> String {
        let node = self.nodes.get(&task.node_id).map_or("", |n| n.description.hostname.as_str());
        let (state, why) = said(task);
        let place = if node.is_empty() { String::new() } else { format!(" on {node}") };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        format!("{}{place} {state}{why}", self.name(task))
    }

    fn name(&self, task: &Task) -> String {
        let service = self.services.get(&task.service_id);
        let names = service.map(|s| (s.id.as_str(), s.spec.name.as_str()));
        name_of(task, &names.into_iter().collect())
    }

    fn picture(&self, trouble: Option<&str>) -> String {
        let live = |task: &&Task| matches!(task.desired_state.as_str(), "running" | "ready");
        let running = self.tasks.values().filter(|t| t.status.state == "running").count();
        let ready = self.nodes.values().filter(|n| n.status.state == "ready").count();
        let mut text = format!(
            "{ready} of {} nodes ready, {} services, {running} tasks run\n",
            self.nodes.len(),
            self.services.len()
        );
        if let Some(trouble) = trouble {
            text += &format!("! {trouble}\n");
        }
        let mut nodes = Table::new(&["NODE", "STATUS", "AVAILABILITY", "ROLE", "TASKS"]);
        let mut all: Vec<&Node> = self.nodes.values().collect();
        all.sort_by(|a, b| a.description.hostname.cmp(&b.description.hostname));
        for node in all {
            let on = |t: &&Task| t.node_id == node.id && t.status.state == "running";
            let role = match &node.manager_status {
                Some(manager) if manager.leader => "leader",
                Some(_) => "manager",
                None => "worker",
            };
            nodes.row(vec![
                node.description.hostname.clone(),
                capital(&node.status.state),
                capital(node.spec.availability.name()),
                role.to_owned(),
                self.tasks.values().filter(on).count().to_string(),
            ]);
        }
        text += &format!("\n{}", nodes.render());
        let mut table = Table::new(&["SERVICE", "MODE", "REPLICAS", "UPDATE", "IMAGE"]);
        let mut all: Vec<&Service> = self.services.values().collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        for service in all {
            let container = service.spec.task_template.container_spec.as_ref();
            let image = container.map_or("", |c| c.image.as_str());
            table.row(vec![
                service.spec.name.clone(),
                mode(&service.spec).to_owned(),
                replicas(service),
                service.update_status.as_ref().map_or(String::new(), |u| u.state.clone()),
                image.split('@').next().unwrap_or_default().to_owned(),
            ]);
        }
        if !self.services.is_empty() {
            text += &format!("\n{}", table.render());
        }
        let mut waiting: Vec<&Task> =
            self.tasks.values().filter(live).filter(|t| t.status.state != "running").collect();
        waiting.sort_by_key(|t| (self.name(t), t.id.clone()));
        if !waiting.is_empty() {
            let mut table = Table::new(&["NOT RUNNING", "NODE", "STATE", "SINCE", "WHY"]);
            for task in waiting {
                let node = self.nodes.get(&task.node_id);
                let (state, why) = said(task);
                table.row(vec![
                    self.name(task),
                    node.map_or(String::new(), |n| n.description.hostname.clone()),
                    capital(&state),
                    ago(task.status.timestamp),
                    why,
                ]);
            }
            text += &format!("\n{}", table.render());
        }
        text
    }
}

/// Keeps the object of a change, or forgets it.
fn put<T: DeserializeOwned>(
    objects: &mut BTreeMap<String, T>,
    change: WatchChange,
) -> anyhow::Result<Option<&T>> {
    match change.object {
        Some(object) if change.action != "remove" => {
            objects.insert(change.id.clone(), serde_json::from_value(object)?);
            Ok(objects.get(&change.id))
        }
        _ => {
            objects.remove(&change.id);
            Ok(None)
        }
    }
}

/// A task's state, and what it says of it.
fn said(task: &Task) -> (String, String) {
    (task.status.state.clone(), task.status.err.clone())
}

/// The terminal's second screen, left when dropped.
struct Screen {
    is_terminal: bool,
}

impl Screen {
    fn enter() -> Screen {
        let is_terminal = std::io::stdout().is_terminal();
        if is_terminal {
            // Second screen, no cursor.
            let _ = write!(std::io::stdout(), "\x1b[?1049h\x1b[?25l");
        }
        Screen { is_terminal }
    }

    fn draw(&self, known: &Known, trouble: Option<&str>) -> std::io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let (rows, columns) = terminal::size().unwrap_or((24, 80));
        let picture = known.picture(trouble);
        let mut text = String::from("\x1b[H");
        for line in picture.lines().take(usize::from(rows).saturating_sub(1)) {
            text.extend(line.chars().take(usize::from(columns)));
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\x1b[?25h\x1b[?1049l");
            let _ = out.flush();
        }
    }
}
