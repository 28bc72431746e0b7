//! The gateway, the web page and the picture of the cluster.

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::IntoResponse as _;
use axum::routing::put;
use common::{Redis, Served, ask, base, customers, free_port};
use futures_util::stream::poll_fn;
use http::{Request as HttpRequest, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use sample_services::gateway::{self, Routes};
use sample_services::http::client::{self, Base};
use sample_services::settings::Instance;
use sample_services::{viz, webapp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A gateway whose services are all at `base`.
async fn gateway_to(base: Base) -> Served {
    let routes = Routes {
        customers: base.clone(),
        products: base.clone(),
        invoices: base.clone(),
        webapp: base,
    };
    gateway(routes).await
}

async fn gateway(routes: Routes) -> Served {
    let instance = Instance::new("api-gateway", "gateway-host".into(), "1".into());
    Served::start(Arc::clone(&instance), gateway::router(instance, routes)).await
}

async fn served(router: Router) -> Served {
    Served::start(Instance::new("service", "service-host".into(), "7".into()), router).await
}

#[tokio::test]
async fn paths_lead_to_their_services_and_everything_else_to_the_page() {
    let redis = Redis::start();
    let customers = customers(redis.port).await;
    let page = served(webapp::router()).await;
    let gone = base(free_port());
    let gateway = gateway(Routes {
        customers: customers.base(),
        products: gone.clone(),
        invoices: gone,
        webapp: page.base(),
    })
    .await;
    let id = gateway.created("/Customers", r#"{"name": "Ada", "address": "here"}"#).await;
    let one = gateway.get(&format!("/Customers/{id}")).await;
    assert_eq!(one.body["name"], "Ada");
    assert_eq!(one.header("x-instance"), "customers-host", "who answered, not who passed it on");
    assert_eq!(one.header("x-gateway"), "gateway-host");
    let list = gateway.get("/Customers?limit=1").await;
    assert_eq!(list.header("x-total-count"), "1", "query and headers pass");
    assert_eq!(gateway.put("/Customers", "{}").await.status, StatusCode::BAD_REQUEST);
    let asset = gateway.get("/").await;
    assert_eq!(asset.status, StatusCode::OK);
    assert_eq!(asset.header("x-instance"), "service-host");
    assert!(asset.header("content-security-policy").starts_with("default-src 'self'"));
    let missing = gateway.get("/nothing").await;
    assert_eq!(
        (missing.status.as_u16(), &missing.body["error"]),
        (404, &json!("there is no /nothing"))
    );
}

#[tokio::test]
async fn a_page_is_whole_and_not_sent_again_or_says_how_to_build_it() {
    let page = served(webapp::router()).await;
    let index = page.get("/").await;
    if index.header("etag").is_empty() {
        assert!(index.text.contains("make web build"), "{}", index.text);
        return;
    }
    let script = index.text.split("src=\"").nth(1).and_then(|rest| rest.split('"').next());
    let script = page.get(script.expect("a script")).await;
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert!(script.header("cache-control").contains("immutable"));
    let request = HttpRequest::get("/").header("if-none-match", index.header("etag"));
    let request = request.body(Full::default()).expect("a request");
    let answer = common::send(&page.base(), request).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
}

#[tokio::test]
async fn the_service_learns_the_client_and_the_correlation_id() {
    let mirror = served(Router::new().fallback(async |request: Request| {
        let names = ["x-forwarded-for", "x-forwarded-host", "x-correlation-id", "host"];
        let value = |name| request.headers().get(name).map_or("", |v| v.to_str().expect("plain"));
        axum::Json(json!(names.map(value)))
    }))
    .await;
    let gateway = gateway_to(mirror.base()).await;
    let request = HttpRequest::get("/Customers")
        .header("x-correlation-id", "c-1")
        .header("x-forwarded-for", "192.0.2.7")
        .header("host", "demo.example");
    let request = request.body(Full::default()).expect("a request");
    let answer = common::send(&gateway.base(), request).await;
    let seen = json!(["192.0.2.7, 127.0.0.1", "demo.example", "c-1", "demo.example"]);
    assert_eq!(answer.body, seen);
    assert_eq!(answer.headers.get_all("x-correlation-id").iter().count(), 1);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_waited_for_then_named() {
    let gone = free_port();
    let gateway = gateway_to(base(gone)).await;
    for method in ["GET", "PUT"] {
        let answer = ask(&gateway.base(), method, "/Products", "{}").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body["error"], "products cannot be reached");
        let reason = answer.body["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("127.0.0.1:{gone}: connection refused")), "{reason}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let metrics = gateway.get("/metrics").await.text;
    let line = "http_requests_total{method=\"PUT\",route=\"products\",status=\"503\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn even_a_put_survives_a_service_that_starts_a_moment_later() {
    let port = free_port();
    let gateway = gateway_to(base(port)).await;
    let request = tokio::spawn({
        let gateway = gateway.base();
        async move { ask(&gateway, "PUT", "/Customers", "the body").await }
    });
    // The gateway counts a failed attempt before it waits for the next.
    let failed = "upstream_requests_total{upstream=\"customers\",outcome=\"failed\"}";
    while !gateway.get("/metrics").await.text.contains(failed) {
        tokio::task::yield_now().await;
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("still free");
    let echo = Router::new().route("/Customers", put(async |body: Bytes| body));
    let instance = Instance::new("late", "late-host".into(), "1".into());
    let _late = Served::start_on(listener, instance, echo);
    assert_eq!(request.await.expect("answered").text, "the body");
}

/// A server that closes the first `broken` connections after having read the request.
async fn breaking(broken: u32) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            if count.fetch_add(1, Ordering::SeqCst) >= broken {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                let _ = stream.write_all(answer).await;
            }
        }
    });
    (port, asked)
}

#[tokio::test]
async fn a_get_whose_connection_breaks_is_asked_again_and_a_put_is_not() {
    let (port, asked) = breaking(1).await;
    let gateway = gateway_to(base(port)).await;
    assert_eq!(gateway.get("/Customers").await.text, "ok");
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    let (port, asked) = breaking(1).await;
    let gateway = gateway_to(base(port)).await;
    let answer = gateway.put("/Customers", "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.body["error"].as_str().expect("text").contains("may have taken effect"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_silent_task_costs_a_get_two_seconds_not_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let _silent = listener.accept().await;
        let (mut stream, _) = listener.accept().await.expect("asked again");
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).await.expect("answered");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let gateway = gateway_to(base(port)).await;
    let started = Instant::now();
    assert_eq!(gateway.get("/Customers").await.text, "ok");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn bodies_stream_through_in_both_directions() {
    let echo = served(Router::new().route(
        "/Customers",
        put(async |request: Request| Body::new(request.into_body()).into_response()),
    ))
    .await;
    let gateway = gateway_to(echo.base()).await;
    let (sender, mut parts) = mpsc::channel::<Bytes>(1);
    let body = StreamBody::new(poll_fn(move |cx| {
        parts.poll_recv(cx).map(|part| part.map(|part| Ok::<_, Infallible>(Frame::data(part))))
    }));
    let request = HttpRequest::put("/Customers").body(body).expect("a request");
    sender.send(Bytes::from_static(b"one")).await.expect("taken");
    let mut answer = client::send(&gateway.base(), request).await.expect("an answer").into_body();
    // Each part comes back before the next is sent: nothing waits for the whole.
    for part in [&b"one"[..], b"two", b"three"] {
        if part != b"one" {
            sender.send(Bytes::copy_from_slice(part)).await.expect("taken");
        }
        let frame = answer.frame().await.expect("not over").expect("no error");
        assert_eq!(frame.into_data().expect("data"), part);
    }
    drop(sender);
    assert!(answer.frame().await.is_none());
}

async fn viz_of(docker_host: &str) -> Served {
    let router = viz::router(docker_host.parse().expect("an address"));
    Served::start(Instance::new("viz", "viz-host".into(), "1".into()), router).await
}

/// The first line of a stream that goes on.
async fn first_line(viz: &Served, path: &str) -> Value {
    let request = HttpRequest::get(path).body(Full::<Bytes>::default()).expect("a request");
    let answer = client::send(&viz.base(), request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut text = String::new();
    while !text.contains('\n') {
        let frame = body.frame().await.expect("not over").expect("no error");
        text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("text"));
    }
    serde_json::from_str(text.lines().next().expect("a line")).expect("JSON")
}

#[tokio::test]
async fn viz_passes_on_the_brief_watch_and_nothing_that_changes_or_tells_more() {
    let manager = served(Router::new().fallback(async |request: Request| {
        let asked = format!("{} {}", request.method(), request.uri());
        format!("{}\n", json!({ "asked": asked }))
    }))
    .await;
    let viz = viz_of(&format!("tcp://{}", manager.address)).await;
    for (path, asked) in [
        ("/api/watch", "GET /watch?kinds=node,service,task&view=brief&since=0"),
        (
            "/api/watch?since=17&kinds=secret&view=whole",
            "GET /watch?kinds=node,service,task&view=brief&since=17",
        ),
        (
            "/api/events?since=1.5&filters=x",
            "GET /events?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D&since=1.5",
        ),
        ("/api/explain/service/abc123", "GET /explain/service/abc123"),
    ] {
        assert_eq!(first_line(&viz, path).await["asked"], asked, "{path}");
    }
    for path in [
        "/api/services",
        "/api/services/abc/logs?stdout=1",
        "/api/secrets",
        "/api/containers/json",
        "/api/explain/secret/abc",
        "/api/explain/service/..%2f..%2fsecrets",
        "/api/../secrets",
    ] {
        assert_eq!(viz.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(viz.get("/api/watch?since=0%26kinds=secret").await.status, StatusCode::BAD_REQUEST);
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ask(&viz.base(), method, "/api/watch", "{}").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let settings = viz.get("/settings.json").await.body;
    assert_eq!(settings, json!({"api": "api/", "readOnly": true, "logs": false}));
}

/// Docker's own: it knows no `/watch`.
async fn docker(answers: Value) -> Served {
    served(Router::new().fallback(async move |request: Request| {
        match answers.get(request.uri().path()) {
            Some(answer) => axum::Json(answer.clone()).into_response(),
            None if request.uri().path() == "/watch" => {
                (StatusCode::NOT_FOUND, axum::Json(json!({"message": "page not found"})))
                    .into_response()
            }
            None => (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"message": "no manager"})))
                .into_response(),
        }
    }))
    .await
}

#[tokio::test]
async fn docker_s_own_swarm_is_shown_from_its_lists() {
    let manager = docker(json!({
        "/nodes": [{"ID": "n1", "Description": {"Hostname": "w1"}}],
        "/services": [{"ID": "s1", "Spec": {"Name": "web"}}],
        "/tasks": [{"ID": "t1", "ServiceID": "s1", "NodeID": "n1", "DesiredState": "running",
            "Status": {"State": "running"}}],
    }))
    .await;
    let viz = viz_of(&format!("tcp://{}", manager.address)).await;
    let line = first_line(&viz, "/api/watch?since=0").await;
    assert_eq!((&line["Reset"], &line["Revision"]), (&json!(true), &json!(1)));
    let kinds = line["Changes"].as_array().expect("changes").iter().map(|c| c["Kind"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["node", "service", "task"]);
}

#[tokio::test]
async fn a_plain_engine_is_shown_as_what_it_is() {
    let engine = docker(json!({
        "/info": {"ID": "e", "Name": "laptop", "Swarm": {"LocalNodeState": "inactive"}},
        "/containers/json": [{"Id": "c1", "Names": ["/db"], "State": "running"}],
    }))
    .await;
    let viz = viz_of(&format!("tcp://{}", engine.address)).await;
    let line = first_line(&viz, "/api/watch").await;
    assert_eq!(line["Changes"][0]["Object"]["Spec"]["Role"], "engine, no manager");
    assert_eq!(line["Changes"][1]["Object"]["Spec"]["Name"], "db");
}

#[tokio::test]
async fn without_an_engine_the_page_is_there_and_says_why_it_shows_nothing() {
    let viz = viz_of("unix:///nowhere/docker.sock").await;
    assert_eq!(viz.get("/").await.status, StatusCode::OK);
    let answer = viz.get("/api/watch").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["error"], "the engine at /nowhere/docker.sock cannot be asked");
    let refusing = docker(json!({})).await;
    let viz = viz_of(&format!("tcp://{}", refusing.address)).await;
    let reason = viz.get("/api/watch").await.body["reason"].clone();
    assert!(reason.as_str().expect("a reason").ends_with("answered with 503: no manager"));
}

#[tokio::test]
async fn every_service_is_alive_and_counts_its_requests() {
    let page = served(webapp::router()).await;
    for path in ["/health", "/ready"] {
        assert_eq!(page.get(path).await.status, StatusCode::OK, "{path}");
    }
    let metrics = page.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4");
    let line = "http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 1";
    assert!(metrics.text.contains(line), "{}", metrics.text);
}
