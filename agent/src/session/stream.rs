//! Streams: a manager's request to the engine of this host (logs, stats, exec), served over a
//! connection of its own.
//!
//! The manager says `Open`; the agent answers with `POST /stream/{id}`. Up go the head of the engine's
//! answer as one frame and then its bytes; down come the bytes for the engine: the request's body, as long as
//! its `Content-Length` says or to the end, and, once the engine has switched to a raw stream, the input.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use model::wire::frame::encode;
use model::wire::session::{StreamHead, StreamRequest};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::Containers;
use crate::engine::http::{Body, EngineError, full};
use crate::transport::Identity;
use crate::transport::link::{Link, LinkError, post};

/// Chunks that may wait for a slow manager, and bytes read at once from a raw stream.
const CHUNKS: usize = 8;
const CHUNK: usize = 32 << 10;
/// How long a client may take to read what is on its way when the engine has ended.
const LINGER: Duration = Duration::from_secs(3_600);

/// The streams of one session. They share one connection, which is opened with the first.
#[derive(Clone)]
pub(super) struct Streams {
    address: String,
    identity: Arc<Identity>,
    engine: Arc<dyn Containers>,
    link: Arc<Mutex<Option<Link>>>,
}

/// The manager or its client has gone.
struct Gone;

impl Streams {
    pub(super) fn new(address: &str, identity: Arc<Identity>, engine: Arc<dyn Containers>) -> Self {
        Streams { address: address.to_owned(), identity, engine, link: Arc::default() }
    }

    /// Serves one stream to its end.
    pub(super) async fn serve(self, stream: u64, request: StreamRequest) {
        let (chunks, receiver) = mpsc::channel::<Bytes>(CHUNKS);
        let output = ReceiverStream::new(receiver).map(|bytes| Ok(Frame::data(bytes)));
        let output = post(&format!("/stream/{stream}"), BodyExt::boxed(StreamBody::new(output)));
        let input = match self.open(output).await {
            Ok(response) if response.status() == StatusCode::OK => response.into_body(),
            Ok(response) => {
                tracing::debug!(stream, status = %response.status(), "the stream is not wanted any more");
                return;
            }
            Err(error) => {
                tracing::warn!(stream, %error, "cannot open a stream");
                return;
            }
        };
        let mut input = Input { body: input, rest: BytesMut::new() };
        if self.pass(request, &mut input, chunks).await.is_err() {
            // Who asked has gone: nobody is left to be told.
            return;
        }
        // Letting go of the answer now would reset the stream, and with it what is still on its way up.
        let rest = async { while let Ok(Some(_)) = input.next().await {} };
        let _ = tokio::time::timeout(LINGER, rest).await;
    }

    async fn open(&self, request: Request<Body>) -> Result<http::Response<Incoming>, LinkError> {
        let mut link = {
            let mut shared = self.link.lock().await;
            match shared.as_ref().filter(|link| !link.is_closed()) {
                Some(link) => link.clone(),
                None => {
                    let link = Link::open(&self.address, self.identity.client()).await?;
                    shared.insert(link).clone()
                }
            }
        };
        link.send(request).await
    }

    async fn pass(
        &self,
        asked: StreamRequest,
        input: &mut Input,
        chunks: mpsc::Sender<Bytes>,
    ) -> Result<(), Gone> {
        if asked.header(UPGRADE.as_str()).is_some() {
            return self.pass_raw(asked, input, chunks).await;
        }
        let (body, feed) = match Upload::of(&asked) {
            Upload::Nothing => (full(Bytes::new()), None),
            upload => {
                let (taken, waiting) = mpsc::channel(CHUNKS);
                let (whole, told) = oneshot::channel();
                (until_whole(waiting, told), Some(input.feed(upload, taken, whole)))
            }
        };
        let Some(request) = request(&asked, body) else {
            return refuse(&chunks, StatusCode::BAD_REQUEST, "the request is not valid HTTP").await;
        };
        let mut carried = std::pin::pin!(self.carry_out(request, &chunks));
        if let Some(feed) = feed {
            tokio::select! {
                done = &mut carried => return done.map(drop),
                fed = feed => fed?,
            }
        }
        carried.await.map(drop)
    }

    /// A request after which the engine may switch to a raw stream.
    async fn pass_raw(
        &self,
        asked: StreamRequest,
        input: &mut Input,
        chunks: mpsc::Sender<Bytes>,
    ) -> Result<(), Gone> {
        let length =
            asked.header(CONTENT_LENGTH.as_str()).and_then(|v| v.parse().ok()).unwrap_or(0);
        let body = input.exactly(length).await?;
        let Some(request) = request(&asked, full(body)) else {
            return refuse(&chunks, StatusCode::BAD_REQUEST, "the request is not valid HTTP").await;
        };
        let Some(mut switched) = self.carry_out(request, &chunks).await? else { return Ok(()) };
        let upgraded = hyper::upgrade::on(&mut switched).await.map_err(|_| Gone)?;
        both_ways(TokioIo::new(upgraded), input, chunks).await
    }

    /// Sends the engine's answer up. One that switches to a raw stream is given back.
    async fn carry_out(
        &self,
        request: Request<Body>,
        chunks: &mpsc::Sender<Bytes>,
    ) -> Result<Option<http::Response<Incoming>>, Gone> {
        let answer = tokio::select! {
            () = chunks.closed() => return Err(Gone),
            answer = self.engine.request(request) => answer,
        };
        let response = match answer {
            Ok(response) => response,
            Err(error @ (EngineError::Away { .. } | EngineError::Silent(_))) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return refuse(chunks, status, &error.to_string()).await.map(|()| None);
            }
            Err(error @ EngineError::Refused { .. }) => {
                let status = StatusCode::BAD_GATEWAY;
                return refuse(chunks, status, &error.to_string()).await.map(|()| None);
            }
        };
        let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(k, v)| (k.to_string(), text(v)));
        let head = StreamHead { status: response.status().as_u16(), headers: headers.collect() };
        send_head(chunks, &head).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(response));
        }
        let mut body = response.into_body();
        loop {
            let frame = tokio::select! {
                () = chunks.closed() => return Err(Gone),
                frame = body.frame() => frame,
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        chunks.send(bytes).await.map_err(|_| Gone)?;
                    }
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// How much of what comes down is the request's body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upload {
    Nothing,
    Bytes(usize),
    /// All of it.
    ToTheEnd,
}

impl Upload {
    fn of(asked: &StreamRequest) -> Upload {
        if asked.header(TRANSFER_ENCODING.as_str()).is_some() {
            return Upload::ToTheEnd;
        }
        match asked.header(CONTENT_LENGTH.as_str()).and_then(|v| v.parse().ok()).unwrap_or(0) {
            0 => Upload::Nothing,
            length => Upload::Bytes(length),
        }
    }
}

/// A body for the engine, which fails at its end unless it is `whole`: one that broke off is no
/// shorter one, and the engine must not take it for that.
fn until_whole(chunks: mpsc::Receiver<Bytes>, whole: oneshot::Receiver<()>) -> Body {
    let broken = |_| Err("the request broke off".into());
    let end = stream::once(whole).filter_map(move |whole| ready(whole.err().map(broken)));
    let frames = ReceiverStream::new(chunks).map(|bytes| Ok(Frame::data(bytes)));
    BodyExt::boxed(StreamBody::new(frames.chain(end)))
}

/// Bytes between manager and engine until both have ended; the end of one way leaves the other open.
async fn both_ways(
    raw: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    input: &mut Input,
    chunks: mpsc::Sender<Bytes>,
) -> Result<(), Gone> {
    let (mut from_engine, mut to_engine) = tokio::io::split(raw);
    let inward = async {
        while let Ok(Some(bytes)) = input.next().await {
            if to_engine.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // The engine may have closed it already.
        let _ = to_engine.shutdown().await;
        std::future::pending::<()>().await;
    };
    let outward = async {
        loop {
            let mut buffer = BytesMut::with_capacity(CHUNK);
            match from_engine.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => chunks.send(buffer.freeze()).await.map_err(|_| Gone)?,
            }
        }
    };
    // The engine's end is the end: an exec is over when its command is.
    tokio::select! {
        () = inward => Ok(()),
        end = outward => end,
        () = chunks.closed() => Err(Gone),
    }
}

/// Bytes from the manager.
struct Input {
    body: Incoming,
    rest: BytesMut,
}

impl Input {
    async fn next(&mut self) -> Result<Option<Bytes>, Gone> {
        if !self.rest.is_empty() {
            return Ok(Some(self.rest.split().freeze()));
        }
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(_)) => return Err(Gone),
                None => return Ok(None),
            }
        }
    }

    /// Passes the body on until it ends, and is `whole`, or nobody takes it any more.
    async fn feed(
        &mut self,
        upload: Upload,
        to: mpsc::Sender<Bytes>,
        whole: oneshot::Sender<()>,
    ) -> Result<(), Gone> {
        let mut left = match upload {
            Upload::Nothing => return Ok(()),
            Upload::Bytes(length) => length,
            Upload::ToTheEnd => usize::MAX,
        };
        while left > 0 {
            let mut bytes = match self.next().await? {
                Some(bytes) => bytes,
                None if upload == Upload::ToTheEnd => break,
                None => return Err(Gone),
            };
            if bytes.len() > left {
                self.rest.extend_from_slice(&bytes.split_off(left));
            }
            left -= bytes.len();
            if to.send(bytes).await.is_err() {
                return Ok(());
            }
        }
        let _ = whole.send(());
        Ok(())
    }

    /// The first `length` bytes; what came with them is kept.
    async fn exactly(&mut self, length: usize) -> Result<Bytes, Gone> {
        let mut taken = BytesMut::new();
        while taken.len() < length {
            let Some(bytes) = self.next().await? else { return Err(Gone) };
            taken.extend_from_slice(&bytes);
        }
        self.rest = taken.split_off(length);
        Ok(taken.freeze())
    }
}

/// The request for the engine; none when it is no valid HTTP.
fn request(asked: &StreamRequest, body: Body) -> Option<Request<Body>> {
    let mut request = Request::builder().method(asked.method.as_str()).uri(asked.path.as_str());
    let headers = request.headers_mut()?;
    headers.insert(HOST, HeaderValue::from_static("engine"));
    for (name, value) in &asked.headers {
        let name: HeaderName = name.parse().ok()?;
        // Without a length hyper sends it in chunks.
        if name != HOST && name != TRANSFER_ENCODING {
            headers.append(name, value.parse().ok()?);
        }
    }
    request.body(body).ok()
}

async fn send_head(chunks: &mpsc::Sender<Bytes>, head: &StreamHead) -> Result<(), Gone> {
    let frame = encode(head).map_err(|_| Gone)?;
    chunks.send(Bytes::from(frame)).await.map_err(|_| Gone)
}

async fn refuse(
    chunks: &mpsc::Sender<Bytes>,
    status: StatusCode,
    message: &str,
) -> Result<(), Gone> {
    let headers = vec![(String::from("content-type"), String::from("application/json"))];
    send_head(chunks, &StreamHead { status: status.as_u16(), headers }).await?;
    let body = json!({"message": message}).to_string();
    chunks.send(Bytes::from(body)).await.map_err(|_| Gone)
}
