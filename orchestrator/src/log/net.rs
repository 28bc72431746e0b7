//! Raft's messages to other managers, over the pooled HTTP/2 connections of the transport.
//!
//! Entries travel as a stream: one request whose body carries append messages and whose answer
//! carries their results in the same order, so that many are under way at once. A stream whose
//! oldest message waits too long for its result is given up; Raft begins another.
//!
//! The other side is [`super::routes`].

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};
use http::Response;
use http_body_util::BodyExt as _;
use model::NodeId;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{BasicNode, OptionalSend};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tokio_util::io::StreamReader;

use super::codec::{self, EntryHeader};
use super::forward::Answer;
use super::leadership::Leader;
use super::open::Timing;
use super::snapshot::{SnapshotFile, Snapshots};
use super::time::{Instant, blocking, timeout};
use super::types::{LogId, SnapshotMeta, TypeConfig, Vote, Voter};
use crate::transport::{CallError, Lane, Pool, Target};

/// Largest frame between managers, bytes. An append message holds several entries.
pub(super) const MAX_FRAME: usize = 256 << 20;

/// Bytes of a snapshot in one frame.
const SNAPSHOT_FRAME: usize = 256 << 10;

/// Largest answer that is no stream, bytes.
const MAX_REPLY: usize = 1 << 20;

/// Carries requests to other managers: the pooled connections of the transport, or a simulation.
pub(super) trait Carrier: Send + Sync + 'static {
    /// Posts `body` to `path`; an answer of any other status than 200 is an error.
    fn post<'c>(
        &'c self,
        target: &'c Target,
        path: &'static str,
        body: Body,
    ) -> BoxFuture<'c, Result<Response<Body>, CallError>>;
}

impl Carrier for Arc<Pool> {
    fn post<'c>(
        &'c self,
        target: &'c Target,
        path: &'static str,
        body: Body,
    ) -> BoxFuture<'c, Result<Response<Body>, CallError>> {
        Box::pin(async move {
            let response = Pool::post(self, target, path, body).await?;
            Ok(response.map(Body::new))
        })
    }
}

/// Makes the connections that Raft asks for.
#[derive(Clone)]
pub(super) struct Peers {
    carrier: Arc<dyn Carrier>,
    timing: Timing,
    snapshots: Arc<Snapshots>,
    /// Those that could not be reached when they were last tried.
    unreached: Arc<Mutex<BTreeSet<NodeId>>>,
}

/// One other manager.
pub(super) struct Peer {
    target: Target,
    peers: Peers,
}

/// The header of an append message; the payloads of its entries follow.
#[derive(Serialize, Deserialize)]
pub(super) struct AppendHeader {
    vote: Vote,
    prev: Option<LogId>,
    commit: Option<LogId>,
    entries: Vec<EntryHeader>,
}

/// The first frame of a snapshot transfer. Frames of content follow; an empty one is the last.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotHeader {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
}

/// The answer to the question for a read position.
#[derive(Serialize, Deserialize)]
pub(super) struct ReadPosition {
    pub(super) position: u64,
}

impl Peers {
    pub(super) fn new(
        carrier: Arc<dyn Carrier>,
        timing: Timing,
        snapshots: Arc<Snapshots>,
    ) -> Peers {
        Peers { carrier, timing, snapshots, unreached: Arc::default() }
    }

    /// Logs when a manager stops or begins to be reachable; between the two, nothing.
    fn note(&self, target: &Target, failed: Option<&CallError>) {
        let Some(node) = target.node else { return };
        let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(error) => {
                if unreached.insert(node) {
                    tracing::warn!(%node, address = target.address, %error, "a manager is away");
                }
            }
            None => {
                if unreached.remove(&node) {
                    tracing::info!(%node, address = target.address, "a manager is back");
                }
            }
        }
    }

    /// The read position of `leader`, confirmed by its quorum.
    pub(super) async fn read_position(&self, leader: &Leader) -> Option<u64> {
        let wait = self.timing.lease_wait() * 2;
        let answer = self.leader(leader).ask("/raft/read-position", &(), wait).await;
        answer.ok().map(|ReadPosition { position }| position)
    }

    /// Whether a manager may stand for elections, by its own word.
    pub(super) async fn is_admitted(&self, node: NodeId, address: &str) -> bool {
        let manager = Leader { node, address: address.to_owned() };
        let wait = self.timing.lease_wait();
        self.leader(&manager).ask("/raft/admitted", &(), wait).await.unwrap_or(false)
    }

    /// Has `leader` propose `entry`.
    pub(super) async fn propose<E: Serialize>(
        &self,
        leader: &Leader,
        entry: &E,
        wait: Duration,
    ) -> Result<Answer, CallError> {
        self.leader(leader).ask("/raft/propose", entry, wait).await
    }

    /// The leader on the lane for what is not Raft's own.
    fn leader(&self, leader: &Leader) -> Peer {
        let target =
            Target { node: Some(leader.node), address: leader.address.clone(), lane: Lane::Api };
        Peer { target, peers: self.clone() }
    }
}

impl Peer {
    /// Sends `question` as JSON and reads the answer as JSON.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &'static str,
        question: &Q,
        wait: Duration,
    ) -> Result<A, CallError> {
        let body = serde_json::to_vec(question).map_err(|e| CallError::broken(&e))?;
        let ask = async {
            let response = self.peers.carrier.post(&self.target, path, Body::from(body)).await?;
            let body = http_body_util::Limited::new(response.into_body(), MAX_REPLY);
            let bytes = body.collect().await.map_err(|e| CallError::broken(&*e))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|e| CallError::broken(&e))
        };
        timeout(wait, ask).await.unwrap_or(Err(CallError::Timeout { waited: wait }))
    }

    /// How long a message of a stream may wait for its result. Above what an fsync takes on a busy
    /// disk, and above the lease, so that it ends only what is really lost.
    fn patience(&self) -> Duration {
        self.peers.timing.election_max * 4
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: Voter, node: &BasicNode) -> Peer {
        let target = Target { node: Some(target.0), address: node.addr.clone(), lane: Lane::Raft };
        Peer { target, peers: self.clone() }
    }
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask("/raft/vote", &rpc, option.hard_ttl()).await.map_err(rpc_error)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask("/raft/pre-vote", &rpc, option.hard_ttl()).await.map_err(rpc_error)
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask("/raft/transfer-leader", &rpc, option.hard_ttl()).await.map_err(rpc_error)
    }
}

/// When each message that has no result yet was sent, oldest first.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<VecDeque<Instant>>>);

impl Pending {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Results<'s> = futures_util::stream::BoxStream<
    's,
    Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>,
>;

impl NetStreamAppend<TypeConfig> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> futures_util::future::BoxFuture<'s, Result<Results<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let mut input = input;
            // Raft holds the first message back after a failure: so wait for it, then connect.
            let Some(first) = input.next().await else {
                return Ok(futures_util::stream::empty().boxed());
            };
            let pending = Pending::default();
            let sent = pending.clone();
            let first = futures_util::stream::once(async { first });
            let messages = first.chain(input).map(move |request| {
                sent.lock().push_back(Instant::now());
                encode_append(&request)
            });
            let body = Body::from_stream(messages);
            let open = self.peers.carrier.post(&self.target, "/raft/append", body);
            // The first use may have to connect, which a heartbeat's time is too short for.
            let wait = option.hard_ttl().max(self.patience());
            let opened = timeout(wait, open).await;
            let opened = opened.unwrap_or(Err(CallError::Timeout { waited: wait }));
            self.peers.note(&self.target, opened.as_ref().err());
            let response = opened.map_err(rpc_error)?;
            let state = Some((frames(response.into_body()), pending, self.patience()));
            let results = futures_util::stream::unfold(state, |state| async {
                let (mut frames, pending, patience) = state?;
                let result = next_result(&mut frames, &pending, patience).await?;
                let go_on = matches!(result, Ok(Ok(_)));
                Some((result, go_on.then_some((frames, pending, patience))))
            });
            Ok(results.boxed())
        })
    }
}

async fn next_result(
    frames: &mut (impl Stream<Item = io::Result<BytesMut>> + Unpin),
    pending: &Pending,
    patience: Duration,
) -> Option<Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> {
    loop {
        match timeout(patience, frames.next()).await {
            Ok(Some(Ok(frame))) => {
                pending.lock().pop_front();
                let result = serde_json::from_slice(&frame);
                return Some(result.map_err(|e| rpc_error(CallError::broken(&e))));
            }
            Ok(Some(Err(e))) => return Some(Err(rpc_error(CallError::broken(&e)))),
            Ok(None) => return None,
            Err(_) => {
                let oldest = pending.lock().front().map(Instant::elapsed);
                if let Some(waited) = oldest.filter(|waited| *waited >= patience) {
                    return Some(Err(rpc_error(CallError::Timeout { waited })));
                }
            }
        }
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = SnapshotFile;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let SnapshotOf::<TypeConfig, SnapshotFile> { meta, snapshot } = snapshot;
        let header = SnapshotHeader { vote, meta };
        let broken = |e: io::Error| StreamingError::from(rpc_error(CallError::broken(&e)));
        let head = frame(&serde_json::to_vec(&header).map_err(io::Error::from).map_err(broken)?);
        let (pieces, body) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(4);
        let snapshots = self.peers.snapshots.clone();
        tokio::spawn(async move {
            if let Err(e) = read_pieces(&snapshots, &snapshot, &pieces).await {
                // The transfer is given up by the receiver's end of the channel, or by this.
                let _ = pieces.send(Err(e)).await;
            }
        });
        let body = futures_util::stream::once(async { Ok(head) })
            .chain(tokio_stream::wrappers::ReceiverStream::new(body));
        let send = async {
            let post =
                self.peers.carrier.post(&self.target, "/raft/snapshot", Body::from_stream(body));
            let response = post.await?;
            let body = http_body_util::Limited::new(response.into_body(), MAX_REPLY);
            let bytes = body.collect().await.map_err(|e| CallError::broken(&*e))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|e| CallError::broken(&e))
        };
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = timeout(option.soft_ttl(), send) => match sent {
                Ok(answer) => answer.map_err(|e| rpc_error(e).into()),
                Err(_) => Err(rpc_error(CallError::Timeout { waited: option.soft_ttl() }).into()),
            },
        }
    }
}

async fn read_pieces(
    snapshots: &Snapshots,
    snapshot: &SnapshotFile,
    pieces: &tokio::sync::mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut reader = snapshots.reader(&snapshot.path)?;
    loop {
        let read = blocking(move || {
            let mut buffer = vec![0; SNAPSHOT_FRAME];
            let length = reader.read(&mut buffer)?;
            Ok::<_, io::Error>((frame(&buffer[..length]), length, reader))
        });
        let (piece, length);
        (piece, length, reader) = read.await??;
        let gone = |_| io::Error::other("the transfer was given up");
        pieces.send(Ok(piece)).await.map_err(gone)?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// `content` with its length before it.
pub(super) fn frame(content: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + content.len());
    bytes.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
    bytes.put_slice(content);
    bytes.freeze()
}

/// The frames of a body.
pub(super) fn frames<B>(
    body: B,
) -> impl Stream<Item = io::Result<BytesMut>> + Unpin + Send + 'static
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bytes = body.into_data_stream().map(|data| data.map_err(io::Error::other));
    let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec();
    FramedRead::new(StreamReader::new(bytes), codec)
}

fn encode_append(request: &AppendEntriesRequest<TypeConfig>) -> io::Result<Bytes> {
    let header = AppendHeader {
        vote: request.vote,
        prev: request.prev_log_id,
        commit: request.leader_commit,
        entries: request.entries.iter().map(EntryHeader::of).collect(),
    };
    let header = codec::with_header(&header)?;
    let payloads: usize = request.entries.iter().map(|e| codec::payload(e).len()).sum();
    let mut bytes = BytesMut::with_capacity(4 + header.len() + payloads);
    bytes.put_u32(u32::try_from(header.len() + payloads).map_err(io::Error::other)?);
    bytes.put_slice(&header);
    for entry in &request.entries {
        bytes.put_slice(codec::payload(entry));
    }
    Ok(bytes.freeze())
}

/// The append message of such a frame.
pub(super) fn decode_append(frame: BytesMut) -> io::Result<AppendEntriesRequest<TypeConfig>> {
    let mut rest = frame.freeze();
    let header: AppendHeader = codec::header(&mut rest)?;
    let entries = header.entries.into_iter().map(|entry| entry.entry(&mut rest));
    Ok(AppendEntriesRequest {
        vote: header.vote,
        prev_log_id: header.prev,
        leader_commit: header.commit,
        entries: entries.collect::<io::Result<_>>()?,
    })
}

fn rpc_error(error: CallError) -> RPCError<TypeConfig> {
    match &error {
        CallError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(&error)),
        CallError::Broken { .. } | CallError::Timeout { .. } | CallError::Refused { .. } => {
            RPCError::Network(NetworkError::new(&error))
        }
    }
}
