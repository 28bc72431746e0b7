//! A real Redis, services in this process, and a client for them.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use sample_services::http::client::{self, Base};
use sample_services::http::serve;
use sample_services::resource::Shared;
use sample_services::settings::Instance;
use sample_services::store::Store;
use sample_services::{customers, invoices, products};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A redis-server on a loopback port with a folder of its own; gone when dropped.
pub struct Redis {
    pub port: u16,
    process: Child,
    _folder: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        // Another process may take the port between finding and using it.
        (0..5).find_map(|_| Self::start_on(free_port())).expect("redis-server starts")
    }

    pub fn start_on(port: u16) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is installed (scripts/install-deps.sh)");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let ready =
            output.lines().map_while(Result::ok).any(|line| line.contains("Ready to accept"));
        let redis = Self { port, process, _folder: folder };
        ready.then_some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago, so that nothing listens there.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A service of ours, or any router, served until dropped.
pub struct Served {
    pub address: SocketAddr,
    pub instance: Arc<Instance>,
    pub stop: Option<oneshot::Sender<()>>,
    pub done: tokio::task::JoinHandle<()>,
}

impl Served {
    pub async fn start(instance: Arc<Instance>, router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::start_on(listener, instance, router)
    }

    pub fn start_on(listener: TcpListener, instance: Arc<Instance>, router: Router) -> Self {
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let serving = serve::until(Arc::clone(&instance), router, listener, async {
            let _ = stopped.await;
        });
        Self { address, instance, stop: Some(stop), done: tokio::spawn(serving) }
    }

    pub fn base(&self) -> Base {
        base(self.address.port())
    }

    pub async fn get(&self, path: &str) -> Answer {
        ask(&self.base(), "GET", path, "").await
    }

    pub async fn put(&self, path: &str, body: &str) -> Answer {
        ask(&self.base(), "PUT", path, body).await
    }

    /// Puts a body that is accepted; the new id.
    pub async fn created(&self, path: &str, body: &str) -> String {
        let answer = self.put(path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {}", answer.body);
        answer.body.as_str().expect("an id as a JSON string").to_owned()
    }

    /// Ends as after SIGTERM.
    pub async fn end(mut self) {
        drop(self.stop.take());
        self.done.await.expect("serving ends");
    }
}

pub fn base(port: u16) -> Base {
    Base { host: "127.0.0.1".to_owned(), port }
}

fn shared(service: &'static str, version: &str, redis: u16) -> Arc<Shared> {
    let instance = Instance::new(service, format!("{service}-host"), version.to_owned());
    let store = Store::new("127.0.0.1", redis).expect("a loopback address");
    Arc::new(Shared { instance, store })
}

pub async fn customers(redis: u16) -> Served {
    customers_version("1", redis).await
}

pub async fn customers_version(version: &str, redis: u16) -> Served {
    let shared = shared("customers", version, redis);
    Served::start(Arc::clone(&shared.instance), customers::router(shared)).await
}

pub async fn products(redis: u16) -> Served {
    let shared = shared("products", "1", redis);
    Served::start(Arc::clone(&shared.instance), products::router(shared)).await
}

pub async fn invoices(redis: u16, customers: Base, products: Base) -> Served {
    let shared = shared("invoices", "1", redis);
    let instance = Arc::clone(&shared.instance);
    Served::start(instance, invoices::router(shared, customers, products)).await
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
    /// The body as JSON; null when it is none.
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("plain"))
    }
}

pub async fn ask(base: &Base, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    send(base, request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request")).await
}

pub async fn send(base: &Base, request: Request<Full<Bytes>>) -> Answer {
    let answer = client::fetch(base, request, Duration::from_secs(10)).await;
    let (head, body): (http::response::Parts, Bytes) =
        answer.map(Response::into_parts).expect("an answer");
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, text, body }
}
