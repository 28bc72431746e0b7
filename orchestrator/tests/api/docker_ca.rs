//! The unmodified docker CLI rotates the certificate authority.

use model::spec::Role;
use orchestrator::api::Cluster as _;
use serde_json::{Value, json};

use crate::client::Client;
use crate::docker_cli::Docker;
use crate::memory::wall;

#[tokio::test(flavor = "multi_thread")]
async fn docker_waits_until_every_node_has_followed_and_prints_the_new_root() {
    let Some(docker) = Docker::start(2).await else { return };
    let before = docker.run("swarm ca").await.out;
    let tokens = docker.run("swarm join-token -q worker").await.out;
    let done = docker.run("swarm ca --rotate").await;
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("desired root digest: sha256:"), "{}", done.out);
    let after = docker.run("swarm ca").await.out;
    assert!(done.out.ends_with(&after), "{}", done.out);
    assert_ne!(after, before);
    assert_ne!(docker.run("swarm join-token -q worker").await.out, tokens);
    let list = docker.run("node ls --format {{.TLSStatus}}").await.out;
    assert_eq!(list, "Ready\nReady\nReady\n");
    // To one that is given.
    let (cert, key) = root();
    docker.write("root.pem", &cert);
    docker.write("root.key", &key);
    let done = docker
        .run("swarm ca --rotate --cert-expiry 720h --ca-cert root.pem --ca-key root.key")
        .await;
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.trim_end().ends_with(cert.trim_end()), "{}", done.out);
    let format = ["ForceRotate", "NodeCertExpiry", "SigningCACert", "SigningCAKey"]
        .map(|key| format!("{{{{.Swarm.Cluster.Spec.CAConfig.{key}}}}}"))
        .join("/");
    let spec = docker.run(&format!("info --format {format}")).await.out;
    assert_eq!(spec, "1/720h0m0s//\n", "what was given is not shown");
    let line =
        "swarm ca --rotate --ca-cert root.pem --external-ca protocol=cfssl,url=https://x.example";
    let done = docker.run(line).await;
    assert_eq!(done.code, 1, "{}", done.out);
    assert!(
        done.err.contains("an external certificate authority is not supported"),
        "{}",
        done.err
    );
    // Without waiting.
    let done = docker.run("swarm ca --rotate -d -q").await;
    assert_eq!((done.code, &*done.out), (0, ""), "{}", done.err);
}

/// A root certificate and its key.
fn root() -> (String, String) {
    let root = orchestrator::ca::new_root(wall()).expect("a root");
    (root.cert_pem, root.key_pem)
}

/// Asks for a change of the authority.
async fn update(client: &Client, edit: impl FnOnce(&mut Value)) -> (u16, Value) {
    let swarm = client.get("/swarm").await.ok();
    let mut spec = swarm["Spec"].clone();
    edit(&mut spec["CAConfig"]);
    let path = format!("/swarm/update?version={}", swarm["Version"]["Index"]);
    let answer = client.post(&path, &spec).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_node_that_is_away_holds_the_rotation_up_and_shows_as_not_ready() {
    let client = Client::new(2);
    let away = client.cluster.state().nodes().find(|n| n.spec.role == Role::Worker).map(|n| n.id);
    let away = away.expect("a worker");
    client.cluster.unreachable.lock().expect("no panic").push(away);
    let before = client.get("/swarm").await.ok();
    assert_eq!(update(&client, |ca| ca["ForceRotate"] = 1.into()).await.0, 200);
    client.cluster.settle();
    let during = client.get("/swarm").await.ok();
    assert_eq!(during["RootRotationInProgress"], true);
    assert_eq!(during["JoinTokens"], before["JoinTokens"]);
    assert_eq!(during["TLSInfo"]["TrustRoot"], before["TLSInfo"]["TrustRoot"]);
    for node in client.get("/nodes").await.ok().as_array().expect("a list") {
        let ready = node["Description"]["TLSInfo"] == during["TLSInfo"];
        assert_eq!(ready, node["ID"] != away.to_string(), "{node}");
    }
    // Back to what is: the present authority with its key.
    let ca = client.cluster.state().cluster().expect("a cluster").ca.clone();
    let (status, answer) = update(&client, |spec| {
        spec["SigningCACert"] = ca.cert_pem.clone().into();
        spec["SigningCAKey"] = ca.key_pem.clone().into();
    })
    .await;
    assert_eq!(status, 200, "{answer}");
    client.cluster.unreachable.lock().expect("no panic").clear();
    client.cluster.settle();
    let back = client.get("/swarm").await.ok();
    assert_eq!(back["RootRotationInProgress"], false);
    assert_eq!(back["TLSInfo"], before["TLSInfo"]);
    assert_eq!(back["JoinTokens"], before["JoinTokens"]);
    for node in client.get("/nodes").await.ok().as_array().expect("a list") {
        assert_eq!(node["Description"]["TLSInfo"], before["TLSInfo"], "{node}");
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_used_is_refused_with_every_problem_and_changes_nothing() {
    let client = Client::new(0);
    let (cert, _) = root();
    let (_, key) = root();
    let (status, answer) = update(&client, |spec| {
        *spec = json!({"SigningCACert": cert, "SigningCAKey": key, "NodeCertExpiry": 5});
    })
    .await;
    assert_eq!(status, 400, "{answer}");
    let message = answer["message"].as_str().expect("a message");
    assert!(message.contains("it is not the key of SigningCACert"), "{message}");
    assert!(message.contains("NodeCertExpiry: at least 1 hour"), "{message}");
    let external = json!([{"Protocol": "cfssl", "URL": "https://x.example"}]);
    let (status, answer) = update(&client, |spec| {
        spec["SigningCACert"] = cert.clone().into();
        spec["ExternalCAs"] = external;
    })
    .await;
    assert_eq!(status, 501, "{answer}");
    assert_eq!(client.get("/swarm").await.ok()["RootRotationInProgress"], false);
}
