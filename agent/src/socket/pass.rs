//! Hands a request on, byte for byte, and its answer back: streams as they come, upgrades both ways.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::reply::{Answer, message};
use crate::engine::EngineError;
use crate::engine::http::{Body, Endpoint, full};

/// A body as it comes in, for sending on.
pub(super) fn boxed(body: Incoming) -> Body {
    body.map_err(|e| Box::new(e) as Box<dyn std::error::Error + Send + Sync>).boxed()
}

/// Sends the request to `endpoint` under another path. When the client goes away, the body of the answer
/// is dropped, and with it the connection.
pub(super) async fn on(
    endpoint: &Endpoint,
    path: &str,
    mut request: Request<Incoming>,
) -> Result<Answer, Answer> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let response = send(endpoint, path, parts, boxed(body)).await?;
    Ok(match upgrade {
        Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            joined(client, response)
        }
        _ => response.map(boxed),
    })
}

/// Sends the parts of a request with a body, under another path.
pub(super) async fn send(
    endpoint: &Endpoint,
    path: &str,
    mut parts: http::request::Parts,
    body: Body,
) -> Result<Response<Incoming>, Answer> {
    let wrong = |_| message(StatusCode::BAD_REQUEST, "the path is no path");
    parts.uri = Uri::try_from(path).map_err(wrong)?;
    parts.headers.insert(HOST, HeaderValue::from_static("local"));
    parts.version = http::Version::HTTP_11;
    endpoint.send(Request::from_parts(parts, body)).await.map_err(|e| away(&e))
}

/// As [`send`], of a body that has been read whole: its length is known again.
pub(super) async fn send_whole(
    endpoint: &Endpoint,
    path: &str,
    mut parts: http::request::Parts,
    bytes: Bytes,
) -> Result<Answer, Answer> {
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok(send(endpoint, path, parts, full(bytes)).await?.map(boxed))
}

/// Nobody answered.
pub(super) fn away(error: &EngineError) -> Answer {
    message(StatusCode::SERVICE_UNAVAILABLE, &error.to_string().replace("the engine at ", ""))
}

/// Connects the two raw streams once the client has been told to switch. Each side's end is passed on
/// and leaves the other way open.
fn joined(client: hyper::upgrade::OnUpgrade, mut response: Response<Incoming>) -> Answer {
    let engine = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        // The client may have gone before it could switch.
        let (Ok(client), Ok(engine)) = tokio::join!(client, engine) else { return };
        let (mut client, mut engine) = (TokioIo::new(client), TokioIo::new(engine));
        // A broken stream is the end of both, and nobody is left to be told.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
    });
    response.map(boxed)
}
