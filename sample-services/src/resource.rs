//! List, get and put of one kind of document: what customers, products and invoices have in common.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, rejection::BytesRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

use crate::check::{Fields, Problems};
use crate::http::Problem;
use crate::settings::{self, Instance};
use crate::store::{Page, Store, StoreError};

/// Documents in a page when the client names no number, and at most.
const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;

/// Largest body of a `PUT`.
pub const LARGEST_BODY: usize = 64 << 10;

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// What a handler needs.
pub struct Shared {
    pub instance: Arc<Instance>,
    pub store: Store,
}

impl Shared {
    /// Takes `REDIS_HOST` and `REDIS_PORT` from the environment.
    pub fn from_env(service: &'static str) -> anyhow::Result<Arc<Self>> {
        let host = settings::text("REDIS_HOST", "localhost");
        let store = Store::new(&host, settings::port("REDIS_PORT", 6379)?)?;
        Ok(Arc::new(Self { instance: Instance::from_env(service), store }))
    }

    /// `GET /ready`: may traffic be sent here?
    pub async fn ready(&self) -> Response {
        match self.store.ping().await {
            Ok(()) => Json(serde_json::json!({"ready": true})).into_response(),
            Err(error) => Problem::from(error).into_response(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::unavailable("the database cannot be reached", error.to_string())
    }
}

/// Which part of a list a client wants: `?limit=` and `?before=` (from the `Link` header).
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    pub limit: u64,
    pub before: Option<u64>,
}

pub type Parameters = Query<HashMap<String, String>>;

impl Wanted {
    /// # Errors
    /// The parameters that are wrong.
    pub fn parse(parameters: &Parameters) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut number = |name: &'static str, range: std::ops::RangeInclusive<u64>| {
            let text = parameters.get(name)?;
            let number = text.parse().ok().filter(|number| range.contains(number));
            if number.is_none() {
                let (least, most) = range.into_inner();
                problems.insert(name, format!("must be a whole number from {least} to {most}"));
            }
            number
        };
        let limit = number("limit", 1..=LARGEST_PAGE).unwrap_or(PAGE);
        // Redis keeps list positions as floating point: exact up to here.
        let before = number("before", 0..=(1 << 53));
        if problems.is_empty() { Ok(Self { limit, before }) } else { Err(problems) }
    }
}

/// How a stored document is shown to clients.
pub type Show = fn(String) -> String;

/// The page as a JSON array, with `X-Total-Count` and, when there is more, `Link: …; rel="next"`.
///
/// Documents are JSON already: they are put together as text, not read again.
pub fn list(page: Page, path: &str, filter: &str, limit: u64, show: Show) -> Response {
    let Page { documents, total, next } = page;
    let documents: Vec<_> = documents.into_iter().map(show).collect();
    let mut response = json_text(format!("[{}]", documents.join(",")));
    response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
    let link = |next| format!("<{path}?{filter}limit={limit}&before={next}>; rel=\"next\"");
    if let Some(link) = next.and_then(|next| HeaderValue::try_from(link(next)).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// `GET /{path}/{id}`.
pub async fn get(
    shared: &Shared,
    kind: &str,
    what: &str,
    id: &str,
    show: Show,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found(format!("there is no {what} {id}"));
    let parsed = Uuid::parse_str(id).map_err(|_| unknown())?;
    let document = shared.store.get(kind, parsed).await?.ok_or_else(unknown)?;
    Ok(json_text(show(document)))
}

/// Writes a new document; the answer is its id.
pub async fn put(
    shared: &Shared,
    kind: &str,
    id: Uuid,
    document: &impl Serialize,
    lists: &[String],
) -> Result<Json<Uuid>, Problem> {
    let document = serde_json::to_string(document).expect("texts and numbers can be JSON");
    shared.store.put(kind, id, &document, lists).await?;
    Ok(Json(id))
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The body's fields, or the answer that says why there are none.
pub fn fields(body: Result<Bytes, BytesRejection>) -> Result<Fields, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(LARGEST_BODY),
        _ => Problem::bad_request(rejection.body_text()),
    })?;
    Fields::parse(&body).map_err(Problem::bad_request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Result<Wanted, Problems> {
        let map = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Wanted::parse(&Query(map))
    }

    #[test]
    fn a_page_has_a_default_size_and_both_ends_are_checked() {
        assert_eq!(wanted(&[]), Ok(Wanted { limit: PAGE, before: None }));
        assert_eq!(
            wanted(&[("limit", "5"), ("before", "17")]),
            Ok(Wanted { limit: 5, before: Some(17) })
        );
        for (name, value) in [("limit", "0"), ("limit", "1001"), ("limit", "x"), ("before", "-1")] {
            let problems = wanted(&[(name, value)]).expect_err("refused");
            assert!(problems.contains_key(name), "{name}={value}: {problems:?}");
        }
    }
}
