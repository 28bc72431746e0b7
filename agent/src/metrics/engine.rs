//! An engine whose answers are timed and whose failures are counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::BoxStream;
use hyper::body::Incoming;
use model::spec::Hook;
use model::{Millis, TaskId};
use serde_json::Value;

use super::{ENGINE_FAILED, ENGINE_TOOK};
use crate::engine::create::Made;
use crate::engine::http::Body;
use crate::engine::{Containers, EngineError, Happened, HookEnd, ImageWish, Seen};
use crate::plane::Sent;
use crate::traces;

/// [`Containers`] as the inner one does it, measured.
pub struct Measured(pub Arc<dyn Containers>);

/// Waits for the answer and takes note of it under the name of the operation.
async fn timed<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let began = Instant::now();
    let mut spans = traces::engine(operation);
    let result = call.await;
    ENGINE_TOOK.observe(&[operation], began.elapsed().as_secs_f64());
    if let Err(error) = &result {
        let reason = match error {
            EngineError::Away { .. } => "away",
            EngineError::Silent(_) => "silent",
            EngineError::Refused { .. } => "refused",
        };
        ENGINE_FAILED.add(&[operation, reason], 1);
        spans.iter_mut().for_each(|span| span.fail(error.to_string()));
    }
    result
}

impl Containers for Measured {
    fn ensure_image(&self, wish: ImageWish) -> Sent<'_, Result<(), EngineError>> {
        Box::pin(timed("image", self.0.ensure_image(wish)))
    }

    fn create(&self, made: Made) -> Sent<'_, Result<String, EngineError>> {
        Box::pin(timed("create", self.0.create(made)))
    }

    fn start(&self, container: &str) -> Sent<'_, Result<(), EngineError>> {
        Box::pin(timed("start", self.0.start(container)))
    }

    fn stop(&self, container: &str, grace: Option<Millis>) -> Sent<'_, Result<(), EngineError>> {
        Box::pin(timed("stop", self.0.stop(container, grace)))
    }

    fn kill(&self, container: &str) -> Sent<'_, Result<(), EngineError>> {
        Box::pin(timed("kill", self.0.kill(container)))
    }

    fn remove(&self, container: &str) -> Sent<'_, Result<(), EngineError>> {
        Box::pin(timed("remove", self.0.remove(container)))
    }

    fn inspect(&self, container: &str) -> Sent<'_, Result<Option<Seen>, EngineError>> {
        Box::pin(timed("inspect", self.0.inspect(container)))
    }

    fn list(&self) -> Sent<'_, Result<BTreeMap<TaskId, Seen>, EngineError>> {
        Box::pin(timed("list", self.0.list()))
    }

    fn watch(&self) -> Sent<'_, Result<BoxStream<'static, Happened>, EngineError>> {
        Box::pin(timed("watch", self.0.watch()))
    }

    fn exec(&self, container: &str, hook: &Hook) -> Sent<'_, Result<HookEnd, EngineError>> {
        Box::pin(timed("exec", self.0.exec(container, hook)))
    }

    fn info(&self) -> Sent<'_, Result<Value, EngineError>> {
        Box::pin(timed("info", self.0.info()))
    }

    fn request(
        &self,
        request: ::http::Request<Body>,
    ) -> Sent<'_, Result<::http::Response<Incoming>, EngineError>> {
        Box::pin(timed("request", self.0.request(request)))
    }
}
