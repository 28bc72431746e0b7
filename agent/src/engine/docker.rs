//! Docker's Engine as [`Containers`]: bollard where its types are enough, plain requests elsewhere.
//!
//! Plain requests make, inspect and list containers and pull images: bollard's models lose fields of a
//! create body, fail a whole answer over one value they do not know, and encode registry credentials in
//! an alphabet that engines do not read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters as q;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use futures_util::{FutureExt, TryStreamExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::spec::Hook;
use model::{Millis, TaskId};
use serde_json::{Value, json};

use super::create::Made;
use super::http::{Body, Endpoint, EngineError, full, read};
use super::image::{ImageWish, Images, Need};
use super::seen::{Seen, shortened};
use super::{Containers, Happened, HookEnd, labels};
use crate::plane::Sent;

/// For questions.
const ASK: Duration = Duration::from_secs(30);
/// For making, starting and removing: an engine under load can take long, and giving up too early costs
/// an inspection and nothing else.
const DO: Duration = Duration::from_secs(120);
/// Beyond the grace period of a stop.
const AFTER_GRACE: Duration = Duration::from_secs(20);
/// A pull that shows no progress for so long is given up.
const PULL_SILENCE: Duration = Duration::from_secs(120);
/// A hook that runs for longer is taken for stuck.
const HOOK: Duration = Duration::from_secs(300);
/// Inspections at the same time while listing.
const INSPECT_AT_ONCE: usize = 8;
/// How much of a hook's output is kept, bytes.
const HOOK_OUTPUT: usize = 4 << 10;

/// A Docker Engine on this host.
#[derive(Clone)]
pub struct Docker {
    endpoint: Endpoint,
    images: Arc<Images>,
}

impl Docker {
    #[must_use]
    pub fn new(socket: &Path) -> Docker {
        Docker { endpoint: Endpoint::new(socket), images: Arc::default() }
    }

    /// bollard refuses to exist while the socket does not.
    fn client(&self) -> Result<bollard::Docker, EngineError> {
        let socket = self.endpoint.socket().display().to_string();
        // Deadlines are ours: bollard has one for everything, in whole seconds.
        bollard::Docker::connect_with_unix(&socket, 86_400, bollard::API_DEFAULT_VERSION)
            .map_err(|e| EngineError::Away { socket, why: e.to_string() })
    }

    async fn ensure(&self, wish: ImageWish) -> Result<(), EngineError> {
        let need = wish.need();
        let here = match need {
            Need::Pull => false,
            Need::PullIfMissing | Need::TryPull | Need::Local => self.has(&wish.image).await?,
        };
        match need {
            Need::PullIfMissing | Need::Local if here => Ok(()),
            Need::Local => Err(EngineError::Refused {
                status: 404,
                message: format!(
                    "No such image: {} (and its pull policy is {})",
                    wish.image, wish.policy
                ),
            }),
            Need::TryPull if here => {
                let registry = wish.registry();
                if self.images.is_fresh(&wish) || !self.images.reaches(&registry).await {
                    return Ok(());
                }
                if let Err(error) = self.pull(&wish).await {
                    self.images.leave_alone(&registry);
                    tracing::info!(image = wish.image, %error, "cannot refresh the image, using the one that is here");
                }
                Ok(())
            }
            Need::Pull | Need::PullIfMissing | Need::TryPull => self.pull(&wish).await,
        }
    }

    async fn has(&self, image: &str) -> Result<bool, EngineError> {
        let client = self.client()?;
        match deadline(ASK, client.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            // The image is there, only its description is strange to us.
            Err(EngineError::Silent(why)) if why.contains("deserialize") => Ok(true),
            Err(e) => Err(e),
        }
    }

    async fn pull(&self, wish: &ImageWish) -> Result<(), EngineError> {
        let (endpoint, wish_now) = (self.endpoint.clone(), wish.clone());
        self.images.pull(wish, move || pull(endpoint, wish_now).boxed()).await
    }

    async fn make(&self, made: Made) -> Result<String, EngineError> {
        for directory in &made.directories {
            tokio::fs::create_dir_all(directory).await.map_err(|e| EngineError::Refused {
                status: 400,
                message: format!("cannot make the bind source {directory}: {e}"),
            })?;
        }
        let mut path = format!("/containers/create?name={}", escaped(&made.name));
        if !made.platform.is_empty() {
            path.push_str("&platform=");
            path.push_str(&escaped(&made.platform));
        }
        let answer = self.endpoint.json(Method::POST, &path, Some(&made.body), DO).await;
        let id = match answer {
            Ok(answer) => match answer.get("Id").and_then(Value::as_str) {
                Some(id) => id.to_owned(),
                None => return Err(EngineError::Silent(String::from("a container without an id"))),
            },
            Err(EngineError::Refused { status: 409, message }) => {
                // An earlier try whose answer was lost, or a container of somebody else.
                match self.look(&made.name).await? {
                    Some(seen) if seen.task == made.task => seen.container.id,
                    _ => return Err(EngineError::Refused { status: 409, message }),
                }
            }
            Err(error) => return Err(error),
        };
        for (network, endpoint) in &made.connect {
            let path = format!("/networks/{}/connect", escaped(network));
            let body = json!({"Container": id, "EndpointConfig": endpoint});
            match self.endpoint.json(Method::POST, &path, Some(&body), DO).await {
                Ok(_) => {}
                // Connected by an earlier try.
                Err(EngineError::Refused { message, .. }) if message.contains("already exists") => {
                }
                Err(error) => {
                    let _ = self.rm(&id).await;
                    return Err(error);
                }
            }
        }
        Ok(id)
    }

    async fn look(&self, container: &str) -> Result<Option<Seen>, EngineError> {
        let path = format!("/containers/{}/json", escaped(container));
        match self.endpoint.json(Method::GET, &path, None, ASK).await {
            Ok(document) => Ok(Seen::read(&document)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn rm(&self, container: &str) -> Result<(), EngineError> {
        let client = self.client()?;
        let options = q::RemoveContainerOptionsBuilder::default().v(true).build();
        match deadline(DO, client.remove_container(container, Some(options))).await {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    async fn list_all(&self) -> Result<BTreeMap<TaskId, Seen>, EngineError> {
        let filters = json!({"label": [labels::TASK]}).to_string();
        let path = format!("/containers/json?all=1&filters={}", escaped(&filters));
        let list = self.endpoint.json(Method::GET, &path, None, ASK).await?;
        let ids: Vec<String> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|c| c.get("Id")?.as_str().map(str::to_owned))
            .collect();
        let seen: Vec<Option<Seen>> = futures_util::stream::iter(ids)
            .map(|id| async move { self.look(&id).await })
            .buffer_unordered(INSPECT_AT_ONCE)
            .try_collect()
            .await?;
        Ok(seen.into_iter().flatten().map(|s| (s.task, s)).collect())
    }

    async fn run_hook(&self, container: &str, hook: &Hook) -> Result<HookEnd, EngineError> {
        let client = self.client()?;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let options = bollard::exec::CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(hook.command.clone()),
            env: Some(hook.env.clone()),
            user: some(&hook.user),
            working_dir: some(&hook.working_dir),
            privileged: Some(hook.privileged),
            ..bollard::exec::CreateExecOptions::default()
        };
        let exec = deadline(ASK, client.create_exec(container, options)).await?.id;
        let run = async {
            let mut text = String::new();
            if let bollard::exec::StartExecResults::Attached { mut output, .. } =
                client.start_exec(&exec, None).await?
            {
                while let Some(part) = output.next().await {
                    if text.len() < HOOK_OUTPUT {
                        text.push_str(&part?.to_string());
                    }
                }
            }
            Ok(shortened(&text, HOOK_OUTPUT))
        };
        let output = deadline(HOOK, run).await?;
        let end = deadline(ASK, client.inspect_exec(&exec)).await?;
        Ok(HookEnd { exit_code: end.exit_code.unwrap_or(0), output })
    }

    async fn events(&self) -> Result<BoxStream<'static, Happened>, EngineError> {
        let client = self.client()?;
        deadline(ASK, client.ping()).await?;
        let filters = [("type", vec!["container"]), ("label", vec![labels::TASK])];
        // The request goes out when the stream is first read: the engine repeats what came before.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let since = now.map_or(0, |d| d.as_secs()).saturating_sub(1).to_string();
        let options = q::EventsOptionsBuilder::default()
            .since(&since)
            .filters(&filters.into_iter().collect())
            .build();
        let events = client.events(Some(options));
        let healthy = events.take_while(|event| std::future::ready(event.is_ok()));
        let happened = healthy.filter_map(|event| async move {
            let event = event.ok()?;
            let task = event.actor?.attributes?.get(labels::TASK)?.parse().ok()?;
            Some(Happened { task, action: event.action? })
        });
        Ok(happened.boxed())
    }
}

/// Runs one of bollard's calls within a deadline.
async fn deadline<T>(
    span: Duration,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    use bollard::errors::Error;
    match tokio::time::timeout(span, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::DockerResponseServerError { status_code, message })) => {
            Err(EngineError::Refused { status: status_code, message })
        }
        Ok(Err(Error::SocketNotFoundError(socket))) => {
            Err(EngineError::Away { socket, why: String::from("there is no such socket") })
        }
        Ok(Err(error)) => Err(EngineError::Silent(error.to_string())),
        Err(_) => Err(EngineError::Silent(format!("waited {span:?}"))),
    }
}

/// Reads the engine's progress lines until the pull has ended.
async fn pull(endpoint: Endpoint, wish: ImageWish) -> Result<(), EngineError> {
    let mut path = format!("/images/create?fromImage={}", escaped(&wish.image));
    // Without a tag the engine would pull every tag there is.
    let last = wish.image.rsplit('/').next().unwrap_or("");
    if !last.contains(':') && !last.contains('@') {
        path.push_str("&tag=latest");
    }
    if !wish.platform.is_empty() {
        path.push_str("&platform=");
        path.push_str(&escaped(&wish.platform));
    }
    let mut request = Request::builder().method(Method::POST).uri(path).header("Host", "engine");
    if let Some(auth) = &wish.auth {
        request = request.header("X-Registry-Auth", auth);
    }
    let request = request
        .body(full(Bytes::new()))
        .map_err(|e| EngineError::Refused { status: 400, message: e.to_string() })?;
    let silent = || EngineError::Silent(format!("the pull stood still for {PULL_SILENCE:?}"));
    let response = tokio::time::timeout(PULL_SILENCE, endpoint.send(request))
        .await
        .map_err(|_| silent())??;
    if !response.status().is_success() {
        return read(response).await.map(drop);
    }
    let mut body = response.into_body();
    let mut line = Vec::new();
    loop {
        let frame = tokio::time::timeout(PULL_SILENCE, body.frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| EngineError::Silent(e.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        for byte in data {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            progress(&line)?;
            line.clear();
        }
    }
    progress(&line)
}

/// One progress line; an error in it ends the pull.
fn progress(line: &[u8]) -> Result<(), EngineError> {
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
    match value.get("error").and_then(Value::as_str) {
        Some(message) => Err(EngineError::Refused { status: 500, message: message.to_owned() }),
        None => Ok(()),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Containers for Docker {
    fn ensure_image(&self, wish: ImageWish) -> Sent<'_, Result<(), EngineError>> {
        Box::pin(self.ensure(wish))
    }

    fn create(&self, made: Made) -> Sent<'_, Result<String, EngineError>> {
        Box::pin(self.make(made))
    }

    fn start(&self, container: &str) -> Sent<'_, Result<(), EngineError>> {
        let container = container.to_owned();
        Box::pin(async move {
            let client = self.client()?;
            deadline(DO, client.start_container(&container, None::<q::StartContainerOptions>)).await
        })
    }

    fn stop(&self, container: &str, grace: Option<Millis>) -> Sent<'_, Result<(), EngineError>> {
        let container = container.to_owned();
        Box::pin(async move {
            let client = self.client()?;
            let seconds = grace.map(|g| i32::try_from(g.0.div_ceil(1_000)).unwrap_or(i32::MAX));
            let options = seconds.map(|t| q::StopContainerOptionsBuilder::default().t(t).build());
            let wait = Duration::from_millis(grace.map_or(3_600_000, |g| g.0)) + AFTER_GRACE;
            gone_is_done(deadline(wait, client.stop_container(&container, options)).await)
        })
    }

    fn kill(&self, container: &str) -> Sent<'_, Result<(), EngineError>> {
        let container = container.to_owned();
        Box::pin(async move {
            let client = self.client()?;
            let options = None::<q::KillContainerOptions>;
            gone_is_done(deadline(DO, client.kill_container(&container, options)).await)
        })
    }

    fn remove(&self, container: &str) -> Sent<'_, Result<(), EngineError>> {
        let container = container.to_owned();
        Box::pin(async move { self.rm(&container).await })
    }

    fn inspect(&self, container: &str) -> Sent<'_, Result<Option<Seen>, EngineError>> {
        let container = container.to_owned();
        Box::pin(async move { self.look(&container).await })
    }

    fn list(&self) -> Sent<'_, Result<BTreeMap<TaskId, Seen>, EngineError>> {
        Box::pin(self.list_all())
    }

    fn watch(&self) -> Sent<'_, Result<BoxStream<'static, Happened>, EngineError>> {
        Box::pin(self.events())
    }

    fn exec(&self, container: &str, hook: &Hook) -> Sent<'_, Result<HookEnd, EngineError>> {
        let (container, hook) = (container.to_owned(), hook.clone());
        Box::pin(async move { self.run_hook(&container, &hook).await })
    }

    fn info(&self) -> Sent<'_, Result<Value, EngineError>> {
        Box::pin(async { self.endpoint.json(Method::GET, "/info", None, ASK).await })
    }

    fn request(&self, request: Request<Body>) -> Sent<'_, Result<Response<Incoming>, EngineError>> {
        Box::pin(self.endpoint.send(request))
    }
}

/// Stopping or killing what has ended or is not there: what was wanted is so.
fn gone_is_done(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::Refused { status: 304 | 404, .. }) => Ok(()),
        Err(EngineError::Refused { message, .. }) if message.contains("is not running") => Ok(()),
        result => result,
    }
}
