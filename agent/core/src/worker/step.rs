//! The steps that the worker asks its shell to take, and how a step can end.

use model::{Millis, TaskId};

use super::sight::Sight;

/// One thing to do for one task. At most one is in flight for a task at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub task: TaskId,
    pub step: Step,
}

/// What to do. Every step may be repeated: one that was already done succeeds again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look at the container.
    Inspect,
    /// Have the image here.
    Pull,
    /// Make networks, secret and config files, and the container. The image is here.
    Create,
    /// Start the container.
    Start { container: String },
    /// Run one of the spec's hooks inside the container and wait for its end.
    Hook { container: String, hook: HookPoint },
    /// Send the stop signal, wait for the grace period, kill. Without a grace, the container's own.
    Stop { container: String, grace: Option<Millis> },
    /// Kill at once: stopping has not helped.
    Kill { container: String },
    /// Remove the container, its anonymous volumes and its secret and config files.
    Remove { container: Option<String> },
    /// Give up the pull in flight; it ends with [`Outcome::Abandoned`].
    Abandon,
}

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPoint {
    PostStart(usize),
    PreStop(usize),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done. What was seen of the container afterwards, where the step looked.
    Done(Option<Sight>),
    /// The engine refused, for the reason it gave; nothing was changed.
    Refused(String),
    /// No answer, or the engine is away: perhaps done.
    Unknown(String),
    /// A pull was given up because its task is not wanted any more.
    Abandoned,
}

impl Step {
    /// A lower-case verb for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Step::Inspect => "inspect",
            Step::Pull => "pull",
            Step::Create => "create",
            Step::Start { .. } => "start",
            Step::Hook { .. } => "hook",
            Step::Stop { .. } => "stop",
            Step::Kill { .. } => "kill",
            Step::Remove { .. } => "remove",
            Step::Abandon => "abandon",
        }
    }
}
