//! Autolock: a manager that was restarted reads its data only after somebody has given the key.
//!
//! The key (`SWMKEY-1-…`, Docker's form: 32 bytes, base 64) is drawn when the cluster is told to lock
//! its managers and lies in its state, which managers hold sealed. Each manager wraps its data key
//! with it ([`follow`]). A manager that starts and finds its data key wrapped answers on its socket that
//! it is locked, to everything but the key ([`wait`]); its host goes on as a worker meanwhile.
//!
//! Deliberately absent: new data keys. What was written before the lock is sealed under a key that lay on
//! the disk in the clear once; and the host's own certificate is not locked, for its tasks go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::BASE64_NOPAD;
use model::NodeId;
use model::api::{ErrorBody, SwarmInfo, UnlockKey};
use orchestrator_core::State;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::log::Log;
use crate::log::seal::{self, SealError, SecretKey};

/// What a key begins with.
const PREFIX: &str = "SWMKEY-1-";

/// How often a lock that could not be changed is tried again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Docker's text of a manager that waits for its key.
const LOCKED: &str = "Swarm is encrypted and needs to be unlocked before it can be used. Please use \
    \"docker swarm unlock\" to unlock it.";

/// A new key, as people see it.
///
/// # Errors
/// When the system gives no random numbers.
pub fn new_key() -> std::io::Result<String> {
    let mut key = SecretKey::default();
    seal::random(&mut *key)?;
    Ok(format!("{PREFIX}{}", BASE64_NOPAD.encode(&*key)))
}

/// The bytes of a key; none where it is no key.
#[must_use]
pub fn parse_key(text: &str) -> Option<SecretKey> {
    let bytes = BASE64_NOPAD.decode(text.trim().strip_prefix(PREFIX)?.as_bytes()).ok()?;
    Some(Zeroizing::new(Zeroizing::new(bytes)[..].try_into().ok()?))
}

/// The key that was given, and whoever gave it, who waits until the manager answers.
pub(crate) struct Unlocked {
    pub(crate) key: SecretKey,
    pub(crate) told: oneshot::Sender<()>,
}

struct Waiting {
    node: NodeId,
    key_file: PathBuf,
    unlocked: mpsc::Sender<Unlocked>,
}

/// Answers on `socket` that this manager is locked, until the right key is given.
///
/// # Errors
/// Those of the socket.
pub(crate) async fn wait(
    socket: UnixListener,
    key_file: &Path,
    node: NodeId,
) -> std::io::Result<Unlocked> {
    let (unlocked, mut given) = mpsc::channel(1);
    let waiting = Arc::new(Waiting { node, key_file: key_file.to_owned(), unlocked });
    let router = Router::new()
        .route("/_swarm/info", get(info))
        .route("/swarm/unlock", post(unlock))
        .fallback(async || refusal(StatusCode::SERVICE_UNAVAILABLE, LOCKED))
        .with_state(waiting);
    let closing = CancellationToken::new();
    let until = closing.clone().cancelled_owned();
    // Goes on after this returns: whoever gave the key has no answer yet.
    let served =
        tokio::spawn(
            async move { axum::serve(socket, router).with_graceful_shutdown(until).await },
        );
    tracing::warn!("this manager is locked; waiting for its key (swarmctl unlock)");
    tokio::select! {
        Some(unlocked) = given.recv() => {
            closing.cancel();
            Ok(unlocked)
        }
        ended = served => Err(match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => std::io::Error::other("the socket was closed"),
        }),
    }
}

fn refusal(status: StatusCode, text: &str) -> Response {
    (status, Json(ErrorBody { message: text.to_owned() })).into_response()
}

async fn info(Shared(waiting): Shared<Arc<Waiting>>) -> Json<SwarmInfo> {
    Json(SwarmInfo {
        node_id: waiting.node.to_string(),
        local_node_state: "locked".to_owned(),
        ..SwarmInfo::default()
    })
}

async fn unlock(Shared(waiting): Shared<Arc<Waiting>>, body: Bytes) -> Response {
    let Ok(UnlockKey { unlock_key }) = serde_json::from_slice(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "the request's body is no JSON with an UnlockKey");
    };
    let Some(key) = parse_key(&unlock_key) else {
        let text = "no unlock key: it begins with SWMKEY-1- and is 52 characters long";
        return refusal(StatusCode::BAD_REQUEST, text);
    };
    match seal::try_unlock(&waiting.key_file, &key) {
        Ok(()) => {}
        Err(SealError::Unreadable) => {
            let text = "swarm could not be unlocked: invalid key provided";
            return refusal(StatusCode::UNAUTHORIZED, text);
        }
        Err(error) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
    let (told, serving) = oneshot::channel();
    if waiting.unlocked.send(Unlocked { key, told }).await.is_err() || serving.await.is_err() {
        let text = "the key is right, but the manager does not start; its log says why";
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, text);
    }
    StatusCode::OK.into_response()
}

/// Locks this manager's data key as the cluster's state says, now and whenever that changes.
/// `current` opens it now.
pub(crate) async fn follow(
    log: Log<State>,
    key_file: PathBuf,
    mut current: Option<SecretKey>,
    closing: CancellationToken,
) {
    let (mut state, mut changes) = log.watch();
    loop {
        // A state without a cluster is one that has not been caught up with.
        let known = state.state.cluster().map(|c| c.unlock_key.as_deref().and_then(parse_key));
        let mut tried_in_vain = false;
        if let Some(wanted) = known.filter(|wanted| *wanted != current) {
            match seal::relock(&key_file, current.as_ref(), wanted.as_ref()) {
                Ok(()) => {
                    tracing::info!(
                        locked = wanted.is_some(),
                        "the lock of this manager has changed"
                    );
                    current = wanted;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot change the lock of this manager's data");
                    tried_in_vain = true;
                }
            }
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(AGAIN), if tried_in_vain => {}
            change = changes.next() => match change {
                Some(_) => state = log.state(),
                None => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_nothing_else_is_a_key() {
        let key = new_key().expect("random numbers");
        assert_eq!(key.len(), 52);
        assert!(parse_key(&key).is_some());
        assert!(parse_key(&format!(" {key}\n")).is_some());
        assert_ne!(new_key().expect("random numbers"), key);
        for wrong in ["", "SWMKEY-1-", "SWMKEY-2-AAAA", &key[..40], &format!("{key}A")] {
            assert!(parse_key(wrong).is_none(), "{wrong}");
        }
    }
}
