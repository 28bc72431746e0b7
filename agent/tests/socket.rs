//! The socket on a simulated engine: passing on, answers of its own, refusals in Docker's words.

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::config::Flags;
use agent::engine::Docker;
use agent::membership::Membership;
use agent::plane::NoNet;
use agent::socket::{Socket, TcpServer, listen};
use clap::Parser;
use serde_json::{Value, json};
use support::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

struct Host {
    _home: tempfile::TempDir,
    socket: PathBuf,
    /// Where the API is served over TCP.
    remote: Option<SocketAddr>,
    engine: Engine,
    _stop: tokio_util::sync::DropGuard,
}

impl Host {
    async fn start() -> Host {
        Host::with(Vec::new()).await
    }

    /// With more of the agent's flags.
    async fn with(more: Vec<String>) -> Host {
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        let engine = Engine::new(&path("engine.sock"));
        engine.serve();
        let arguments = [
            "agent".to_owned(),
            format!("--data-dir={}", path("data").display()),
            format!("--socket={}", path("docker.sock").display()),
            format!("--engine=unix://{}", engine.socket.display()),
            "--advertise-addr=127.0.0.1".to_owned(),
        ];
        let config = Flags::parse_from(arguments.into_iter().chain(more)).resolve();
        let config = config.expect("settings");
        let docker = Arc::new(Docker::new(&config.engine));
        let membership = Membership::new(config.clone(), docker, Arc::new(NoNet::default()));
        let listener = listen(&config.socket).await.expect("a socket");
        let stop = CancellationToken::new();
        let socket = Socket::new(&config.engine, membership);
        let mut remote = None;
        if let Some(api) = config.api {
            let server = TcpServer::bind(api).await.expect("a port");
            remote = Some(server.local_addr().expect("an address"));
            tokio::spawn(server.serve(socket.clone(), stop.clone()));
        }
        tokio::spawn(socket.serve(listener, stop.clone()));
        Host { socket: config.socket, remote, _home: home, engine, _stop: stop.drop_guard() }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let text = raw(&self.socket, request.as_bytes()).await;
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let json = body.find(['{', '[', '"']).map(|at| &body[at..]).unwrap_or("null");
        let json = json.trim_end_matches(|c: char| c != '}' && c != ']' && c != '"');
        (status, head.to_ascii_lowercase(), serde_json::from_str(json).unwrap_or(Value::Null))
    }
}

async fn raw(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.expect("connected");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_ping_tells_the_version_and_whether_the_host_is_a_node() {
    let host = Host::start().await;
    let (status, head, _) = host.ask("GET", "/_ping", &Value::Null).await;
    assert_eq!(status, 200);
    for header in
        ["api-version: 1.51", "swarm: inactive", "ostype: linux", "docker-experimental: false"]
    {
        assert!(head.contains(header), "{header} in {head}");
    }
}

#[tokio::test]
async fn info_and_version_are_the_engines_with_the_cluster_in_them() {
    let host = Host::start().await;
    let (status, _, info) = host.ask("GET", "/v1.51/info", &Value::Null).await;
    assert_eq!((status, &info["ID"]), (200, &json!("engine")));
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(info["Swarm"]["ControlAvailable"], false);
    let (_, _, version) = host.ask("GET", "/version", &Value::Null).await;
    assert_eq!((&version["Version"], &version["ApiVersion"]), (&json!("20.10"), &json!("1.51")));
}

#[tokio::test]
async fn a_host_that_is_no_node_refuses_the_swarm_part_in_dockers_words() {
    let host = Host::start().await;
    let not = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    for (method, path, body, status, text) in [
        ("GET", "/v1.41/nodes", Value::Null, 503, not),
        ("GET", "/services", Value::Null, 503, not),
        ("POST", "/networks/create", json!({"Name": "x", "Driver": "overlay"}), 503, not),
        ("POST", "/swarm/leave", Value::Null, 503, "This node is not part of a swarm"),
        ("GET", "/swarm", Value::Null, 503, not),
        ("POST", "/swarm/update?version=1", json!({}), 503, not),
        ("GET", "/swarm/unlockkey", Value::Null, 503, not),
        ("POST", "/services/create", json!({}), 503, not),
        ("GET", "/services/x/logs", Value::Null, 503, not),
        ("DELETE", "/services/x", Value::Null, 503, not),
        ("GET", "/tasks/x", Value::Null, 503, not),
        ("POST", "/nodes/x/update?version=1", json!({}), 503, not),
        ("GET", "/secrets", Value::Null, 503, not),
        ("POST", "/configs/create", json!({}), 503, not),
        ("GET", "/watch", Value::Null, 503, not),
        ("GET", "/stacks", Value::Null, 503, not),
        (
            "GET",
            "/v1.99/info",
            Value::Null,
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.51",
        ),
        ("GET", "/networks/nosuch", Value::Null, 404, "network nosuch not found"),
    ] {
        let (got, head, answer) = host.ask(method, path, &body).await;
        assert_eq!((got, answer["message"].as_str()), (status, Some(text)), "{method} {path}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
    }
}

#[tokio::test]
async fn what_is_refused_unread_is_read_so_that_the_client_sees_the_refusal() {
    let host = Host::start().await;
    for path in ["/secrets/create", "/v1.99/secrets/create"] {
        let mut stream = UnixStream::connect(&host.socket).await.expect("connected");
        let body = "x".repeat(600 << 10);
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        // As the docker CLI does: the head first, then the body in parts.
        stream.write_all(head.as_bytes()).await.expect("sent");
        for part in body.as_bytes().chunks(64 << 10) {
            tokio::task::yield_now().await;
            stream.write_all(part).await.expect("it is read to its end");
        }
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await.expect("an answer");
        let text = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(text.contains("\"message\""), "{text}");
    }
}

#[tokio::test]
async fn a_join_that_cannot_be_says_why_and_changes_nothing() {
    let host = Host::start().await;
    let token = format!("SWMTKN-1-{}-{}", "0".repeat(50), "a".repeat(25));
    let good = json!({"JoinToken": token, "RemoteAddrs": ["127.0.0.1:1"]});
    for (body, status, part) in [
        (
            json!({"JoinToken": "x", "RemoteAddrs": ["127.0.0.1"]}),
            400,
            "a join token begins with SWMTKN-1-",
        ),
        (json!({"JoinToken": token, "RemoteAddrs": []}), 400, "give the address of a manager"),
        (good, 503, "manager 127.0.0.1:1 cannot be reached: Connection refused"),
    ] {
        let (got, _, answer) = host.ask("POST", "/v1.51/swarm/join", &body).await;
        let text = answer["message"].as_str().unwrap_or("");
        assert!(got == status && text.contains(part), "{got} {text}");
    }
    let (_, _, info) = host.ask("GET", "/info", &Value::Null).await;
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
}

#[tokio::test]
async fn everything_else_is_passed_on_in_a_version_that_the_engine_speaks() {
    let host = Host::start().await;
    host.ask("POST", "/v1.51/containers/create?name=x", &json!({"Image": "web:1"})).await;
    assert_eq!(host.engine.containers.lock().expect("a lock").len(), 1);
    let (status, _, answer) = host.ask("DELETE", "/v1.24/containers/nosuch", &Value::Null).await;
    assert_eq!((status, answer["message"].as_str()), (404, Some("No such container: nosuch")));
    let (_, _, networks) = host.ask("GET", "/networks", &Value::Null).await;
    assert_eq!(networks[0]["Name"], "bridge");
}

#[tokio::test]
async fn without_a_manager_the_clusters_networks_are_those_that_the_host_has_a_part_in() {
    let host = Host::start().await;
    let id = model::Id(7).to_string();
    let half = json!({"Name": "front", "Id": "e", "Driver": "bridge", "Scope": "local",
                      "Labels": {"swarmctl.network": id}});
    host.engine.networks.lock().expect("a lock").push(half);
    let (_, _, networks) = host.ask("GET", "/v1.41/networks", &Value::Null).await;
    let shown: Vec<_> = networks.as_array().expect("a list").iter().collect();
    let [bridge, front] = shown[..] else { panic!("{networks}") };
    assert_eq!(bridge["Name"], "bridge");
    assert_eq!((&front["Id"], &front["Driver"]), (&json!(id), &json!("overlay")));
    let filter = "/networks?filters=%7B%22name%22%3A%5B%22back%22%5D%7D";
    let (_, _, networks) = host.ask("GET", filter, &Value::Null).await;
    let names: Vec<_> = networks.as_array().expect("a list").iter().map(|n| &n["Name"]).collect();
    assert!(!names.contains(&&json!("front")), "{networks}");
    let (status, _, network) = host.ask("GET", &format!("/networks/{id}"), &Value::Null).await;
    assert_eq!((status, &network["Scope"]), (200, &json!("swarm")));
}

#[tokio::test]
async fn only_tasks_are_on_the_clusters_networks() {
    let host = Host::start().await;
    let half = json!({"Name": "front", "Id": "e", "Driver": "bridge",
                      "Labels": {"swarmctl.network": model::Id(7).to_string()}});
    host.engine.networks.lock().expect("a lock").push(half);
    let on = |network: &str| json!({"Image": "web:1", "HostConfig": {"NetworkMode": network}});
    for (path, body) in [
        ("/v1.41/containers/create?name=x", on("front")),
        ("/networks/front/connect", json!({"Container": "x"})),
    ] {
        let (status, _, answer) = host.ask("POST", path, &body).await;
        let text = answer["message"].as_str().unwrap_or("");
        assert!(status == 501 && text.contains("network front"), "{path}: {status} {text}");
    }
    assert!(host.engine.containers.lock().expect("a lock").is_empty());
    for network in ["bridge", "default", "unknown"] {
        let path = format!("/containers/create?name={network}");
        let (status, _, answer) = host.ask("POST", &path, &on(network)).await;
        assert_eq!(status, 201, "{network}: {answer}");
    }
}

#[tokio::test]
async fn numbers_that_are_null_are_numbers_that_nobody_gave() {
    let host = Host::start().await;
    let body = json!({"listenaddr": "nonsense", "Spec": {"Raft": {"ElectionTick": null}}});
    let (status, _, answer) = host.ask("POST", "/swarm/init", &body).await;
    let text = answer["message"].as_str().unwrap_or("");
    assert!(status == 400 && text.contains("nonsense"), "{status} {text}");
}

#[tokio::test]
async fn a_raw_stream_is_passed_both_ways_and_half_of_it_may_end_first() {
    let host = Host::start().await;
    let mut stream = UnixStream::connect(&host.socket).await.expect("connected");
    let head = "POST /v1.41/containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.expect("a head");
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    let bytes = vec![7u8; 1 << 20];
    stream.write_all(&bytes).await.expect("input");
    stream.shutdown().await.expect("the end of our half");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.expect("output");
    assert_eq!(back.len(), bytes.len() + 3);
    assert!(back.ends_with(b"bye"));
}

/// An authority with certificates for a server on the loopback and for a client, as PEM files.
fn authority(folder: &Path) {
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let key = || KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = key();
    let root = ca.self_signed(&ca_key).expect("a root").pem();
    let ca = Issuer::new(ca, ca_key);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    write("ca.pem", &root);
    let usages = [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("", ExtendedKeyUsagePurpose::ClientAuth),
    ];
    for (name, usage) in usages {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        params.extended_key_usages = vec![usage];
        let key = key();
        let cert = params.signed_by(&key, &ca).expect("signed");
        // Without a name before them they are called as the docker CLI looks for them.
        let prefix = if name.is_empty() { String::new() } else { format!("{name}-") };
        write(&format!("{prefix}cert.pem"), &cert.pem());
        write(&format!("{prefix}key.pem"), &key.serialize_pem());
    }
}

/// `docker …`, nothing of this machine's settings; none where it is not installed.
async fn docker(folder: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = tokio::process::Command::new("docker");
    command.args(arguments).env_clear().env("HOME", folder).env("DOCKER_CONFIG", folder);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("DOCKER_CERT_PATH", folder).kill_on_drop(true);
    let Ok(output) = command.output().await else {
        println!("skipped: no docker CLI");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_a_certificate_or_a_token_lets_in_and_nothing_else_does() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str| folder.path().join(name).display().to_string();
    authority(folder.path());
    std::fs::write(file("tokens"), "0123456789abcdefghij\n").expect("written");
    std::fs::set_permissions(file("tokens"), PermissionsExt::from_mode(0o600)).expect("private");
    let host = Host::with(vec![
        "--api-addr=127.0.0.1:0".to_owned(),
        format!("--api-tls-cert={}", file("server-cert.pem")),
        format!("--api-tls-key={}", file("server-key.pem")),
        format!("--api-tls-client-ca={}", file("ca.pem")),
        format!("--api-tokens={}", file("tokens")),
    ])
    .await;
    let address = format!("tcp://{}", host.remote.expect("a port"));
    let ask = ["-H", &address, "version", "--format", "{{.Server.Version}}"];
    let with_certificate = [&["--tlsverify"], &ask[..]].concat();
    let Some((fine, text)) = docker(folder.path(), &with_certificate).await else { return };
    assert!(fine && text.trim() == "20.10", "{text}");

    // A token instead: the CLI sends the headers of its settings.
    std::fs::remove_file(file("cert.pem")).expect("gone");
    std::fs::remove_file(file("key.pem")).expect("gone");
    let ca = file("ca.pem");
    let with_ca = [&["--tlsverify", "--tlscacert", &ca], &ask[..]].concat();
    let (fine, text) = docker(folder.path(), &with_ca).await.expect("docker is there");
    assert!(!fine && text.contains("a client certificate or a token is needed"), "{text}");
    let headers = json!({"HttpHeaders": {"Authorization": "Bearer 0123456789abcdefghij"}});
    std::fs::write(file("config.json"), headers.to_string()).expect("written");
    let (fine, text) = docker(folder.path(), &with_ca).await.expect("docker is there");
    assert!(fine && text.trim() == "20.10", "{text}");

    let plain = docker(folder.path(), &ask).await.expect("docker is there");
    assert!(!plain.0, "no plain text: {}", plain.1);
}

#[tokio::test]
async fn a_file_of_tokens_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    authority(folder.path());
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("tokens"), "0123456789abcdefghij\n").expect("written");
    std::fs::set_permissions(file("tokens"), PermissionsExt::from_mode(0o644)).expect("public");
    let api = agent::config::TcpApi {
        address: "127.0.0.1:0".parse().expect("an address"),
        cert: file("server-cert.pem"),
        key: file("server-key.pem"),
        client_ca: None,
        tokens: Some(file("tokens")),
    };
    let refused = TcpServer::bind(api).await.err().expect("refused").to_string();
    assert!(refused.contains("tokens: others may read or write it; chmod 600"), "{refused}");
}
