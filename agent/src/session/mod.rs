//! The session with the leader: orders come down, heartbeats and reports go up.
//!
//! It runs on a thread of its own, so that no load on this host delays a heartbeat. When a session
//! ends, for whatever reason, the next manager is tried: the leader that the last one named, those of
//! the orders, those known from joining. What is bulky goes over connections of its own, see `stream`.

mod stream;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use model::NodeId;
use model::object::{NodeDescription, Revision};
use model::wire::frame::{Decoder, FrameError, encode};
use model::wire::session::{FromAgent, FromManager, PATIENCE, PROTOCOL};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::engine::Containers;
use crate::orders::Desk;
use crate::transport::Identity;
use crate::transport::link::{Link, LinkError, post, refusal};
use crate::worker::Reports;

/// How long a manager may take from the request to its first frame.
const HELLO: Duration = Duration::from_secs(3);
/// How long a session waits for the engine's first description of the host.
const ENGINE: Duration = Duration::from_secs(5);
/// Reports that were not acknowledged are sent again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two tries: from the first to the second, with up to as much again by chance.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1_500));
/// How long the leader may take to hear that this node leaves.
const GOODBYE: Duration = Duration::from_secs(2);
/// Frames that may wait for a slow connection.
const FRAMES: usize = 32;

/// What the session is with the rest of the agent.
pub struct Session {
    pub identity: watch::Receiver<Arc<Identity>>,
    pub desk: Arc<Desk>,
    pub reports: Reports,
    pub applied: watch::Receiver<Revision>,
    pub description: watch::Receiver<NodeDescription>,
    pub engine: Arc<dyn Containers>,
    /// Managers known from joining, tried when the orders name none.
    pub managers: Vec<String>,
    /// Where the session stands, for everybody else.
    pub standing: watch::Sender<Standing>,
    /// Set when the node should say goodbye.
    pub leaving: CancellationToken,
    /// The runtime of everything but heartbeats.
    pub main: Handle,
}

/// Where the session stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Looking for the leader; why the last try failed.
    #[default]
    Searching,
    Trouble(String),
    /// The leader's address.
    Connected(String),
    /// The leader has heard that the node leaves.
    Left,
    /// The node has been removed from the cluster.
    Removed,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("it does not lead")]
    NotLeader { leader: Option<String>, managers: Vec<String> },
    #[error("it sent something else than frames")]
    Frames(#[from] FrameError),
    #[error("it was silent for too long")]
    Silent,
    #[error("it ended the session")]
    Closed,
    #[error("the certificate was renewed")]
    Renewed,
    #[error("the node has been removed from the cluster")]
    Removed,
    #[error("the node has left")]
    Left,
}

/// Runs sessions on a thread of its own until `stop`.
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn(session: Session, stop: CancellationToken) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(String::from("session")).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = session.run() => {}
            }
        });
    })?;
    Ok(())
}

impl Session {
    async fn run(self) {
        let mut next: VecDeque<String> = VecDeque::new();
        let mut pause = PAUSE.0;
        let mut last = String::new();
        loop {
            if next.is_empty() {
                next = self.candidates();
            }
            let Some(address) = next.pop_front() else {
                sleep(PAUSE.1).await;
                continue;
            };
            let began = Instant::now();
            let end = self.once(&address).await;
            let was_good = matches!(&*self.standing.borrow(), Standing::Connected(_));
            match end {
                End::Removed => {
                    tracing::warn!("this node has been removed from the cluster");
                    self.standing.send_replace(Standing::Removed);
                    return;
                }
                End::Left => {
                    self.standing.send_replace(Standing::Left);
                    return;
                }
                End::NotLeader { leader, managers } => {
                    tracing::debug!(address, ?leader, "not the leader");
                    next.retain(|known| managers.contains(known));
                    if let Some(leader) = leader {
                        next.retain(|known| *known != leader);
                        next.push_front(leader);
                    }
                    for manager in managers {
                        if manager != address && !next.contains(&manager) {
                            next.push_back(manager);
                        }
                    }
                    self.standing.send_replace(Standing::Searching);
                }
                end => {
                    let text = format!("{address}: {end}");
                    // Once for each new trouble, not for each try.
                    if was_good || text != last {
                        tracing::warn!(address, why = %end, "no session with this manager");
                    }
                    self.standing.send_replace(Standing::Trouble(text.clone()));
                    last = text;
                }
            }
            pause = if was_good || began.elapsed() > PAUSE.1 * 4 {
                PAUSE.0
            } else {
                (pause * 2).min(PAUSE.1)
            };
            let share: f64 = rand::random();
            sleep(pause.mul_f64(1.0 + share)).await;
        }
    }

    /// Managers in the order in which they are tried.
    fn candidates(&self) -> VecDeque<String> {
        let mut all: VecDeque<String> = VecDeque::new();
        if let Some(orders) = &*self.desk.latest().borrow() {
            all.extend(orders.cluster.managers.values().cloned());
        }
        // Not all agents of a cluster ask the same manager first.
        if !all.is_empty() {
            all.rotate_left(rand::random_range(0..all.len()));
        }
        for known in &self.managers {
            if !all.contains(known) {
                all.push_back(known.clone());
            }
        }
        all
    }

    async fn once(&self, address: &str) -> End {
        match self.talk(address).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn talk(&self, address: &str) -> Result<std::convert::Infallible, End> {
        let mut identity = self.identity.clone();
        let tls = identity.borrow_and_update().client();
        let mut link = Link::open(address, tls).await?;
        let (frames, receiver) = mpsc::channel::<Bytes>(FRAMES);
        let stream = ReceiverStream::new(receiver).map(|bytes| Ok(Frame::data(bytes)));
        // A host must not describe itself as one without CPUs because its engine is late.
        let mut described = self.description.clone();
        let known = described.wait_for(|d| !d.engine.version.is_empty());
        // Without an engine it says so: names and routes are still worth a session.
        let _ = timeout(ENGINE, known).await;
        let hello = FromAgent::Hello {
            protocol: PROTOCOL,
            description: self.description.borrow().clone(),
            have: self.desk.fence(),
        };
        put(&frames, &hello).await?;
        let broken = |_| LinkError::Broken {
            address: address.to_owned(),
            why: format!("no answer in {HELLO:?}"),
        };
        let request = post("/session", BodyExt::boxed(StreamBody::new(stream)));
        let response = timeout(HELLO, link.send(request)).await.map_err(broken)??;
        if !response.status().is_success() {
            let status = response.status();
            let bytes = response.into_body().collect().await.map(|b| b.to_bytes());
            let refused = refusal(status, &bytes.unwrap_or_default());
            // 410 and nothing else: any other refusal may pass.
            let gone = matches!(&refused, LinkError::Refused { status: 410, .. });
            return Err(if gone { End::Removed } else { End::Link(refused) });
        }
        let mut incoming = Frames { body: response.into_body(), decoder: Decoder::default() };
        let welcome = timeout(HELLO, incoming.next()).await.map_err(broken)??;
        let (node, period, silence) = match welcome {
            FromManager::Welcome { node, heartbeat, silence, .. } => (
                node,
                Duration::from_millis(heartbeat.0.max(10)),
                Duration::from_millis(silence.0.max(100)),
            ),
            FromManager::NotLeader { leader, managers } => {
                return Err(End::NotLeader { leader, managers: managers.into_values().collect() });
            }
            FromManager::Removed => return Err(End::Removed),
            _ => return Err(End::Closed),
        };
        tracing::info!(address, %node, "session with the leader");
        self.standing.send_replace(Standing::Connected(address.to_owned()));
        self.reports.start_over();
        self.serve(address, node, period, silence, &frames, &mut incoming, &mut identity).await
    }

    #[allow(clippy::too_many_arguments)] // one connection's parts, used here only
    async fn serve(
        &self,
        address: &str,
        node: NodeId,
        period: Duration,
        silence: Duration,
        frames: &mpsc::Sender<Bytes>,
        incoming: &mut Frames,
        identity: &mut watch::Receiver<Arc<Identity>>,
    ) -> Result<std::convert::Infallible, End> {
        let mut beat = interval(period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut applied, mut description) = (self.applied.clone(), self.description.clone());
        description.mark_unchanged();
        let mut seq = 0;
        let mut sent_reports: Option<Instant> = None;
        let mut goodbye: Option<(u64, Instant)> = None;
        let mut heard = Instant::now();
        let streams = stream::Streams::new(address, identity.borrow().clone(), self.engine.clone());
        loop {
            let again = sent_reports.map_or(Duration::MAX, |at| (at + AGAIN) - Instant::now());
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    seq += 1;
                    let applied = *applied.borrow_and_update();
                    put(frames, &FromAgent::Heartbeat { seq, applied }).await?;
                    let silent = heard.elapsed();
                    // Of the only manager: nobody else could lead.
                    let alone = || self.candidates().iter().all(|known| known == address);
                    if silent > silence && (silent > silence * PATIENCE || !alone()) {
                        return Err(End::Silent);
                    }
                }
                Ok(()) = applied.changed() => {
                    seq += 1;
                    let applied = *applied.borrow_and_update();
                    put(frames, &FromAgent::Heartbeat { seq, applied }).await?;
                }
                frame = incoming.next() => {
                    heard = Instant::now();
                    match frame? {
                        FromManager::Welcome { .. } => return Err(End::Closed),
                        FromManager::NotLeader { leader, managers } => {
                            let managers = managers.into_values().collect();
                            return Err(End::NotLeader { leader, managers });
                        }
                        FromManager::HeartbeatAck { seq } => {
                            if goodbye.is_some_and(|(wanted, _)| seq >= wanted) {
                                return Err(End::Left);
                            }
                        }
                        FromManager::Orders { orders } => {
                            if orders.node.id != node || !self.desk.whole(*orders) {
                                return Err(End::Closed);
                            }
                        }
                        FromManager::Delta { delta } => {
                            if !self.desk.delta(*delta) {
                                put(frames, &FromAgent::Resend).await?;
                            }
                        }
                        FromManager::StatusAck { seq } => {
                            self.reports.acknowledged(seq);
                            sent_reports = None;
                            // What was reported meanwhile goes out now, as one.
                            if let Some((seq, statuses)) = self.reports.batch() {
                                put(frames, &FromAgent::Statuses { seq, statuses }).await?;
                                sent_reports = Some(Instant::now());
                            }
                        }
                        FromManager::Open { stream, request } => {
                            self.main.spawn(streams.clone().serve(stream, request));
                        }
                        FromManager::Removed => return Err(End::Removed),
                    }
                }
                () = self.reports.changed(), if sent_reports.is_none() => {
                    if let Some((seq, statuses)) = self.reports.batch() {
                        put(frames, &FromAgent::Statuses { seq, statuses }).await?;
                        sent_reports = Some(Instant::now());
                    }
                }
                () = sleep(again), if sent_reports.is_some() => {
                    sent_reports = None;
                    if let Some((seq, statuses)) = self.reports.batch() {
                        put(frames, &FromAgent::Statuses { seq, statuses }).await?;
                        sent_reports = Some(Instant::now());
                    }
                }
                Ok(()) = description.changed() => {
                    let description = description.borrow_and_update().clone();
                    put(frames, &FromAgent::Description { description }).await?;
                }
                Ok(()) = identity.changed() => return Err(End::Renewed),
                () = self.leaving.cancelled(), if goodbye.is_none() => {
                    put(frames, &FromAgent::Leaving).await?;
                    seq += 1;
                    let applied = *applied.borrow();
                    put(frames, &FromAgent::Heartbeat { seq, applied }).await?;
                    goodbye = Some((seq, Instant::now()));
                }
                () = sleep(goodbye.map_or(GOODBYE, |(_, at)| (at + GOODBYE) - Instant::now())),
                    if goodbye.is_some() => return Err(End::Left),
            }
        }
    }
}

async fn put(frames: &mpsc::Sender<Bytes>, frame: &FromAgent) -> Result<(), End> {
    frames.send(Bytes::from(encode(frame)?)).await.map_err(|_| End::Closed)
}

/// The frames of an answer's body.
struct Frames {
    body: Incoming,
    decoder: Decoder<FromManager>,
}

impl Frames {
    async fn next(&mut self) -> Result<FromManager, End> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.decoder.push(&bytes);
                    }
                }
                Some(Err(_)) | None => return Err(End::Closed),
            }
        }
    }
}
