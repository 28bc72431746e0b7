//! A manager whose data is locked: what it answers, and how it is opened.

use orchestrator_core::command::{Batch, Command, Entry};

use super::*;
use crate::log::seal::DATA_KEY;

/// What the manager's own socket answers, before there is an API.
async fn ask_socket(folder: &Path, method: &str, path: &str, body: &str) -> (u16, String) {
    let socket = folder.join("manager.sock");
    let stream = timeout(SOON, async {
        loop {
            match tokio::net::UnixStream::connect(&socket).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let stream = hyper_util::rt::TokioIo::new(stream.await.expect("a socket in time"));
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(stream).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let request = axum::extract::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "manager")
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let answer = send.send_request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.expect("a body").to_bytes();
    connection.abort();
    (status, String::from_utf8_lossy(&text).into_owned())
}

/// Waits until the data key on the disk is locked, or is not.
async fn locked_on_disk(folder: &Path, expected: bool) {
    let file = folder.join("manager").join(DATA_KEY);
    let seen = async {
        while crate::log::seal::is_locked(&file).expect("a key file") != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, seen).await.expect("the lock follows the state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_manager_that_was_restarted_waits_for_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = free().await;
    let mut start = Start::default();
    start.spec.encryption_config.auto_lock_managers = true;
    let manager = Manager::bootstrap(settings(folder.path(), listen), start).await;
    let first = Running::serve(folder, listen, manager.expect("a cluster"));
    locked_on_disk(first.folder.path(), true).await;
    let key = first.log.state().state.cluster().and_then(|c| c.unlock_key.clone()).expect("a key");
    let folder = first.stop().await;

    let opening = tokio::spawn(Manager::open(settings(folder.path(), listen)));
    let (status, text) = ask_socket(folder.path(), "GET", "/services", "").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("Swarm is encrypted and needs to be unlocked"), "{text}");
    let (_, info) = ask_socket(folder.path(), "GET", "/_swarm/info", "").await;
    assert!(info.contains(r#""LocalNodeState":"locked""#), "{info}");
    let give = |key: &str| format!(r#"{{"UnlockKey":"{key}"}}"#);
    for no_key in ["{}".to_owned(), give("SWMKEY-1-AAAA")] {
        let (status, text) = ask_socket(folder.path(), "POST", "/swarm/unlock", &no_key).await;
        assert_eq!(status, 400, "{text}");
    }
    let wrong = give(&crate::lock::new_key().expect("another key"));
    let (status, text) = ask_socket(folder.path(), "POST", "/swarm/unlock", &wrong).await;
    assert_eq!((status, text.contains("invalid key")), (401, true), "{text}");

    let right = give(&key);
    let path = folder.path().to_owned();
    let unlocking =
        tokio::spawn(async move { ask_socket(&path, "POST", "/swarm/unlock", &right).await });
    let manager = timeout(SOON, opening).await.expect("in time").expect("no panic");
    let second = Running::serve(folder, listen, manager.expect("the key opens it"));
    let (status, text) = timeout(SOON, unlocking).await.expect("in time").expect("no panic");
    assert_eq!(status, 200, "{text}");
    let mut leadership = second.log.watch_leadership();
    let leading = leadership.wait_for(|now| now.is_leading);
    timeout(SOON, leading).await.expect("in time").expect("a running log");

    // Without the lock it starts by itself again.
    let state = second.log.read().await.expect("a leader").state.clone();
    let cluster = state.cluster().expect("a cluster");
    let mut spec = cluster.spec.clone();
    spec.encryption_config.auto_lock_managers = false;
    let command = Command::update_cluster(cluster.meta.version, spec);
    let entry =
        Entry { at: crate::log::clock(), batch: Batch { commands: vec![command], base: None } };
    second.log.propose(entry).await.expect("written");
    locked_on_disk(second.folder.path(), false).await;
    let folder = second.stop().await;
    let manager = timeout(SOON, Manager::open(settings(folder.path(), listen))).await;
    let third = Running::serve(folder, listen, manager.expect("in time").expect("no key needed"));
    third.stop().await;
}
