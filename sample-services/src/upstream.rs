//! Asks another service whether something exists: with time limits, retries and a circuit breaker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use serde_json::Value;

use crate::breaker::{Breaker, Open};
use crate::http::Problem;
use crate::http::client::{self, Base};
use crate::http::every_request::{CORRELATION_ID, CorrelationId};
use crate::settings::Instance;

/// One attempt, from look-up to the answer's last byte.
const ATTEMPT: Duration = Duration::from_millis(1000);

/// Waits before the second and third attempt; each is drawn from half to one and a half of this, so
/// that many callers do not come back at once.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];

/// A service that is asked by `GET`.
pub struct Upstream {
    pub name: &'static str,
    base: Base,
    breaker: Mutex<Breaker>,
    instance: Arc<Instance>,
}

/// The service cannot say. Nothing was changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be reached: {reason}")]
pub struct Unavailable {
    pub name: &'static str,
    pub reason: String,
    pub retry_after: Duration,
}

impl Upstream {
    pub fn new(name: &'static str, base: Base, instance: Arc<Instance>) -> Self {
        instance.metrics.breaker(name, 0);
        Self { name, base, breaker: Mutex::default(), instance }
    }

    /// Whether `GET path` finds something (2xx) or not (404).
    ///
    /// # Errors
    /// [`Unavailable`] when no attempt got a clear answer, or none was made because the breaker is
    /// open.
    pub async fn has(&self, path: &str, correlation: &CorrelationId) -> Result<bool, Unavailable> {
        let mut waits = BACK_OFF.iter();
        loop {
            self.permit()?;
            let failure = match self.ask(path, correlation).await {
                Ok(found) => {
                    self.report(None);
                    return Ok(found);
                }
                Err(failure) => failure,
            };
            self.report(Some(&failure));
            tracing::warn!(
                upstream = self.name,
                correlation_id = correlation.as_str(),
                failure,
                "call failed"
            );
            let Some(wait) = waits.next() else {
                let retry_after = Duration::from_secs(1);
                return Err(Unavailable { name: self.name, reason: failure, retry_after });
            };
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    }

    async fn ask(&self, path: &str, correlation: &CorrelationId) -> Result<bool, String> {
        let request = Request::get(path)
            .header(CORRELATION_ID, &correlation.0)
            .header(header::ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .expect("a path made of a prefix and a UUID is valid");
        let answer =
            client::fetch(&self.base, request, ATTEMPT).await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(format!("it answered {}{}", status.as_u16(), said(answer.body()))),
        }
    }

    fn permit(&self) -> Result<(), Unavailable> {
        let refused = |Open { retry_after, failures, last_error }| {
            self.instance.metrics.called(self.name, "refused");
            let reason = format!(
                "not asked, for it failed {failures} times in a row, last: {last_error}; \
                 next try in {} ms",
                retry_after.as_millis()
            );
            Unavailable { name: self.name, reason, retry_after }
        };
        self.breaker().permit(Instant::now()).map_err(refused)
    }

    fn report(&self, failure: Option<&str>) {
        let mut breaker = self.breaker();
        match failure {
            None => breaker.succeeded(),
            Some(failure) => breaker.failed(Instant::now(), failure),
        }
        let metrics = &self.instance.metrics;
        metrics.called(self.name, if failure.is_none() { "ok" } else { "failed" });
        metrics.breaker(self.name, u8::from(breaker.is_open()));
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // No code under this lock can panic half way through a change.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        let mut problem =
            Problem::unavailable(format!("{} cannot be reached", error.name), error.reason);
        problem.retry_after_s = Some(error.retry_after.as_secs().max(1));
        problem
    }
}

/// What the service itself gave as the reason, if it did.
fn said(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    match value["reason"].as_str().or(value["error"].as_str()) {
        Some(text) => format!(" ({text})"),
        None => String::new(),
    }
}
