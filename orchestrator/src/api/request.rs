//! Reads what requests carry: query parameters, bodies, credentials.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::{HeaderMap, header, request::Parts};
use model::json::{self, Readable};
use model::object::Version;
use model::{Millis, Timestamp};

use super::error::ApiError;
use super::filter::Filters;

/// The query's parameters, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|e| ApiError::bad_request(e.body_text()))?;
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ApiError::bad_request(format!(
                "{}: given more than once in the query",
                pair[0]
            ))),
            None => Ok(Params(pairs)),
        }
    }
}

impl Params {
    /// The value; empty when there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.trim())
    }

    /// Whether it is there, if with an empty value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// As Go's engine reads booleans: everything but a few words for "no" is yes.
    pub(super) fn flag(&self, name: &str) -> bool {
        !matches!(
            self.text(name).to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none" | "f"
        )
    }

    /// `filters`, which may have these keys only.
    pub(super) fn filters(&self, keys: &[&str]) -> Result<Filters, ApiError> {
        Filters::parse(self.text("filters"), keys)
    }

    /// `version`, which must be there.
    pub(super) fn version(&self, kind: &str) -> Result<Version, ApiError> {
        let text = self.text("version");
        text.parse().map(Version).map_err(|_| {
            ApiError::bad_request(format!(
                "invalid {kind} version '{text}': strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })
    }

    /// A time: seconds since 1970 with decimals, RFC 3339, or a span before `now` such as `10m`.
    /// None when absent or 0, as some clients always send it.
    pub(super) fn time(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        match parse_time(text, now) {
            Some(Timestamp(0)) => Ok(None),
            Some(at) => Ok(Some(at)),
            None => Err(ApiError::bad_request(format!(
                "{name}: {text:?} is no time (seconds since 1970, RFC 3339 or a span such as 10m)"
            ))),
        }
    }
}

/// See [`Params::time`].
fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<model::api::Moment>() {
        return Some(moment.0);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if let Ok(seconds) = whole.parse::<u64>()
        && !decimals.is_empty()
        && decimals.bytes().all(|b| b.is_ascii_digit())
    {
        let ms: u64 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
        return Some(Timestamp(seconds.checked_mul(1_000)?.checked_add(ms)?));
    }
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    // Whole and not negative by here; a span beyond 2^53 ms is beyond 1970 too.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let span = (number * unit).clamp(0.0, 9e15) as u64;
    Some(now - Millis(span))
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: Readable> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.map_or("", |value| value.to_str().unwrap_or("?")).to_owned();
        let is_json = kind.is_empty()
            || kind
                .split(';')
                .next()
                .is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(ApiError::bad_request(format!(
                "unsupported Content-Type header ({kind}): must be 'application/json'"
            )));
        }
        // The front has read it, and within its limit.
        let text = axum::body::to_bytes(request.into_body(), usize::MAX)
            .await
            .map_err(|e| ApiError::bad_request(format!("the body cannot be read: {e}")))?;
        if text.trim_ascii().is_empty() {
            return Err(ApiError::bad_request("got EOF while reading request body"));
        }
        json::read(&text).map(Body).map_err(|e| ApiError::bad_request(syntax(&e)))
    }
}

/// Go's words for what ends too early, ours for the rest.
fn syntax(error: &serde_json::Error) -> String {
    if error.is_eof() { "unexpected EOF".to_owned() } else { format!("invalid JSON: {error}") }
}

/// `X-Registry-Auth`, unless it is empty or says nothing.
pub(super) fn registry_auth(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-registry-auth")?.to_str().ok()?.trim();
    let says_nothing = matches!(text, "" | "e30" | "e30=" | "bnVsbA==");
    (!says_nothing).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_clients_send() {
        let now = Timestamp(1_795_254_100_000);
        for (text, at) in [
            ("1795254074", Some(1_795_254_074_000)),
            ("1795254074.574000001", Some(1_795_254_074_574)),
            ("1795254074.5", Some(1_795_254_074_500)),
            ("2026-11-21T09:41:14.574Z", Some(1_795_254_074_574)),
            ("10s", Some(1_795_254_090_000)),
            ("1.5h", Some(1_795_248_700_000)),
            ("yesterday", None),
            ("1.", None),
        ] {
            assert_eq!(parse_time(text, now), at.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn empty_credentials_are_no_credentials() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-registry-auth", value.parse().expect("a header"));
            registry_auth(&headers)
        };
        assert_eq!(with("e30="), None);
        assert_eq!(with("eyJ1IjoxfQ=="), Some("eyJ1IjoxfQ==".to_owned()));
    }
}
