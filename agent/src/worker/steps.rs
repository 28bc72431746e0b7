//! Takes one step for one task, through the engine, the data plane and the host's files.

use agent_core::worker::{Effect, HookPoint, Outcome, Step};
use model::spec::Hook;
use model::spec::Role;
use model::wire::orders::{Orders, TaskOrder};
use model::{NetworkId, TaskId};

use super::{Tools, sight};
use crate::engine::create::{self, Given};
use crate::engine::{Containers, EngineError, ImageWish, Seen};

/// Why a step did not succeed.
enum Trouble {
    Refused(String),
    Unknown(String),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { message, .. } => Trouble::Refused(message),
            EngineError::Away { .. } | EngineError::Silent(_) => {
                Trouble::Unknown(error.to_string())
            }
        }
    }
}

/// Takes the step; gives how it ended and what was seen of the container afterwards.
pub(super) async fn take(
    tools: &Tools,
    orders: &Orders,
    effect: &Effect,
    name: Option<&str>,
) -> (Outcome, Option<Seen>) {
    let began = std::time::Instant::now();
    let result = act(tools, orders, effect, name).await;
    let (task, step, ms) = (effect.task, effect.step.name(), began.elapsed().as_millis());
    match result {
        Ok(After::Looked(seen)) => {
            tracing::debug!(%task, step, ms, "done");
            (Outcome::Done(Some(sight(seen.clone()))), seen)
        }
        Ok(After::NotLooked) => {
            tracing::debug!(%task, step, ms, "done");
            (Outcome::Done(None), None)
        }
        Err(Trouble::Refused(why)) => {
            tracing::info!(%task, step, ms, why, "refused");
            (Outcome::Refused(why), None)
        }
        Err(Trouble::Unknown(why)) => {
            tracing::warn!(%task, step, ms, why, "no answer");
            (Outcome::Unknown(why), None)
        }
    }
}

enum After {
    Looked(Option<Seen>),
    NotLooked,
}

async fn act(
    tools: &Tools,
    orders: &Orders,
    effect: &Effect,
    name: Option<&str>,
) -> Result<After, Trouble> {
    let engine = &*tools.engine;
    let task = effect.task;
    let order = || {
        let missing = || Trouble::Unknown(String::from("its order has gone"));
        orders.tasks.get(&task).ok_or_else(missing)
    };
    match &effect.step {
        Step::Inspect => Ok(After::Looked(look(engine, task, name).await?)),
        Step::Pull => {
            engine.ensure_image(wish(order()?)).await?;
            Ok(After::NotLooked)
        }
        Step::Create => {
            let id = make(tools, orders, order()?).await?;
            Ok(After::Looked(engine.inspect(&id).await?))
        }
        Step::Start { container } => {
            engine.start(container).await?;
            Ok(After::Looked(engine.inspect(container).await?))
        }
        Step::Hook { container, hook } => {
            run_hook(engine, container, find_hook(order()?, *hook)?).await?;
            Ok(After::NotLooked)
        }
        Step::Stop { container, grace } => {
            engine.stop(container, *grace).await?;
            Ok(After::Looked(engine.inspect(container).await?))
        }
        Step::Kill { container } => {
            engine.kill(container).await?;
            Ok(After::Looked(engine.inspect(container).await?))
        }
        Step::Remove { container } => {
            if let Some(container) = container {
                engine.remove(container).await?;
            }
            tools.files.remove(task).map_err(|e| Trouble::Unknown(chain(&e)))?;
            Ok(After::NotLooked)
        }
        Step::Abandon => Ok(After::NotLooked),
    }
}

/// Looks at a task's container, by id or name, or among all when neither is known.
pub(super) async fn look(
    engine: &dyn Containers,
    task: TaskId,
    name: Option<&str>,
) -> Result<Option<Seen>, EngineError> {
    match name {
        Some(name) => Ok(engine.inspect(name).await?.filter(|seen| seen.task == task)),
        None => Ok(engine.list().await?.remove(&task)),
    }
}

fn wish(order: &TaskOrder) -> ImageWish {
    let spec = order.spec.container_spec.as_ref();
    let options = spec.and_then(|s| s.engine.as_ref());
    ImageWish {
        image: spec.map(|s| s.image.clone()).unwrap_or_default(),
        policy: options.map(|o| o.pull_policy.clone()).unwrap_or_default(),
        platform: options.map(|o| o.platform.clone()).unwrap_or_default(),
        auth: order.registry_auth.clone(),
    }
}

async fn make(tools: &Tools, orders: &Orders, order: &TaskOrder) -> Result<String, Trouble> {
    let mut wanted: Vec<NetworkId> = order.attachments.iter().map(|a| a.network).collect();
    wanted.extend(order.spec.networks.iter().filter_map(|n| n.target.parse::<NetworkId>().ok()));
    wanted.sort_unstable();
    wanted.dedup();
    let networks = wanted.iter().filter_map(|id| orders.networks.get(id).cloned()).collect();
    let networks = tools.net.ensure_networks(networks).await.map_err(|error| {
        if error.unanswered {
            Trouble::Unknown(error.to_string())
        } else {
            Trouble::Refused(error.to_string())
        }
    })?;
    let files =
        tools.files.ensure(order, orders).map_err(|error| Trouble::Refused(chain(&error)))?;
    let socket = tools.socket.clone().filter(|_| orders.node.role == Role::Manager);
    let given = Given { node: orders.node.id, networks, files, socket };
    let made =
        create::container(order, &given).map_err(|error| Trouble::Refused(error.to_string()))?;
    Ok(tools.engine.create(made).await?)
}

fn find_hook(order: &TaskOrder, point: HookPoint) -> Result<&Hook, Trouble> {
    let options = order.spec.container_spec.as_ref().and_then(|s| s.engine.as_ref());
    let hook = options.and_then(|o| match point {
        HookPoint::PostStart(n) => o.post_start.get(n),
        HookPoint::PreStop(n) => o.pre_stop.get(n),
    });
    hook.ok_or_else(|| Trouble::Refused(String::from("there is no such hook")))
}

async fn run_hook(engine: &dyn Containers, container: &str, hook: &Hook) -> Result<(), Trouble> {
    let end = engine.exec(container, hook).await?;
    if end.exit_code == 0 {
        return Ok(());
    }
    let said = end.output.trim();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(Trouble::Refused(format!("exit code {}{colon}{said}", end.exit_code)))
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
