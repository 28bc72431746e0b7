//! `swarmctl dashboard`: the cluster's web page in the browser of whoever may use the API.
//!
//! Listens on this machine's loopback and passes on what the page asks. Everyone on the machine, and
//! every web site in the same browser, can reach a loopback port; so a request counts only with the
//! key from the printed address, under the address's own name, and for the paths that the page uses.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::api::ErrorBody;
use tokio::net::TcpListener;

use crate::client::{CallError, Client};

/// Shows the cluster in a browser: nodes, services, logs, events, and what can be done with them
#[derive(Args)]
#[command(
    after_help = "Examples:\n  swarmctl dashboard\n  swarmctl --host unix:///run/swarmctl/docker.sock dashboard --port 7070"
)]
pub struct DashboardArgs {
    /// Port on 127.0.0.1 [default: any that is free]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
}

/// First words of the paths that the page asks for.
const PATHS: [&str; 7] = ["dashboard", "watch", "events", "explain", "services", "nodes", "tasks"];

/// The largest body that is passed on: one service's spec.
const MAX_BODY: usize = 4 << 20;

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

struct Door {
    client: Client,
    port: u16,
    key: String,
}

/// Serves until it is interrupted.
///
/// # Errors
/// When the cluster does not answer or the port is taken.
pub async fn run(client: &Client, args: &DashboardArgs) -> anyhow::Result<ExitCode> {
    // A wrong address is better told here than in a browser.
    client.send(Method::GET, "/dashboard/settings.json", &[], Bytes::new()).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .with_context(|| format!("listen on 127.0.0.1:{}", args.port))?;
    let port = listener.local_addr()?.port();
    let door = Arc::new(Door { client: client.clone(), port, key: new_key()? });
    println!("http://127.0.0.1:{port}/?key={}", door.key);
    eprintln!("Open this address in a browser on this machine; Ctrl-C ends it.");
    loop {
        let (stream, _) = listener.accept().await?;
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let door = Arc::clone(&door);
                async move { Ok::<_, std::convert::Infallible>(door.answer(request).await) }
            });
            // A browser that goes away is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn new_key() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        match self.judge(&head.method, path, &head.headers) {
            Verdict::Refuse(status, why) => refusal(status, why),
            Verdict::LetIn => self.let_in(),
            Verdict::PassOn => {
                let body = match Limited::new(body, MAX_BODY).collect().await {
                    Ok(body) => body.to_bytes(),
                    Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
                };
                self.pass_on(head.method, path, body).await
            }
        }
    }

    fn judge(&self, method: &Method, path: &str, headers: &HeaderMap) -> Verdict {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let own = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        // Another name for this address is another site's.
        if !own.iter().any(|host| host == text(header::HOST)) {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "open it as 127.0.0.1 or localhost");
        }
        let origin = text(header::ORIGIN);
        if !origin.is_empty() && !own.iter().any(|host| origin == format!("http://{host}")) {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "asked by another site");
        }
        if method == Method::GET && path == format!("/?key={}", self.key) {
            return Verdict::LetIn;
        }
        let cookie = format!("{}={}", self.cookie(), self.key);
        if !text(header::COOKIE).split(';').any(|known| known.trim() == cookie) {
            let why = "open the address that swarmctl dashboard printed, with its key";
            return Verdict::Refuse(StatusCode::FORBIDDEN, why);
        }
        let first = path.split(['/', '?']).nth(1).unwrap_or("");
        if path.contains("..") || !PATHS.contains(&first) {
            return Verdict::Refuse(StatusCode::NOT_FOUND, "page not found");
        }
        match *method {
            Method::GET | Method::POST => Verdict::PassOn,
            _ => Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, "the page does not ask so"),
        }
    }

    /// Cookies are shared by all ports of a host: the name says whose this is.
    fn cookie(&self) -> String {
        format!("swarmctl-{}", self.port)
    }

    fn let_in(&self) -> Answer {
        let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie(), self.key);
        let mut answer = refusal(StatusCode::SEE_OTHER, "come in");
        for (name, value) in [(header::LOCATION, "/dashboard/"), (header::SET_COOKIE, &cookie)] {
            if let Ok(value) = value.parse() {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }

    async fn pass_on(&self, method: Method, path: &str, body: Bytes) -> Answer {
        match self.client.send(method, path, &[], body).await {
            Ok(answer) => answer.map(BoxBody::new),
            Err(CallError::Refused { status, message }) => refusal(status, &message),
            Err(error) => refusal(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    LetIn,
    PassOn,
    Refuse(StatusCode, &'static str),
}

fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = serde_json::to_vec(&ErrorBody { message: message.to_owned() }).unwrap_or_default();
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Verdict {
        let client = Client::new("unix:///nowhere").expect("an address");
        let door = Door { client, port: 7070, key: "secret".into() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header"));
        }
        door.judge(&method, path, &map)
    }

    fn is_refused(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Refuse(..))
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7070");
    const COOKIE: (&str, &str) = ("cookie", "other=1; swarmctl-7070=secret");

    #[test]
    fn who_has_the_key_is_let_in_and_may_then_ask_what_the_page_asks() {
        assert_eq!(verdict(Method::GET, "/?key=secret", &[HOST]), Verdict::LetIn);
        for path in ["/dashboard/", "/watch?since=0", "/services/a/logs?stdout=1"] {
            assert_eq!(verdict(Method::GET, path, &[HOST, COOKIE]), Verdict::PassOn, "{path}");
        }
        let own = ("origin", "http://127.0.0.1:7070");
        let update = "/services/a/update?version=1";
        assert_eq!(verdict(Method::POST, update, &[HOST, COOKIE, own]), Verdict::PassOn);
    }

    #[test]
    fn nobody_else_is_and_nothing_else_is_passed_on() {
        let (get, post) = (Method::GET, Method::POST);
        assert!(is_refused(&verdict(get.clone(), "/?key=guess", &[HOST])));
        assert!(is_refused(&verdict(get.clone(), "/dashboard/", &[HOST])));
        let rebound = ("host", "evil.example:7070");
        assert!(is_refused(&verdict(get.clone(), "/?key=secret", &[rebound])));
        let foreign = ("origin", "http://evil.example");
        assert!(is_refused(&verdict(post.clone(), "/services/a/update", &[HOST, COOKIE, foreign])));
        for path in ["/containers/json", "/secrets", "/", "/dashboard/../containers/json"] {
            assert!(is_refused(&verdict(get.clone(), path, &[HOST, COOKIE])), "{path}");
        }
        assert!(is_refused(&verdict(Method::DELETE, "/services/a", &[HOST, COOKIE])));
        assert!(is_refused(&verdict(post, "/containers/create", &[HOST, COOKIE])));
    }
}
