//! A manager and an agent in this process, an engine that is none, and a collector: what is told of a request.

#[path = "../../agent/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::engine::files::Files;
use agent::engine::http::{Endpoint, full};
use agent::engine::{Containers, Docker};
use agent::ledger::Ledger;
use agent::metrics::Measured;
use agent::orders::Desk;
use agent::plane::{Net, NoNet};
use agent::session::{self, Session, Standing};
use agent::transport::identity::Certs;
use agent::worker::{self, Reports, Sources, Tools};
use agent_core::worker::Limits;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::metrics::{Family, Kind, Page};
use model::object::NodeDescription;
use model::wire::start::Start;
use orchestrator::log::Timing;
use orchestrator::manager::{Manager, Settings};
use orchestrator::wiring;
use serde_json::{Value, json};
use support::Engine;
use telemetry::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// For what certainly comes.
const SOON: Duration = Duration::from_secs(60);

/// The span of the client that asks.
const CLIENT: &str = "00f067aa0ba902b7";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a collector was told, span by span, and when to stop answering.
#[derive(Clone)]
struct Collector {
    spans: watch::Sender<Vec<Value>>,
    silent: CancellationToken,
}

impl Collector {
    async fn start() -> (Collector, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let collector =
            Collector { spans: watch::Sender::default(), silent: CancellationToken::new() };
        let taker = collector.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let taker = taker.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let taker = taker.clone();
                        async move { Ok::<_, Infallible>(taker.take(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // How it ends is the exporter's affair.
                    let _ = connection.await;
                });
            }
        });
        (collector, address)
    }

    async fn take(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if self.silent.is_cancelled() {
            std::future::pending::<()>().await;
        }
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
        assert_eq!(request.headers()["content-type"], "application/json");
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let resource = &body["resourceSpans"][0];
        for scope in resource["scopeSpans"].as_array().expect("scopes") {
            for span in scope["spans"].as_array().expect("spans") {
                let mut span = span.clone();
                span["scope"] = scope["scope"]["name"].clone();
                self.spans.send_modify(|all| all.push(span));
            }
        }
        Response::new(Full::new(Bytes::from_static(b"{}")))
    }

    /// Everything that was told, once this is among it.
    async fn until(&self, what: &str, is: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut told = self.spans.subscribe();
        match tokio::time::timeout(SOON, told.wait_for(|spans| is(spans))).await {
            Ok(told) => told.expect("it is open").clone(),
            Err(_) => panic!("never told: {what}: {:#?}", *self.spans.borrow()),
        }
    }
}

/// A span by its id, as a node of the tree.
struct Tree<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Tree<'a> {
    fn of(spans: &'a [Value]) -> Tree<'a> {
        Tree(spans.iter().map(|s| (s["spanId"].as_str().expect("an id"), s)).collect())
    }

    /// The names from the span up to the first whose parent was told by somebody else.
    fn path(&self, span: &'a Value) -> Vec<&'a str> {
        let mut names = vec![span["name"].as_str().expect("a name")];
        let mut at = span;
        while let Some(parent) = at["parentSpanId"].as_str().and_then(|id| self.0.get(id)) {
            names.push(parent["name"].as_str().expect("a name"));
            at = parent;
        }
        names
    }

    /// Every way from a span of that name upwards.
    fn paths(&self, name: &str) -> Vec<Vec<&'a str>> {
        self.0.values().filter(|span| span["name"] == name).map(|span| self.path(span)).collect()
    }
}

async fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("its address")
}

/// A cluster of one manager; its API at `manager.sock`.
async fn manager(home: &Path) -> (CancellationToken, SocketAddr) {
    let listen = free().await;
    let settings = Settings {
        data_dir: home.to_owned(),
        listen,
        advertise: listen.to_string(),
        api_socket: home.join("manager.sock"),
        timing: Timing::default(),
        snapshot_every: 1000,
        force_new_cluster: false,
    };
    let manager = Manager::bootstrap(settings, Start::default()).await.expect("a cluster");
    let stop = manager.stop.clone();
    let routes = wiring::start(&manager);
    tokio::spawn(manager.serve(routes));
    (stop, listen)
}

/// The manager's own host as a node, without a network.
async fn agent(home: &Path, address: String, stop: CancellationToken) {
    let engine: Arc<dyn Containers> =
        Arc::new(Measured(Arc::new(Docker::new(&home.join("engine.sock")))));
    let (ledger, reports) = (Ledger::below(&home.join("agent")), Reports::default());
    let desk = Desk::open(ledger.clone());
    let net = Arc::new(NoNet::default());
    tokio::spawn(desk.clone().save(stop.clone()));
    let tools = Tools {
        engine: engine.clone(),
        net: net.clone(),
        files: Files::below(home),
        ledger,
        reports: reports.clone(),
        limits: Limits::default(),
        socket: None,
    };
    let sources = Sources {
        latest: desk.latest(),
        durable: desk.durable(),
        kept: desk.kept(),
        causes: desk.causes(),
    };
    worker::spawn(tools, sources, stop.clone());
    let info = engine.info().await.expect("the engine answers");
    let description: NodeDescription = agent::engine::describe(&info, "m1", "127.0.0.1");
    let standing = watch::Sender::default();
    let mut connected = standing.subscribe();
    let session = Session {
        identity: watch::Sender::new(Arc::new(Certs::below(home).load().expect("a certificate")))
            .subscribe(),
        desk,
        reports,
        applied: net.applied(),
        description: watch::Sender::new(description).subscribe(),
        engine,
        managers: vec![address],
        standing,
        leaving: CancellationToken::new(),
        main: tokio::runtime::Handle::current(),
    };
    session::spawn(session, stop).expect("a thread");
    let there = connected.wait_for(|now| matches!(now, Standing::Connected(_)));
    tokio::time::timeout(SOON, there).await.expect("in time").expect("a session");
}

async fn ask(api: &Endpoint, method: Method, path: &str, parent: &str, body: Value) -> u16 {
    let mut request = Request::builder().method(method).uri(path).header("host", "manager");
    if !parent.is_empty() {
        request = request.header("traceparent", parent);
    }
    let request = request.body(full(body.to_string())).expect("a request");
    let response = api.send(request).await.expect("an answer");
    response.status().as_u16()
}

fn counted(outcome: &str) -> u64 {
    const FAMILY: Family = Family {
        name: "spans",
        kind: Kind::Counter,
        unit: "spans",
        help: "Spans.",
        labels: &["program", "outcome"],
    };
    let mut page = Page::default();
    telemetry::SPANS.write(&mut page, &FAMILY);
    let text = page.into_text();
    let line = text.lines().find(|line| line.contains(&format!("outcome=\"{outcome}\"")));
    let number = line.and_then(|line| line.rsplit(' ').next()).expect("a series");
    number.parse().expect("a number")
}

/// One test: a program tells its traces to one collector.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_down_to_the_engine_and_a_silent_collector_delays_nobody() {
    let (collector, address) = Collector::start().await;
    telemetry::start(format!("http://{address}").parse().expect("an address"), "agent");
    let home = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&home.path().join("engine.sock"));
    engine.serve();
    let (stop, listen) = manager(home.path()).await;
    let api = Endpoint::new(home.path().join("manager.sock"));
    agent(home.path(), listen.to_string(), stop.clone()).await;

    let parent = format!("00-{TRACE}-{CLIENT}-01");
    let web = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "web:1"}},
                     "Mode": {"Replicated": {"Replicas": 2}}});
    assert_eq!(ask(&api, Method::GET, "/v1.41/services", "", json!(null)).await, 200);
    assert_eq!(ask(&api, Method::POST, "/v1.41/services/create", &parent, web.clone()).await, 201);
    // A name that is taken: a trace of its own, which ends there.
    assert_eq!(ask(&api, Method::POST, "/services/create", "", web.clone()).await, 409);
    let unrecorded = format!("00-{}-{CLIENT}-00", "1".repeat(32));
    assert_eq!(ask(&api, Method::POST, "/services/create", &unrecorded, web).await, 409);

    let told = collector
        .until("two containers started, and a refusal", |spans| {
            let count = |name: &str| spans.iter().filter(|s| s["name"] == name).count();
            count("task start") >= 2 && count("POST /services/create") >= 2
        })
        .await;
    let (ours, others): (Vec<Value>, Vec<Value>) =
        told.into_iter().partition(|span| span["traceId"] == TRACE);
    let tree = Tree::of(&ours);

    let request = ours.iter().find(|s| s["name"] == "POST /services/create").expect("the request");
    assert_eq!(request["parentSpanId"], CLIENT);
    assert_eq!((&request["scope"], &request["kind"]), (&json!("orchestrator"), &json!(2)));
    let starts = tree.paths("engine start");
    let whole = ["engine start", "task start", "order", "plan", "POST /services/create"];
    assert_eq!(starts, [whole, whole], "both containers");
    let made: Vec<String> = engine.containers.lock().expect("a lock").keys().cloned().collect();
    for start in ours.iter().filter(|span| span["name"] == "task start") {
        let attributes = start["attributes"].as_array().expect("attributes");
        let id = attributes.iter().find(|a| a["key"] == "container.id").expect("which container");
        assert!(made.iter().any(|made| id["value"]["stringValue"] == **made), "{id}");
    }
    for made in tree.paths("engine create") {
        let whole = ["engine create", "task create", "order", "plan", "POST /services/create"];
        assert_eq!(made, whole);
    }
    let writes = tree.paths("raft write");
    assert!(writes.contains(&vec!["raft write", "POST /services/create"]), "{writes:?}");
    assert!(writes.contains(&vec!["raft write", "plan", "POST /services/create"]), "{writes:?}");
    for span in &ours {
        let time = |key: &str| span[key].as_str().and_then(|t| t.parse::<u64>().ok());
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
        let upwards = tree.path(span);
        assert_eq!(upwards.last(), Some(&"POST /services/create"), "{upwards:?}");
        assert!(span["status"].is_null(), "{span}");
    }
    let refused: Vec<&Value> =
        others.iter().filter(|span| span["name"] == "POST /services/create").collect();
    assert_eq!(refused.len(), 1, "the unrecorded one is not told: {others:#?}");
    assert_eq!(refused[0]["parentSpanId"], Value::Null);
    assert_eq!(refused[0]["status"]["code"], 2);
    assert!(!others.iter().any(|s| s["name"].as_str().is_some_and(|name| name.starts_with("GET"))));

    collector.silent.cancel();
    let (before, began) = (counted("dropped"), Instant::now());
    for _ in 0..50_000 {
        drop(Span::root("test", "many", telemetry::Kind::Internal));
    }
    assert!(began.elapsed() < SOON, "nobody waited");
    assert!(counted("dropped") > before, "what did not fit was counted");
    let scale = json!({"Name": "more", "TaskTemplate": {"ContainerSpec": {"Image": "web:1"}}});
    assert_eq!(ask(&api, Method::POST, "/services/create", &parent, scale).await, 201);
    stop.cancel();
}
