//! What other managers' Raft asks of this one. The other side is [`super::net`].

use std::io::{self, Write as _};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use openraft::raft::{TransferLeaderRequest, VoteRequest};
use openraft::storage::Snapshot;

use super::forward::Answer;
use super::net::{ReadPosition, SnapshotHeader, decode_append, frame, frames};
use super::time::blocking;
use super::types::TypeConfig;
use super::{Log, MAX_ENTRY, Machine};

/// Largest question that is no stream, bytes.
const MAX_QUESTION: usize = 1 << 20;

pub(super) fn routes<M: Machine>(log: Log<M>) -> Router {
    let proposals = Router::new()
        .route("/raft/propose", post(propose::<M>))
        .layer(DefaultBodyLimit::max(MAX_ENTRY + 1024));
    Router::new()
        .route("/raft/append", post(append::<M>))
        .route("/raft/vote", post(vote::<M>))
        .route("/raft/pre-vote", post(pre_vote::<M>))
        .route("/raft/transfer-leader", post(transfer_leader::<M>))
        .route("/raft/snapshot", post(snapshot::<M>))
        .route("/raft/read-position", post(read_position::<M>))
        .route("/raft/admitted", post(admitted::<M>))
        .layer(DefaultBodyLimit::max(MAX_QUESTION))
        .merge(proposals)
        .with_state(log)
}

async fn append<M: Machine>(State(log): State<Log<M>>, request: Request) -> Response {
    let messages = frames(request.into_body()).map(|frame| frame.and_then(decode_append));
    // A message that does not read ends the stream; the leader begins another.
    let heard = log.clone();
    let messages = messages
        .take_while(|m| std::future::ready(m.is_ok()))
        .inspect(move |_| heard.note_heard())
        .filter_map(|m| async { m.ok() });
    let results = log.0.raft.stream_append(messages).map(|result| {
        let result = result.map_err(io::Error::other)?;
        Ok::<_, io::Error>(frame(&serde_json::to_vec(&result)?))
    });
    Response::new(Body::from_stream(results))
}

async fn vote<M: Machine>(
    State(log): State<Log<M>>,
    Json(request): Json<VoteRequest<TypeConfig>>,
) -> Response {
    answer(log.0.raft.vote(request).await)
}

async fn pre_vote<M: Machine>(
    State(log): State<Log<M>>,
    Json(request): Json<VoteRequest<TypeConfig>>,
) -> Response {
    answer(log.0.raft.pre_vote(request).await)
}

async fn transfer_leader<M: Machine>(
    State(log): State<Log<M>>,
    Json(request): Json<TransferLeaderRequest<TypeConfig>>,
) -> Response {
    answer(log.0.raft.handle_transfer_leader(request).await)
}

async fn propose<M: Machine>(
    State(log): State<Log<M>>,
    Json(entry): Json<M::Entry>,
) -> Json<Answer> {
    Json(log.propose(entry).await.into())
}

async fn read_position<M: Machine>(State(log): State<Log<M>>) -> Response {
    answer(log.own_read_position().await.map(|position| ReadPosition { position }))
}

async fn admitted<M: Machine>(State(log): State<Log<M>>) -> Json<bool> {
    Json(log.0.is_admitted())
}

async fn snapshot<M: Machine>(State(log): State<Log<M>>, request: Request) -> Response {
    answer(receive_snapshot(&log, request).await)
}

/// Writes the snapshot to disk as it comes, and installs it when it is whole.
async fn receive_snapshot<M: Machine>(
    log: &Log<M>,
    request: Request,
) -> io::Result<openraft::raft::SnapshotResponse<TypeConfig>> {
    let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot was cut off");
    let mut frames = frames(request.into_body());
    let head = frames.next().await.ok_or_else(cut_off)??;
    let SnapshotHeader { vote, meta } = serde_json::from_slice(&head)?;
    let mut file = log.0.snapshots.begin(&meta)?;
    loop {
        let content = frames.next().await.ok_or_else(cut_off)??;
        if content.is_empty() {
            break;
        }
        file = blocking(move || file.write_all(&content).map(|()| file)).await??;
    }
    let file = blocking(move || file.finish()).await??;
    let snapshot = Snapshot { meta, snapshot: file };
    log.0.raft.install_full_snapshot(vote, snapshot).await.map_err(io::Error::other)
}

fn answer<T: serde::Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Response {
    match result {
        Ok(answer) => Json(answer).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, e.to_string()).into_response(),
    }
}
