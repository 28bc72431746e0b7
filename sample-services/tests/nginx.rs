//! The gateway as nginx, a real one: routes, ids, limits, and what it says when a service is away.
//!
//! Passes without looking where nginx is not installed; the gateway is our own there.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use common::{Served, ask, base, free_port};
use http::{Request as HttpRequest, StatusCode};
use http_body_util::Full;
use sample_services::gateway::Routes;
use sample_services::http::client::Base;
use sample_services::nginx::{self, Settings};
use sample_services::nginx_requests::{self, PAGE};
use sample_services::settings::Instance;
use serde_json::json;
use tempfile::TempDir;

struct Nginx {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Nginx {
    async fn start(routes: Routes, rate: u32) -> Option<Nginx> {
        if !Path::new(nginx::PROGRAM).is_file() {
            eprintln!("nginx is not installed: nothing to test");
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        let port = free_port();
        let text = nginx::config(&Settings {
            routes,
            resolver: None,
            port,
            rate,
            folder: folder.path().display().to_string(),
            version: "1".into(),
        });
        // nginx's workers run as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("open");
        let requests = nginx_requests::bind(folder.path()).expect("a socket");
        tokio::spawn(nginx_requests::serve(requests, folder.path().join(PAGE), "1".into()));
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).expect("written");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = nginx::command(&file);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().expect("nginx starts");
        let mut nginx = Nginx { process, port, _folder: folder };
        let limit = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = nginx.process.try_wait().expect("a child");
            let log = std::fs::read_to_string(nginx._folder.path().join("log"));
            assert!(ended.is_none() && Instant::now() < limit, "nginx: {log:?}");
            tokio::task::yield_now().await;
        }
        Some(nginx)
    }

    fn base(&self) -> Base {
        base(self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its workers along; a kill would leave them.
        let pid = self.process.id().to_string();
        let _ = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

/// Says which service it is, and what it was asked.
async fn mirror(name: &'static str) -> Served {
    let router = Router::new().fallback(async move |request: Request| {
        let header = |name| request.headers().get(name).map_or("", |v| v.to_str().expect("plain"));
        axum::Json(json!({
            "service": name,
            "path": request.uri().to_string(),
            "correlation": header("x-correlation-id"),
            "for": header("x-forwarded-for"),
            "host": header("host"),
        }))
    });
    Served::start(Instance::new(name, format!("{name}-host"), "7".into()), router).await
}

#[tokio::test]
async fn paths_lead_to_their_services_with_query_client_and_correlation_id() {
    let (customers, page) = (mirror("customers").await, mirror("webapp").await);
    let gone = base(free_port());
    let routes = Routes {
        customers: customers.base(),
        products: gone.clone(),
        invoices: gone,
        webapp: page.base(),
    };
    let Some(nginx) = Nginx::start(routes, 0).await else { return };
    for (path, service) in [
        ("/Customers", "customers"),
        ("/Customers/1?limit=2&x=%20", "customers"),
        ("/", "webapp"),
        ("/Customersx", "webapp"),
        ("/static/Customers", "webapp"),
    ] {
        let answer = ask(&nginx.base(), "GET", path, "").await;
        assert_eq!(
            (&answer.body["service"], &answer.body["path"]),
            (&json!(service), &json!(path))
        );
        assert_eq!(answer.header("x-instance"), format!("{service}-host"));
        assert!(!answer.header("x-gateway").is_empty());
    }
    let request = HttpRequest::get("/Customers")
        .header("x-correlation-id", "order-17")
        .header("x-forwarded-for", "192.0.2.7")
        .header("host", "demo.example");
    let answer =
        common::send(&nginx.base(), request.body(Full::default()).expect("a request")).await;
    assert_eq!(answer.body["correlation"], "order-17");
    assert_eq!(answer.body["for"], "192.0.2.7, 127.0.0.1");
    assert_eq!(answer.body["host"], "demo.example");
    let ids: Vec<_> = answer.headers.get_all("x-correlation-id").iter().collect();
    assert_eq!(ids, ["order-17"]);
    let made = ask(&nginx.base(), "GET", "/Customers", "").await;
    assert_eq!(made.body["correlation"].as_str().map(str::len), Some(32));
    assert_eq!(ask(&nginx.base(), "GET", "/health", "").await.body, json!({"healthy": true}));
}

#[tokio::test]
async fn a_service_that_is_away_is_named_as_json_and_its_own_refusals_pass() {
    let refusing = Router::new().fallback(async || {
        (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"error": "my database is away"})))
    });
    let instance = Instance::new("invoices", "invoices-host".into(), "1".into());
    let invoices = Served::start(instance, refusing).await;
    let gone = base(free_port());
    let routes = Routes {
        customers: gone.clone(),
        products: gone.clone(),
        invoices: invoices.base(),
        webapp: gone,
    };
    let Some(nginx) = Nginx::start(routes, 0).await else { return };
    for method in ["GET", "PUT"] {
        let answer = ask(&nginx.base(), method, "/Products", "{}").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{method}: {}", answer.text);
        assert_eq!(answer.body["error"], "products cannot be reached", "{method}");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.header("x-correlation-id").is_empty());
    }
    let own = ask(&nginx.base(), "GET", "/Invoices", "").await;
    assert_eq!(own.body["error"], "my database is away");
}

#[tokio::test]
async fn a_client_that_asks_too_fast_is_told_so() {
    let page = mirror("webapp").await;
    let routes = Routes {
        customers: page.base(),
        products: page.base(),
        invoices: page.base(),
        webapp: page.base(),
    };
    let Some(nginx) = Nginx::start(routes, 1).await else { return };
    // One a second and two more at once are let through: of so many at the same time most are not.
    let at_once = (0..30).map(|_| async { ask(&nginx.base(), "GET", "/", "").await });
    let answers = futures_util::future::join_all(at_once).await;
    let is_refused = |answer: &&common::Answer| answer.status == StatusCode::TOO_MANY_REQUESTS;
    let refused = answers.iter().find(is_refused).expect("refused");
    assert_eq!(refused.body["error"], "too many requests");
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn what_was_answered_is_counted_by_service_and_status() {
    let page = mirror("webapp").await;
    let routes = Routes {
        customers: page.base(),
        products: base(free_port()),
        invoices: page.base(),
        webapp: page.base(),
    };
    let Some(nginx) = Nginx::start(routes, 0).await else { return };
    for path in ["/Customers", "/Customers/7?x=1", "/", "/Products", "/health"] {
        ask(&nginx.base(), "GET", path, "").await;
    }
    let odd = HttpRequest::builder().method("PURGE").uri("/");
    common::send(&nginx.base(), odd.body(Full::default()).expect("a request")).await;
    let wanted = [
        "sample_build_info{service=\"api-gateway\",version=\"1\"} 1",
        "http_requests_total{method=\"GET\",route=\"customers\",status=\"200\"} 2",
        "http_requests_total{method=\"GET\",route=\"webapp\",status=\"200\"} 1",
        "http_requests_total{method=\"GET\",route=\"products\",status=\"503\"} 1",
        "http_requests_total{method=\"other\",route=\"webapp\",status=\"200\"} 1",
        "http_request_duration_seconds_count{route=\"customers\"} 2",
    ];
    // A request is told of when its answer is out, so it may be counted a moment later.
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask(&nginx.base(), "GET", "/metrics", "").await;
        let has = |wanted: &&str| answer.text.lines().any(|line| line == *wanted);
        let missing: Vec<_> = wanted.iter().filter(|wanted| !has(wanted)).collect();
        if missing.is_empty() {
            assert!(!answer.text.contains("none"), "neither probes nor /metrics count");
            assert!(answer.header("content-type").starts_with("text/plain"));
            break;
        }
        assert!(Instant::now() < limit, "{missing:?} missing in\n{}", answer.text);
    }
}
