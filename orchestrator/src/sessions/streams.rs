//! Streams: a request to a node's engine, served over a connection that the agent opens.
//!
//! The manager sends `Open`, the agent answers with `POST /stream/{id}`; the first frame of that
//! request's body is the engine's answer head, what follows are the answer's bytes. The answer's
//! body of our side carries bytes for the engine (an exec's input).
//!
//! Agents are connected to the leader. Another manager opens a stream through it, with the same
//! frames: `POST /node-stream/{node}`, the first frame of whose body is the request ([`relay`],
//! [`open_at`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use model::NodeId;
use model::wire::frame::{Decoder, encode};
use model::wire::session::{FromManager, StreamHead, StreamRequest};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::Sessions;
use crate::api::cluster::RequestBody;
use crate::log::Leader;
use crate::transport::{Lane, Peer, Pool, Target};

/// How long an agent may take to open a stream, and an engine to the head of an answer to a GET.
/// Other requests (stop, wait) take as long as the client waits.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Chunks towards the engine that may wait.
const CHUNKS: usize = 16;
/// Bytes of a request's body that go at once.
const CHUNK: usize = 32 << 10;

/// Where a leader opens streams for other managers.
pub(super) const RELAY: &str = "/node-stream";

/// How much of a refusal's text is kept, bytes.
const MAX_REFUSAL: usize = 4096;

/// Why a stream could not be opened. The request was not carried out, unless it timed out.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("node {0} is not connected")]
    NotConnected(NodeId),
    #[error("node {0} did not answer in {limit} s", limit = OPEN_TIMEOUT.as_secs())]
    Timeout(NodeId),
    #[error("node {0} answered something that is not understood")]
    Malformed(NodeId),
    /// The client broke off before all of its request was sent.
    #[error("the request for node {0} broke off")]
    Body(NodeId),
    /// The manager that has the node's session could not pass the request on.
    #[error("{0}")]
    Relay(String),
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
    /// To be told once everything that belongs into the input is in it. Without that the input's
    /// end is a failure to the agent.
    whole: oneshot::Sender<()>,
}

impl Sessions {
    /// Has `node` carry out a request with this body against its engine.
    ///
    /// # Errors
    /// As [`StreamError`] says.
    pub async fn open(
        &self,
        node: NodeId,
        request: StreamRequest,
        body: RequestBody,
    ) -> Result<Stream, StreamError> {
        let is_get = request.method == "GET";
        let goes_on = has_raw_input(&request);
        let Ends { body: output, input, whole } = self.ask(node, request).await?;
        let kept = if goes_on { input.clone() } else { nowhere() };
        // What was sent is whole once all of it was; where it broke off, or nobody sends it any
        // more, the engine must not take it for whole.
        let mut feed = Box::pin(async move {
            let sent = send_all(input, body).await;
            if sent.is_ok() {
                let _ = whole.send(());
            }
            sent
        });
        let mut head = std::pin::pin!(head_of(node, is_get, output, kept));
        // The engine answers when it has all of it, or does not want the rest.
        let stream = tokio::select! {
            stream = &mut head => stream,
            sent = &mut feed => match sent {
                Ok(()) => return head.await,
                Err(_) => return Err(StreamError::Body(node)),
            },
        };
        tokio::spawn(feed);
        stream
    }

    /// Has the agent of `node` open its end; its engine has not answered yet.
    async fn ask(&self, node: NodeId, request: StreamRequest) -> Result<Ends, StreamError> {
        let outbox = self.outbox(node).ok_or(StreamError::NotConnected(node))?;
        let (stream, opened) = self.streams.expect(node);
        outbox.send(FromManager::Open { stream, request });
        let waiting = Forget { streams: &self.streams, stream };
        let ends = tokio::time::timeout(OPEN_TIMEOUT, opened).await;
        drop(waiting);
        ends.map_err(|_| StreamError::Timeout(node))?.map_err(|_| StreamError::NotConnected(node))
    }
}

/// Waits for the engine's answer.
async fn head_of(
    node: NodeId,
    is_get: bool,
    output: Body,
    input: mpsc::Sender<Bytes>,
) -> Result<Stream, StreamError> {
    let head = async {
        match first_frame(output).await {
            Some((head, output)) => Ok(Stream { head, output, input }),
            None => Err(StreamError::Malformed(node)),
        }
    };
    if is_get {
        let head = tokio::time::timeout(OPEN_TIMEOUT, head).await;
        head.unwrap_or(Err(StreamError::Timeout(node)))
    } else {
        head.await
    }
}

/// Sends a request's body, until nobody takes it any more. An error where it breaks off.
async fn send_all(input: mpsc::Sender<Bytes>, mut body: RequestBody) -> std::io::Result<()> {
    while let Some(chunk) = body.next().await {
        let mut bytes = chunk?;
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK));
            if input.send(chunk).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether more than the body may follow: the engine is asked to switch to a raw stream.
fn has_raw_input(request: &StreamRequest) -> bool {
    request.header("upgrade").is_some()
}

/// An input that nobody takes.
fn nowhere() -> mpsc::Sender<Bytes> {
    mpsc::channel(1).0
}

/// Forgets a stream that is waited for, also when the waiting is given up.
struct Forget<'a> {
    streams: &'a Streams,
    stream: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.streams.forget(self.stream);
    }
}

/// The first frame of a body, and what follows it.
async fn first_frame<T: DeserializeOwned>(body: Body) -> Option<(T, Body)> {
    let mut body = body.into_data_stream();
    let mut decoder = Decoder::<T>::default();
    loop {
        if let Some(frame) = decoder.next_frame().ok()? {
            let rest = stream::iter([Ok(Bytes::from(decoder.into_rest()))]);
            return Some((frame, Body::from_stream(rest.chain(body))));
        }
        decoder.push(&body.next().await?.ok()?);
    }
}

/// Opens a stream through the manager that leads.
///
/// # Errors
/// As [`StreamError`] says.
pub async fn open_at(
    pool: &Arc<Pool>,
    leader: &Leader,
    node: NodeId,
    request: &StreamRequest,
    body: RequestBody,
) -> Result<Stream, StreamError> {
    let relay = |why: String| StreamError::Relay(format!("the leading manager: {why}"));
    let target =
        Target { node: Some(leader.node), address: leader.address.clone(), lane: Lane::Streams };
    let first = encode(request).map_err(|e| relay(e.to_string()))?;
    let (input, chunks) = mpsc::channel(CHUNKS);
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(first))]);
    // The raw stream's input follows the body; without one the body's end is the end.
    let input = if has_raw_input(request) {
        input
    } else {
        drop(input);
        nowhere()
    };
    let body = Body::from_stream(first.chain(body).chain(ReceiverStream::new(chunks).map(Ok)));
    let path = format!("{RELAY}/{node}");
    let call = axum::http::Request::post(path).body(body).map_err(|e| relay(e.to_string()))?;
    let answer = pool.send(&target, call).await.map_err(|e| relay(e.to_string()))?;
    let status = answer.status();
    let body = Body::new(answer.into_body());
    if status != StatusCode::OK {
        let text = axum::body::to_bytes(body, MAX_REFUSAL).await.unwrap_or_default();
        return Err(StreamError::Relay(String::from_utf8_lossy(&text).into_owned()));
    }
    match first_frame(body).await {
        Some((head, output)) => Ok(Stream { head, output, input }),
        None => Err(StreamError::Malformed(node)),
    }
}

/// `POST /node-stream/{node}`, from a manager that does not lead.
pub(super) async fn relay(
    State(sessions): State<Arc<Sessions>>,
    Path(node): Path<NodeId>,
    body: Body,
) -> Response {
    let Some((request, rest)) = first_frame::<StreamRequest>(body).await else {
        return (StatusCode::BAD_REQUEST, "no request came").into_response();
    };
    let is_get = request.method == "GET";
    let Ends { body: output, input, whole } = match sessions.ask(node, request).await {
        Ok(ends) => ends,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    tokio::spawn(async move {
        let mut rest = rest.into_data_stream();
        loop {
            tokio::select! {
                chunk = rest.next() => match chunk {
                    Some(Ok(bytes)) => if input.send(bytes).await.is_err() { return },
                    // The end of one half; the engine is told so by letting go of the input.
                    None => { let _ = whole.send(()); return }
                    // The other manager has gone, and with it the request: that is no end of it.
                    Some(Err(_)) => return,
                },
                () = input.closed() => return,
            }
        }
    });
    // Its own input goes nowhere: the other end's is what the engine gets.
    let Stream { head, output, .. } = match head_of(node, is_get, output, nowhere()).await {
        Ok(stream) => stream,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let Ok(head) = encode(&head) else {
        return (StatusCode::BAD_GATEWAY, "the engine's answer is too large").into_response();
    };
    let head = stream::iter([Ok(Bytes::from(head))]);
    Response::new(Body::from_stream(head.chain(output.into_data_stream())))
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

/// Chunks, and a failure after them unless they are `whole`.
fn until_whole(
    chunks: ReceiverStream<Bytes>,
    whole: oneshot::Receiver<()>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let broken = |_| Err(std::io::Error::other("the request broke off"));
    let end = stream::once(whole).filter_map(move |whole| ready(whole.err().map(broken)));
    chunks.map(Ok).chain(end)
}

/// `POST /stream/{id}`, from the agent that was asked to open it.
pub(super) async fn serve(
    State(sessions): State<Arc<Sessions>>,
    peer: Peer,
    Path(stream): Path<u64>,
    body: Body,
) -> Response {
    let (input, chunks) = mpsc::channel(CHUNKS);
    let (whole, told) = oneshot::channel();
    let taken = sessions
        .streams
        .claim(stream, peer.node)
        .is_some_and(|waiter| waiter.send(Ends { body, input, whole }).is_ok());
    if !taken {
        return (StatusCode::NOT_FOUND, "nobody waits for this stream").into_response();
    }
    Response::new(Body::from_stream(until_whole(ReceiverStream::new(chunks), told)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_input_that_nobody_called_whole_ends_in_a_failure() {
        for is_whole in [true, false] {
            let (input, chunks) = mpsc::channel(4);
            let (whole, told) = oneshot::channel();
            input.send(Bytes::from("a part")).await.expect("taken");
            drop(input);
            if is_whole {
                whole.send(()).expect("heard");
            } else {
                drop(whole);
            }
            let ends: Vec<_> = until_whole(ReceiverStream::new(chunks), told).collect().await;
            let good: Vec<bool> = ends.iter().map(Result::is_ok).collect();
            assert_eq!(good, if is_whole { vec![true] } else { vec![true, false] });
        }
    }
}
