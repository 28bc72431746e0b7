//! Streams: a request to a node's engine, served over a connection that the agent opens.
//!
//! The manager sends `Open`, the agent answers with `POST /stream/{id}`; the first frame of that
//! request's body is the engine's answer head, what follows are the answer's bytes. The answer's
//! body of our side carries bytes for the engine (an exec's input).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use model::NodeId;
use model::wire::frame::Decoder;
use model::wire::session::{FromManager, StreamHead, StreamRequest};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::Sessions;
use crate::transport::Peer;

/// How long an agent and its engine may take to the head of the answer.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Chunks towards the engine that may wait.
const CHUNKS: usize = 16;

/// Why a stream could not be opened. The request was not carried out, unless it timed out.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("node {0} is not connected")]
    NotConnected(NodeId),
    #[error("node {0} did not answer in {limit} s", limit = OPEN_TIMEOUT.as_secs())]
    Timeout(NodeId),
    #[error("node {0} answered something that is not understood")]
    Malformed(NodeId),
}

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    /// The engine's status and headers.
    pub head: StreamHead,
    /// The engine's bytes. Ends when the engine ends, or breaks off with an error.
    pub output: Body,
    /// Bytes for the engine; dropping it ends that half.
    pub input: mpsc::Sender<Bytes>,
}

/// Streams that were asked for and have not been opened yet.
#[derive(Debug, Default)]
pub struct Streams {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, (NodeId, oneshot::Sender<Ends>)>>,
}

/// What the agent's request brings.
#[derive(Debug)]
struct Ends {
    body: Body,
    input: mpsc::Sender<Bytes>,
}

impl Sessions {
    /// Has `node` carry out a request against its engine.
    ///
    /// # Errors
    /// As [`StreamError`] says.
    pub async fn open(&self, node: NodeId, request: StreamRequest) -> Result<Stream, StreamError> {
        let outbox = self.outbox(node).ok_or(StreamError::NotConnected(node))?;
        let (stream, opened) = self.streams.expect(node);
        outbox.send(FromManager::Open { stream, request });
        let head = async {
            let ends = opened.await.map_err(|_| StreamError::NotConnected(node))?;
            let mut body = ends.body.into_data_stream();
            let mut decoder = Decoder::<StreamHead>::default();
            loop {
                let frame = decoder.next_frame().map_err(|_| StreamError::Malformed(node))?;
                if let Some(head) = frame {
                    let rest = futures_util::stream::iter([Ok(Bytes::from(decoder.into_rest()))]);
                    let output = Body::from_stream(rest.chain(body));
                    return Ok(Stream { head, output, input: ends.input });
                }
                match body.next().await {
                    Some(Ok(bytes)) => decoder.push(&bytes),
                    Some(Err(_)) | None => return Err(StreamError::Malformed(node)),
                }
            }
        };
        let outcome = tokio::time::timeout(OPEN_TIMEOUT, head).await;
        self.streams.forget(stream);
        outcome.unwrap_or(Err(StreamError::Timeout(node)))
    }
}

impl Streams {
    fn expect(&self, node: NodeId) -> (u64, oneshot::Receiver<Ends>) {
        let stream = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(stream, (node, sender));
        (stream, receiver)
    }

    fn forget(&self, stream: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
    }

    /// The waiter of a stream, if `node` is the one that was asked.
    fn claim(&self, stream: u64, node: NodeId) -> Option<oneshot::Sender<Ends>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&stream).is_some_and(|(asked, _)| *asked == node) {
            waiting.remove(&stream).map(|(_, sender)| sender)
        } else {
            None
        }
    }
}

/// `POST /stream/{id}`, from the agent that was asked to open it.
pub(super) async fn stream(
    State(sessions): State<Arc<Sessions>>,
    peer: Peer,
    Path(stream): Path<u64>,
    body: Body,
) -> Response {
    let (input, chunks) = mpsc::channel(CHUNKS);
    let taken = sessions
        .streams
        .claim(stream, peer.node)
        .is_some_and(|waiter| waiter.send(Ends { body, input }).is_ok());
    if !taken {
        return (StatusCode::NOT_FOUND, "nobody waits for this stream").into_response();
    }
    Response::new(Body::from_stream(ReceiverStream::new(chunks).map(Ok::<Bytes, std::io::Error>)))
}
