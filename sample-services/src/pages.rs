//! Serves pages that are part of the program.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// One file of a page.
pub struct Asset {
    pub path: &'static str,
    pub kind: &'static str,
    pub content: &'static str,
}

/// Only what comes from here may run or be loaded.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'";

/// A route for each asset. Browsers ask each time whether it has changed: another version of the
/// image may answer the next request.
pub fn serve<S: Clone + Send + Sync + 'static>(
    mut router: Router<S>,
    assets: &'static [Asset],
) -> Router<S> {
    for Asset { path, kind, content } in assets {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(content)[..8]);
        let tag: Arc<str> = format!("\"{digest}\"").into();
        let answer = async move |headers: HeaderMap| {
            let known = headers.get(header::IF_NONE_MATCH);
            let about = [
                (header::CACHE_CONTROL, "no-cache"),
                (header::CONTENT_TYPE, kind),
                (header::ETAG, &tag),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            match known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
                true => (StatusCode::NOT_MODIFIED, about).into_response(),
                false => (about, *content).into_response(),
            }
        };
        router = router.route(path, get(answer));
    }
    router
}
