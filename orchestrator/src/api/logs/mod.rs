//! `/services/{id}/logs` and `/tasks/{id}/logs`: lines of every task, from every node.
//!
//! A line is one frame, as Docker's clients need it, with the details they ask for in front. Past
//! lines come in the order of their times; lines that are followed as they come. A node that cannot
//! be asked is named once, on stderr, and ends nothing.

mod lines;
mod source;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::object::Task;
use model::{ServiceId, TaskId};
use orchestrator_core::state;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::lines::Line;
use self::source::{Item, Source};
use super::error::ApiError;
use super::request::Params;
use super::{Api, lookup, tasks};

/// Frames that may wait for a slow client; lines that may wait in front of the merge.
const QUEUE: usize = 256;

/// Logs read at once. More are read one group after the other, each ordered by itself.
const AT_ONCE: usize = 256;

/// What a client wants of logs.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    stdout: bool,
    stderr: bool,
    follow: bool,
    timestamps: bool,
    details: bool,
    /// As the engine takes it; empty for all.
    since: String,
    /// `all` or a number of lines of each task.
    tail: String,
    /// The answer consists of frames.
    framed: bool,
}

/// Whose logs.
#[derive(Clone, Copy)]
enum Of {
    Service(ServiceId),
    Task(TaskId),
}

type Frames = mpsc::Sender<Result<Bytes, std::io::Error>>;

pub(super) async fn of_service(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let asked = asked(&params)?;
    let state = api.read().await?;
    let service = lookup::service(&state, &id)?;
    let of = Of::Service(service.id);
    Ok(answer(api, state.clone(), of, asked))
}

pub(super) async fn of_task(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let asked = asked(&params)?;
    let state = api.read().await?;
    let task = match lookup::task(&state, &id) {
        Ok(task) => task,
        Err(e) => tasks::named(&state, &id).ok_or(e)?,
    };
    let of = Of::Task(task.id);
    Ok(answer(api, state.clone(), of, asked))
}

fn asked(params: &Params) -> Result<Asked, ApiError> {
    let (stdout, stderr) = (params.flag("stdout"), params.flag("stderr"));
    if !stdout && !stderr {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let since = params.time("since", super::events::now())?;
    let tail = match params.text("tail") {
        number if number.parse::<u64>().is_ok() => number.to_owned(),
        // As the engine: whatever is no number means all.
        _ => "all".to_owned(),
    };
    Ok(Asked {
        stdout,
        stderr,
        follow: params.flag("follow"),
        timestamps: params.flag("timestamps"),
        details: params.flag("details"),
        since: since.map(|at| format!("{}.{:03}", at.0 / 1_000, at.0 % 1_000)).unwrap_or_default(),
        tail,
        framed: true,
    })
}

fn answer(api: Api, state: Arc<state::State>, of: Of, asked: Asked) -> Response {
    let terminal = is_raw(&state, of);
    let kind = if terminal {
        "application/vnd.docker.raw-stream"
    } else {
        "application/vnd.docker.multiplexed-stream"
    };
    let (frames, queue) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let asked = Asked { framed: !terminal, ..asked };
        // Nobody listens any more: nothing is left to do.
        let _ = gather(api, state, of, asked, &frames).await;
    });
    let body = Body::from_stream(ReceiverStream::new(queue));
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Nobody listens any more.
struct Gone;

async fn gather(
    api: Api,
    state: Arc<state::State>,
    of: Of,
    asked: Asked,
    frames: &Frames,
) -> Result<(), Gone> {
    if asked.follow {
        return follow(api, of, asked, frames).await;
    }
    let tasks = tasks_of(&state, of);
    for group in tasks.chunks(AT_ONCE) {
        let mut heads = Vec::new();
        for task in group {
            let Some(source) = Source::of(task, has_terminal(&state, task)) else { continue };
            let (items, received) = mpsc::channel(QUEUE);
            let writer = Writer::new(&state, task, &asked);
            tokio::spawn(source.read(api.clone(), asked.clone(), items));
            heads.push(Head { writer, received, next: None });
        }
        merge(heads, frames).await?;
    }
    Ok(())
}

/// One log on its way into the merge.
struct Head {
    writer: Writer,
    received: mpsc::Receiver<Item>,
    next: Option<Line>,
}

/// Writes the lines of several logs in the order of their times. Each log is in order by itself,
/// so the earliest of their next lines is always the next of all.
async fn merge(mut heads: Vec<Head>, frames: &Frames) -> Result<(), Gone> {
    loop {
        let mut i = 0;
        while i < heads.len() {
            let head = &mut heads[i];
            if head.next.is_some() {
                i += 1;
                continue;
            }
            match head.received.recv().await {
                Some(Item::Line(line)) => head.next = Some(line),
                Some(Item::Missing(why)) => head.writer.missing(&why, frames).await?,
                None => {
                    heads.swap_remove(i);
                }
            }
        }
        let earliest = heads.iter_mut().min_by(|a, b| {
            let time = |head: &Head| head.next.as_ref().map(|line| line.time.clone());
            time(a).cmp(&time(b))
        });
        let Some(head) = earliest else { return Ok(()) };
        if let Some(line) = head.next.take() {
            head.writer.line(line, frames).await?;
        }
    }
}

/// Writes lines as they come, also of tasks that begin later, until nobody listens.
async fn follow(api: Api, of: Of, asked: Asked, frames: &Frames) -> Result<(), Gone> {
    let mut place = api.0.journal.here();
    let mut begun = BTreeSet::new();
    let mut state = place.now.clone();
    let mut first = true;
    let mut running = tokio::task::JoinSet::new();
    loop {
        for task in tasks_of(&state, of) {
            let Some(source) = Source::of(&task, has_terminal(&state, &task)) else { continue };
            if !begun.insert(task.id) {
                continue;
            }
            let mut wanted = asked.clone();
            if !first {
                // A task that began after the question: all of it.
                "all".clone_into(&mut wanted.tail);
            }
            let (items, mut received) = mpsc::channel(QUEUE);
            let writer = Writer::new(&state, &task, &wanted);
            tokio::spawn(source.read(api.clone(), wanted, items));
            let frames = frames.clone();
            running.spawn(async move {
                while let Some(item) = received.recv().await {
                    let sent = match item {
                        Item::Line(line) => writer.line(line, &frames).await,
                        Item::Missing(why) => writer.missing(&why, &frames).await,
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            });
        }
        first = false;
        // Of one task, once it has ended, nothing more can come.
        let over = match of {
            Of::Task(id) => {
                state.task(id).is_none_or(|t| t.status.state.is_terminal()) && running.is_empty()
            }
            Of::Service(_) => false,
        };
        if over {
            return Ok(());
        }
        state = tokio::select! {
            step = place.steps.recv() => match step {
                Ok(step) => step.after.clone(),
                Err(RecvError::Lagged(_)) => {
                    place = api.0.journal.here();
                    place.now.clone()
                }
                Err(RecvError::Closed) => return Ok(()),
            },
            Some(_) = running.join_next() => state,
            () = frames.closed() => return Err(Gone),
        };
    }
}

fn tasks_of(state: &state::State, of: Of) -> Vec<Arc<Task>> {
    match of {
        Of::Service(id) => state.tasks_of(id).cloned().collect(),
        Of::Task(id) => state.task(id).cloned().into_iter().collect(),
    }
}

/// Whether the answer has no frames. As with an engine the service's spec decides (clients look at it
/// too), or the task's: its tasks of older specs may differ.
fn is_raw(state: &state::State, of: Of) -> bool {
    match of {
        Of::Service(id) => state.service(id).is_some_and(|service| {
            service.spec.task_template.container_spec.as_ref().is_some_and(|c| c.tty)
        }),
        Of::Task(id) => state.task(id).is_some_and(|task| has_terminal(state, task)),
    }
}

fn has_terminal(state: &state::State, task: &Task) -> bool {
    let template = state.service(task.service).and_then(|s| s.templates.get(&task.template));
    template.and_then(|t| t.task.container_spec.as_ref()).is_some_and(|c| c.tty)
}

/// Writes one task's lines in the form that the client asked for.
struct Writer {
    details: String,
    timestamps: bool,
    stderr: bool,
    framed: bool,
    /// For people: the task and its node by name.
    name: String,
}

impl Writer {
    fn new(state: &state::State, task: &Task, asked: &Asked) -> Writer {
        let node = task.node.map(|n| n.to_string()).unwrap_or_default();
        // Sorted by key, as clients show them.
        let details = format!(
            "com.docker.swarm.node.id={node},com.docker.swarm.service.id={},\
             com.docker.swarm.task.id={} ",
            task.service, task.id
        );
        let host = task.node.and_then(|id| state.node(id)).map(|n| n.description.hostname.clone());
        Writer {
            details: if asked.details { details } else { String::new() },
            timestamps: asked.timestamps,
            stderr: asked.stderr,
            framed: asked.framed,
            name: format!("{} on {}", super::render::task_name(state, task), host.unwrap_or(node)),
        }
    }

    async fn line(&self, line: Line, frames: &Frames) -> Result<(), Gone> {
        let time = if self.timestamps && !line.time.is_empty() {
            format!("{} ", line.time)
        } else {
            String::new()
        };
        let length = time.len() + self.details.len() + line.text.len();
        let mut frame = Vec::with_capacity(8 + length);
        if self.framed {
            let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            frame.extend_from_slice(&[line.stream, 0, 0, 0]);
            frame.extend_from_slice(&length);
        }
        frame.extend_from_slice(time.as_bytes());
        frame.extend_from_slice(self.details.as_bytes());
        frame.extend_from_slice(&line.text);
        frames.send(Ok(frame.into())).await.map_err(|_| Gone)
    }

    /// Says on stderr, in the task's name, that lines are missing and why.
    async fn missing(&self, why: &str, frames: &Frames) -> Result<(), Gone> {
        if !self.stderr {
            return Ok(());
        }
        let text = format!("(no log of {}: {why})\n", self.name).into_bytes();
        let time = model::api::Moment(super::events::now()).to_string();
        self.line(Line { stream: 2, time, text }, frames).await
    }
}
