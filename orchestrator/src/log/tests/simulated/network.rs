//! The network between simulated managers: the real requests and routes, late, lost, cut off, or
//! twice: what an old connection still held comes again, long after.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use model::NodeId;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tower::ServiceExt as _;

use crate::log::net::Carrier;
use crate::log::time::sleep;
use crate::transport::{CallError, Target};

/// All of it. Clones are the same one.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<Net>>);

struct Net {
    /// Who answers, and since which of its lives.
    plugged: BTreeMap<NodeId, (u64, Router)>,
    lives: u64,
    /// Nothing goes from the first to the second.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Messages are late, and connections break.
    weather: bool,
    random: SmallRng,
}

impl Network {
    pub(super) fn new(seed: u64) -> Network {
        Network(Arc::new(Mutex::new(Net {
            plugged: BTreeMap::new(),
            lives: 0,
            cut: BTreeSet::new(),
            weather: true,
            random: SmallRng::seed_from_u64(seed),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new life of `node`, which calls by this.
    pub(super) fn line(&self, node: NodeId) -> Line {
        let mut net = self.lock();
        net.lives += 1;
        Line { from: node, life: net.lives, network: self.clone() }
    }

    /// It answers with `router` from now on.
    pub(super) fn plug(&self, node: NodeId, life: u64, router: Router) {
        self.lock().plugged.insert(node, (life, router));
    }

    /// Its life ends: nothing comes from it any more, and it answers nobody.
    pub(super) fn unplug(&self, node: NodeId) {
        self.lock().plugged.remove(&node);
    }

    pub(super) fn cut(&self, from: NodeId, to: NodeId) {
        self.lock().cut.insert((from, to));
    }

    /// Everybody reaches everybody.
    pub(super) fn heal(&self) {
        self.lock().cut.clear();
    }

    /// Heals, and nothing is late or breaks any more.
    pub(super) fn calm(&self) {
        self.heal();
        self.lock().weather = false;
    }
}

/// What one life of a manager calls others by.
pub(super) struct Line {
    from: NodeId,
    pub(super) life: u64,
    network: Network,
}

/// One direction between two lives.
#[derive(Clone)]
struct Way {
    network: Network,
    from: (NodeId, u64),
    to: (NodeId, u64),
}

fn question(path: &'static str, body: Body) -> Request<Body> {
    Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a request")
}

fn broken(why: &str) -> CallError {
    CallError::Broken { why: why.to_owned() }
}

impl Way {
    fn back(&self) -> Way {
        Way { network: self.network.clone(), from: self.to, to: self.from }
    }

    /// One message goes its way.
    async fn hop(&self) -> Result<(), CallError> {
        let (delay, patience) = {
            let mut net = self.network.lock();
            let weather = net.weather;
            let random = &mut net.random;
            if weather && random.random_bool(1.0 / 500.0) {
                return Err(broken("reset"));
            }
            let late = weather && random.random_bool(1.0 / 40.0);
            let range = if late { 5_000..150_000 } else { 200..2_000 };
            (random.random_range(range), random.random_range(200..2_000))
        };
        sleep(Duration::from_micros(delay)).await;
        let mut waited = 0;
        loop {
            let is_cut = {
                let net = self.network.lock();
                let lives = |(node, life): (NodeId, u64)| {
                    net.plugged.get(&node).is_some_and(|(now, _)| *now == life)
                };
                if !lives(self.from) || !lives(self.to) {
                    return Err(broken("the other side is gone"));
                }
                net.cut.contains(&(self.from.0, self.to.0))
            };
            if !is_cut {
                return Ok(());
            }
            if waited > patience {
                return Err(broken("nothing comes through"));
            }
            sleep(Duration::from_millis(10)).await;
            waited += 10;
        }
    }

    /// Whether this is one of the messages that come twice, and how late then.
    fn comes_again(&self) -> Option<Duration> {
        let mut net = self.network.lock();
        let again = net.weather && net.random.random_bool(1.0 / 60.0);
        again.then(|| Duration::from_millis(net.random.random_range(20..3_000)))
    }

    /// Delivers `message` once more, after `wait`. Nobody waits for its answer.
    fn deliver_late(&self, router: Router, path: &'static str, message: Bytes, wait: Duration) {
        let way = self.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            if way.hop().await.is_ok() {
                let answer = router.oneshot(question(path, Body::from(message))).await;
                let answer = answer.expect("routes answer");
                let _ = answer.into_body().collect().await;
            }
        });
    }

    /// `body`, piece by piece; each may come `again` to `router` at the path.
    fn carry(self, body: Body, again: Option<(Router, &'static str)>) -> Body {
        let (out, arrived) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(16);
        tokio::spawn(async move {
            let mut pieces = body.into_data_stream();
            loop {
                let piece = tokio::select! {
                    biased;
                    () = out.closed() => return,
                    piece = pieces.next() => piece,
                };
                let piece = match piece {
                    None => return,
                    Some(Err(error)) => Err(io::Error::other(error)),
                    Some(Ok(bytes)) => {
                        if let Some((router, path)) = &again
                            && let Some(wait) = self.comes_again()
                        {
                            self.deliver_late(router.clone(), path, bytes.clone(), wait);
                        }
                        self.hop().await.map(|()| bytes).map_err(io::Error::other)
                    }
                };
                let ends = piece.is_err();
                if out.send(piece).await.is_err() || ends {
                    return;
                }
            }
        });
        Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(arrived))
    }
}

impl Carrier for Line {
    fn post<'c>(
        &'c self,
        target: &'c Target,
        path: &'static str,
        body: Body,
    ) -> BoxFuture<'c, Result<Response<Body>, CallError>> {
        Box::pin(async move {
            let node = target.node.expect("Raft says whom it means");
            let unreachable = |why: &str| CallError::Unreachable {
                address: target.address.clone(),
                why: why.to_owned(),
            };
            let known = self.network.lock().plugged.get(&node).cloned();
            let Some((life, router)) = known else {
                sleep(Duration::from_millis(1)).await;
                return Err(unreachable("refused"));
            };
            let way = Way {
                network: self.network.clone(),
                from: (self.from, self.life),
                to: (node, life),
            };
            way.hop().await.map_err(|_| unreachable("nothing comes through"))?;
            // Raft's own messages, each of which is one piece. A proposal is sent once, whatever
            // comes of it.
            let may_repeat = !matches!(path, "/raft/snapshot" | "/raft/propose");
            let again = may_repeat.then(|| (router.clone(), path));
            let request = question(path, way.clone().carry(body, again));
            // As in HTTP/2, whoever asks no more ends the work on the answer, too.
            let response = router.oneshot(request).await.expect("routes answer");
            let back = way.back();
            back.hop().await?;
            if response.status() == StatusCode::OK {
                return Ok(response.map(|body| back.carry(body, None)));
            }
            let status = response.status();
            let why = response.into_body().collect().await.map(|b| b.to_bytes());
            let why = why.map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            Err(CallError::Refused { status, why })
        })
    }
}
