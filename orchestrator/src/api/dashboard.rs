//! `/dashboard/`: the web page, as its build left it in this program.
//!
//! The page asks for everything it shows at the paths beside it. Without Node at build time there is
//! no page; then this says how to build one. Read `dashboard/README.md` for the page itself.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::ApiError;

/// Path and content of each file; empty when the page was not built.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// Only what comes from here may run, be loaded or asked.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'none'";

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <title>swarmctl</title><h1>The dashboard is not built in</h1><p>This program was built without \
    Node. <code>make web build</code> in its repository builds the page and puts it in. Everything \
    else works: <code>docker node ls</code>, <code>docker service ls</code>, <code>swarmctl ps</code>.\
    </p></html>\n";

/// Without the slash the page's relative addresses would lead elsewhere.
pub(super) async fn to_page() -> Redirect {
    Redirect::permanent("dashboard/")
}

pub(super) async fn index(headers: HeaderMap) -> Response {
    match content("index.html") {
        Some(content) => file("index.html", content, &headers),
        None => (about("index.html", "no-store"), NOT_BUILT).into_response(),
    }
}

/// What the page may do here: everything that its reader may.
pub(super) async fn settings() -> Json<Value> {
    Json(json!({"api": "../", "readOnly": false, "logs": true}))
}

pub(super) async fn asset(
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = content(&path);
    let content = found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "page not found"))?;
    Ok(file(&path, content, &headers))
}

fn content(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, content)| *content)
}

/// The file, or that it is the one the browser has.
fn file(path: &str, content: &'static [u8], headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", data_encoding::HEXLOWER.encode(&Sha256::digest(content)[..8]));
    // The build names what is in `assets` after its content.
    let kept = path.starts_with("assets/");
    let about = about(path, if kept { "max-age=31536000, immutable" } else { "no-cache" });
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut response = if known {
        (StatusCode::NOT_MODIFIED, about).into_response()
    } else {
        (about, content).into_response()
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn about(path: &str, cache: &'static str) -> [(HeaderName, &'static str); 4] {
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}
