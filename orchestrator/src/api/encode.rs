//! What is done to answers on their way out: `ETag` and 304, and gzip for who accepts it.
//!
//! Only whole JSON answers get an `ETag`; it changes with their bytes. `/watch` is compressed line by
//! line, so that nothing waits in the compressor. Events and logs go out as they are: Docker's clients
//! and the agent's socket read them so.

use std::hash::Hasher as _;
use std::io::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt as _;
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

/// Answers shorter than this are sent as they are, bytes.
const WORTH_IT: u64 = 1_024;

/// What the client said of the answer that it wants.
pub(super) struct Wishes {
    is_get: bool,
    known: Option<String>,
    takes_gzip: bool,
}

impl Wishes {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Wishes {
        let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        Wishes {
            is_get: method == Method::GET,
            known: text(header::IF_NONE_MATCH).map(str::to_owned),
            takes_gzip: text(header::ACCEPT_ENCODING).is_some_and(takes_gzip),
        }
    }

    /// The answer as the client wants it.
    pub(super) async fn grant(self, response: Response) -> Response {
        if !self.is_get || response.status() != StatusCode::OK {
            return response;
        }
        let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        match (kind, response.body().size_hint().exact()) {
            (Some(b"application/json"), Some(length)) => self.whole(response, length).await,
            (Some(b"application/x-ndjson"), None) if self.takes_gzip => lines(response),
            _ => response,
        }
    }

    async fn whole(self, response: Response, length: u64) -> Response {
        let (mut head, body) = response.into_parts();
        // It is in memory already.
        let Ok(body) = body.collect().await else {
            head.status = StatusCode::INTERNAL_SERVER_ERROR;
            return Response::from_parts(head, Body::empty());
        };
        let mut bytes = body.to_bytes();
        let tag = tag(&bytes);
        let is_known = self.known.is_some_and(|known| matches(&known, &tag));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            head.headers.insert(header::ETAG, tag);
        }
        head.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if is_known {
            head.status = StatusCode::NOT_MODIFIED;
            head.headers.remove(header::CONTENT_TYPE);
            head.headers.remove(header::CONTENT_LENGTH);
            return Response::from_parts(head, Body::empty());
        }
        if self.takes_gzip && length >= WORTH_IT {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing to memory cannot fail; if it did, the plain bytes are an answer too.
            if encoder.write_all(&bytes).is_ok()
                && let Ok(packed) = encoder.finish()
            {
                bytes = Bytes::from(packed);
                head.headers.remove(header::CONTENT_LENGTH);
                let gzip = HeaderValue::from_static("gzip");
                head.headers.insert(header::CONTENT_ENCODING, gzip);
            }
        }
        Response::from_parts(head, Body::from(bytes))
    }
}

/// Compresses a stream chunk by chunk; each chunk can be read when it has come.
fn lines(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let chunks = body.into_data_stream().map(Some).chain(stream::iter([None]));
    let packed = chunks.map(move |chunk| {
        match chunk {
            Some(chunk) => {
                encoder.write_all(&chunk.map_err(std::io::Error::other)?)?;
                encoder.flush()?;
            }
            None => encoder.try_finish()?,
        }
        Ok::<Bytes, std::io::Error>(Bytes::from(std::mem::take(encoder.get_mut())))
    });
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(head, Body::from_stream(packed))
}

/// Weak: a compressed answer has other bytes and the same tag. 128 bits, the same on every manager.
fn tag(bytes: &[u8]) -> String {
    let hash = |seed: u8| {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(bytes);
        hasher.finish()
    };
    format!("W/\"{:016x}{:016x}\"", hash(0), hash(1))
}

/// `If-None-Match`, compared weakly.
fn matches(known: &str, tag: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|one| bare(one) == bare(tag))
}

fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_accepted() {
        for (accepted, takes) in [
            ("gzip, deflate", true),
            ("deflate;q=0.5, gzip;q=1.0", true),
            ("*", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
    }

    #[test]
    fn a_tag_is_known_again_in_any_list_and_strength() {
        let one = tag(b"one");
        assert_ne!(one, tag(b"two"));
        assert!(matches(&one, &one) && matches(one.trim_start_matches("W/"), &one));
        assert!(matches(&format!("\"x\", {one}"), &one) && matches("*", &one));
        assert!(!matches("\"x\"", &one));
    }
}
