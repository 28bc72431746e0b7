//! `/watch`: objects as they change, one line of JSON for each batch of entries, resumable.
//!
//! `since=0` begins with everything there is (lines with `Reset`), `since=N` with what changed
//! after revision N, each object once and as it is now; without `since` it begins now. When the
//! history does not go back so far the answer is 410: begin again with `since=0`. `kinds=` narrows
//! to kinds of objects. `view=brief` leaves out of nodes, services and tasks what a picture of the
//! cluster does not show (a third of the size, and no environment variables); the fields that are
//! left are where they always are.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestrator_core::command::{ChangeKind, Kind, ObjectRef};
use orchestrator_core::state;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Api;
use super::error::ApiError;
use super::journal::{Place, Touched};
use super::render::{self, Detail, States, TaskView};
use super::request::Params;

/// Lines that may wait for a slow client.
const QUEUE: usize = 16;

/// Objects in one line at most.
const CHUNK: usize = 500;

/// A line without changes is sent after so long a silence, so that both sides notice a dead
/// connection and the client's revision keeps up.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

const KINDS: &[Kind] = &[
    Kind::Cluster,
    Kind::Node,
    Kind::Service,
    Kind::Task,
    Kind::Network,
    Kind::Secret,
    Kind::Config,
];

/// One change as the text of a `WatchChange`.
pub(super) struct Rendered {
    kind: Kind,
    text: String,
}

type Lines = mpsc::Sender<Result<Bytes, std::io::Error>>;

pub(super) async fn list(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let kinds = kinds(params.text("kinds"))?;
    let detail = match params.text("view") {
        "" | "whole" => Detail::Whole,
        "brief" => Detail::Brief,
        other => {
            let message = format!("view: {other:?} is neither whole nor brief");
            return Err(ApiError::bad_request(message));
        }
    };
    let journal = api.journal().await?;
    let (first, place) = match params.text("since") {
        "" => (Vec::new(), journal.here()),
        "0" => {
            let place = journal.here();
            (everything(&api, &place.now, detail), place)
        }
        text => {
            let since = text
                .parse()
                .map_err(|_| ApiError::bad_request(format!("since: {text:?} is no revision")))?;
            let known = journal.since(since).map_err(|e| {
                ApiError::new(
                    StatusCode::GONE,
                    format!("revision {since} is too old (the oldest kept is {}); begin again with since=0", e.oldest),
                )
            })?;
            (render(&api, &known.1.now, &known.0, detail), known.1)
        }
    };
    let reset = params.text("since") == "0";
    let (lines, queue) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let revision = place.now.revision().0;
        if send(&lines, revision, reset, &kinds, &first).await.is_some() {
            drop(first);
            follow(&api, place, &kinds, detail, &lines).await;
        }
    });
    let body = Body::from_stream(ReceiverStream::new(queue));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn kinds(text: &str) -> Result<Vec<Kind>, ApiError> {
    let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
    let known = |word: &str| KINDS.iter().find(|kind| kind.name() == word).copied();
    let asked: Result<Vec<Kind>, ApiError> = words
        .map(|word| {
            known(word).ok_or_else(|| ApiError::bad_request(format!("kinds: no kind {word:?}")))
        })
        .collect();
    let asked = asked?;
    Ok(if asked.is_empty() { KINDS.to_vec() } else { asked })
}

async fn follow(api: &Api, mut place: Place, kinds: &[Kind], detail: Detail, lines: &Lines) {
    let mut revision = place.now.revision().0;
    loop {
        let step = tokio::select! {
            step = place.steps.recv() => step,
            () = lines.closed() => return,
            () = tokio::time::sleep(KEEP_ALIVE) => {
                if send(lines, revision, false, kinds, &[]).await.is_none() {
                    return;
                }
                continue;
            }
        };
        let sent = match step {
            Ok(step) if step.reset => {
                revision = step.after.revision().0;
                let all = everything(api, &step.after, detail);
                send(lines, revision, true, kinds, &all).await
            }
            Ok(step) => {
                revision = step.after.revision().0;
                let rendered = step.rendered[detail as usize]
                    .get_or_init(|| render(api, &step.after, &step.touched, detail));
                if !rendered.iter().any(|r| kinds.contains(&r.kind)) {
                    continue;
                }
                send(lines, revision, false, kinds, rendered).await
            }
            // Too slow: what was missed is still in the journal, or everything is sent again.
            Err(RecvError::Lagged(_)) => {
                let (again, reset) = match api.0.journal.since(revision) {
                    Ok((touched, next)) => {
                        place = next;
                        (render(api, &place.now, &touched, detail), false)
                    }
                    Err(_) => {
                        place = api.0.journal.here();
                        (everything(api, &place.now, detail), true)
                    }
                };
                revision = place.now.revision().0;
                send(lines, revision, reset, kinds, &again).await
            }
            Err(RecvError::Closed) => return,
        };
        if sent.is_none() {
            return;
        }
    }
}

/// Sends the changes of the asked kinds in lines; only the last line has the revision. None when
/// the client has gone.
async fn send(
    lines: &Lines,
    revision: u64,
    reset: bool,
    kinds: &[Kind],
    changes: &[Rendered],
) -> Option<()> {
    let wanted: Vec<&Rendered> = changes.iter().filter(|c| kinds.contains(&c.kind)).collect();
    let mut chunks = wanted.chunks(CHUNK).peekable();
    let mut first = true;
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let is_last = chunks.peek().is_none();
        let mut text = format!("{{\"Revision\":{}", if is_last { revision } else { 0 });
        if reset && first {
            text.push_str(",\"Reset\":true");
        }
        text.push_str(",\"Changes\":[");
        for (i, change) in chunk.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(&change.text);
        }
        text.push_str("]}\n");
        lines.send(Ok(text.into())).await.ok()?;
        first = false;
        if is_last {
            return Some(());
        }
    }
}

/// Every object there is, as created.
fn everything(api: &Api, state: &Arc<state::State>, detail: Detail) -> Vec<Rendered> {
    let created = |object| Touched { object, kind: ChangeKind::Created };
    let mut all = vec![created(ObjectRef::Cluster)];
    all.extend(state.nodes().map(|o| created(ObjectRef::Node(o.id))));
    all.extend(state.networks().map(|o| created(ObjectRef::Network(o.id))));
    all.extend(state.secrets().map(|o| created(ObjectRef::Secret(o.id))));
    all.extend(state.configs().map(|o| created(ObjectRef::Config(o.id))));
    all.extend(state.services().map(|o| created(ObjectRef::Service(o.id))));
    all.extend(state.tasks().map(|o| created(ObjectRef::Task(o.id))));
    render(api, state, &all, detail)
}

/// The changes as text, each object as it is in `state`.
fn render(
    api: &Api,
    state: &Arc<state::State>,
    touched: &[Touched],
    detail: Detail,
) -> Vec<Rendered> {
    let mut view = TaskView::new(state, States::Exact).in_detail(detail);
    let mut authorities = None;
    let mut rendered = Vec::with_capacity(touched.len());
    for Touched { object, kind } in touched {
        let (id, shown) = match object {
            ObjectRef::Cluster => {
                let cluster = state.cluster();
                let info = cluster.map(|c| render::cluster_info(c, &api.authorities(state)));
                (cluster.map(|c| c.id.to_string()).unwrap_or_default(), text(info.as_ref()))
            }
            ObjectRef::Node(id) => {
                let authorities = authorities.get_or_insert_with(|| api.authorities(state));
                let members = api.0.cluster.members();
                let node = state.node(*id).map(|n| render::node(n, &members, authorities));
                let node = node.map(|node| render::node_in(detail, node));
                (id.to_string(), text(node.as_ref()))
            }
            ObjectRef::Service(id) => {
                let service = state.service(*id).filter(|s| s.removed.is_none());
                let service = service.map(|service| {
                    let mut shown = render::service(state, service);
                    shown.service_status = Some(render::service_status(state, service));
                    render::service_in(detail, shown)
                });
                (id.to_string(), text(service.as_ref()))
            }
            ObjectRef::Task(id) => {
                let task = state.task(*id).map(|task| view.show(task));
                (id.to_string(), text(task.as_ref()))
            }
            ObjectRef::Network(id) => {
                let network = state.network(*id).filter(|n| n.removed.is_none());
                (id.to_string(), text(network.map(|n| render::network(n)).as_ref()))
            }
            ObjectRef::Secret(id) => {
                (id.to_string(), text(state.secret(*id).map(|s| render::secret(s)).as_ref()))
            }
            ObjectRef::Config(id) => {
                (id.to_string(), text(state.config(*id).map(|c| render::config(c)).as_ref()))
            }
        };
        let action = match (kind, &shown) {
            (_, None) | (ChangeKind::Removed, _) => "remove",
            (ChangeKind::Created, Some(_)) => "create",
            (ChangeKind::Updated, Some(_)) => "update",
        };
        let word = object.kind().name();
        let mut line = format!("{{\"Kind\":\"{word}\",\"ID\":\"{id}\",\"Action\":\"{action}\"");
        if let Some(shown) = shown {
            // Writing to a String cannot fail.
            let _ = write!(line, ",\"Object\":{shown}");
        }
        line.push('}');
        rendered.push(Rendered { kind: object.kind(), text: line });
    }
    rendered
}

fn text<T: serde::Serialize>(object: Option<&T>) -> Option<String> {
    object.and_then(|object| serde_json::to_string(object).ok())
}
