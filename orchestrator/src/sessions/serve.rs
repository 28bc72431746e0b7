//! Serves one session: `POST /session`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures_util::StreamExt;
use model::Millis;
use model::wire::frame::Decoder;
use model::wire::session::{FromAgent, FromManager, PATIENCE, PROTOCOL};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::outbox::{Inlet, Outbox, encode};
use super::{Event, Sessions, What, streams};
use crate::transport::Peer;

/// What agents are told about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Between two heartbeats.
    pub heartbeat: Millis,
    /// After so much silence a node is taken for lost, and an agent looks for another leader.
    pub silence: Millis,
}

/// How long an agent may take from the request to its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Chunks that may wait in HTTP/2's window of one agent.
const CHUNKS: usize = 4;

/// `/session` and `/stream/{id}`; the transport has checked the certificate.
pub fn routes(sessions: Arc<Sessions>) -> Router {
    Router::new()
        .route("/session", post(session))
        .route("/stream/{id}", post(streams::serve))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(sessions)
}

/// What managers ask of the one that has the sessions.
pub fn for_managers(sessions: Arc<Sessions>) -> Router {
    Router::new()
        .route(&format!("{}/{{node}}", streams::RELAY), post(streams::relay))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(sessions)
}

async fn session(State(sessions): State<Arc<Sessions>>, peer: Peer, body: Body) -> Response {
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        if let Err(why) = serve(&sessions, &peer, body, &chunks).await {
            tracing::info!(node = %peer.node, %why, "session ended");
        }
    });
    Response::new(Body::from_stream(ReceiverStream::new(receiver).map(Ok::<Bytes, std::io::Error>)))
}

/// Why a session ended, for the log.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no hello came in time")]
    NoHello,
    #[error("the agent speaks protocol {0}, this manager {PROTOCOL}")]
    Protocol(u32),
    #[error("the agent sent something else than frames")]
    Frames(#[from] model::wire::frame::FrameError),
    #[error("the connection broke")]
    Broken,
    #[error("the agent was silent for {0}")]
    Silent(Millis),
    #[error("this manager does not lead any more")]
    NotLeader,
    #[error("a newer session, or too slow")]
    Closed,
    #[error("the agent ended it")]
    Ended,
}

/// Frames of a request's body.
struct Frames {
    body: axum::body::BodyDataStream,
    decoder: Decoder<FromAgent>,
}

impl Frames {
    async fn next(&mut self) -> Result<FromAgent, End> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.decoder.push(&bytes),
                Some(Err(_)) => return Err(End::Broken),
                None => return Err(End::Ended),
            }
        }
    }
}

async fn serve(
    sessions: &Arc<Sessions>,
    peer: &Peer,
    body: Body,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<(), End> {
    let mut frames = Frames { body: body.into_data_stream(), decoder: Decoder::default() };
    let hello = tokio::time::timeout(HELLO_TIMEOUT, frames.next()).await;
    let Ok(Ok(FromAgent::Hello { protocol, description, have })) = hello else {
        return Err(End::NoHello);
    };
    if protocol > PROTOCOL {
        return Err(End::Protocol(protocol));
    }
    let mut leadership = sessions.leadership.clone();
    let now = leadership.borrow_and_update().clone();
    let Some(term) = now.leading else {
        let frame = FromManager::NotLeader { leader: now.leader, managers: now.managers };
        if let Some(bytes) = encode(&frame) {
            // The agent may have gone: then it needs no answer.
            let _ = chunks.send(bytes).await;
        }
        return Err(End::NotLeader);
    };
    let settings = *sessions.settings.borrow();
    let (outbox, mut inlet) = Outbox::new();
    let session = sessions.begin(peer.node, &outbox);
    outbox.send(FromManager::Welcome {
        node: peer.node,
        term,
        heartbeat: settings.heartbeat,
        silence: settings.silence,
    });
    tracing::info!(node = %peer.node, session, "session began");
    let event = |what| Event { node: peer.node, session, what };
    let began = What::Began { description, have, outbox: outbox.clone() };
    let mut outcome = sessions.events.send(event(began)).await.map_err(|_| End::Closed);
    if outcome.is_ok() {
        outcome = tokio::select! {
            end = read(sessions, &mut frames, &outbox, settings, event, &mut inlet, chunks) => end,
            _ = leadership.wait_for(|l| l.leading != Some(term)) => Err(End::NotLeader),
        };
    }
    outbox.close();
    sessions.end(peer.node, session);
    // The loop may have stopped together with leadership: then nobody needs to know.
    let _ = sessions.events.send(event(What::Ended)).await;
    outcome
}

/// Both directions, until one ends.
async fn read(
    sessions: &Sessions,
    frames: &mut Frames,
    outbox: &Outbox,
    settings: Settings,
    event: impl Fn(What) -> Event,
    inlet: &mut Inlet,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<(), End> {
    // A host that is taken for lost and was only slow goes on with its session.
    let longest = Millis(settings.silence.0 * u64::from(PATIENCE));
    let silence = Duration::from_millis(longest.0);
    let incoming = async {
        loop {
            let frame = tokio::time::timeout(silence, frames.next())
                .await
                .map_err(|_| End::Silent(longest))??;
            let what = match frame {
                FromAgent::Hello { .. } => return Err(End::Closed),
                FromAgent::Heartbeat { seq, applied } => {
                    outbox.send(FromManager::HeartbeatAck { seq });
                    What::Heartbeat { applied }
                }
                FromAgent::Statuses { seq, statuses } => What::Statuses { seq, reports: statuses },
                FromAgent::Description { description } => What::Description { description },
                FromAgent::Leaving => What::Leaving,
                FromAgent::Resend => What::Resend,
            };
            sessions.events.send(event(what)).await.map_err(|_| End::Closed)?;
        }
    };
    let outgoing = async {
        loop {
            let bytes = inlet.next().await.ok_or(End::Closed)?;
            chunks.send(bytes).await.map_err(|_| End::Broken)?;
        }
    };
    tokio::select! {
        end = incoming => end,
        end = outgoing => end,
    }
}
