//! Serves pages that are part of the program, or says how to build them.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Path below the page's root and content of each file; empty when the page was not built.
pub type Files = &'static [(&'static str, &'static [u8])];

/// Only what comes from here may run, be loaded or asked.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'self'";

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Not built</title><h1>This page is not built in</h1><p>The program was built without Node. \
    <code>make web build</code> in its repository builds the pages and puts them in. The services \
    answer without them.</p></html>\n";

/// A route for each file, `/` for the first of them.
pub fn serve<S: Clone + Send + Sync + 'static>(mut router: Router<S>, files: Files) -> Router<S> {
    if files.is_empty() {
        let say = async || (about("index.html", "no-store"), NOT_BUILT);
        return router.route("/", get(say));
    }
    for (path, content) in files {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(content)[..8]);
        let tag = HeaderValue::try_from(format!("\"{digest}\"")).expect("hex in quotes");
        let answer = async move |headers: HeaderMap| file(path, content, &tag, &headers);
        let route = if *path == "index.html" { "/".to_owned() } else { format!("/{path}") };
        router = router.route(&route, get(answer));
    }
    router
}

/// The file, or that it is the one the browser has.
fn file(path: &str, content: &'static [u8], tag: &HeaderValue, headers: &HeaderMap) -> Response {
    // The build names what is in `assets` after its content. All else is asked for each time:
    // another version of the image may answer the next request.
    let kept = path.starts_with("assets/");
    let about = about(path, if kept { "max-age=31536000, immutable" } else { "no-cache" });
    let known = headers.get(header::IF_NONE_MATCH) == Some(tag);
    let mut response = if known {
        (StatusCode::NOT_MODIFIED, about).into_response()
    } else {
        (about, content).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag.clone());
    response
}

fn about(path: &str, cache: &'static str) -> [(HeaderName, &'static str); 4] {
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}
