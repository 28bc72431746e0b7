//! The next step of one task: what its order wants, what its container shows, what was done already.

use model::lifecycle::{Desired, TaskState};
use model::object::ContainerStatus;
use model::spec::{ContainerSpec, PortConfig};
use model::wire::orders::{Orders, TaskOrder};
use model::wire::session::TaskReport;
use model::{Millis, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use super::sight::{Exit, Health, Phase, Sight};
use super::step::{HookPoint, Outcome, Step};
use super::{pause_after, rises};

/// Docker's default between stop signal and kill.
const DEFAULT_GRACE: Millis = Millis::from_secs(10);

/// After how many fruitless stops a container is killed outright.
const STOPS_BEFORE_KILL: u32 = 2;

/// What of a task survives a restart of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The highest state reached.
    pub state: TaskState,
    /// When it was reached.
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
    /// Why the container is being stopped; absent while nobody has asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// How many of the hooks have been run.
    #[serde(default)]
    pub post_start_done: usize,
    #[serde(default)]
    pub pre_stop_done: usize,
}

/// Why the worker stops a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The orders say so.
    Ordered,
    /// It is broken, in these words.
    Broken(String),
}

/// What is remembered of one task.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub kept: Kept,
    pub sight: Sight,
    /// When, in the worker's order of events, sight or step last changed.
    pub changed: u64,
    /// News came while a step was in flight: look when it has ended.
    pub look_again: bool,
    pub step: Option<Step>,
    /// The report has changed and was not handed out yet.
    pub dirty: bool,
    pulled: bool,
    abandoned: bool,
    /// Steps in a row that got no answer, or a refusal that cannot last.
    tries: u32,
    /// Stops after which the container still ran.
    stops: u32,
    retry_at: Option<Timestamp>,
}

/// What one task needs now.
pub(super) enum Want {
    Nothing,
    Wait(Timestamp),
    Step(Step),
}

impl Progress {
    pub fn new(sight: Sight) -> Progress {
        Progress { sight, ..Progress::default() }
    }

    pub fn remembered(kept: Kept) -> Progress {
        Progress { kept, dirty: true, ..Progress::default() }
    }

    /// What the leader is told; nothing before the task was ordered.
    pub fn report(&self, task: TaskId) -> Option<TaskReport> {
        let kept = &self.kept;
        rises(TaskState::Assigned, kept.state).then(|| TaskReport {
            task,
            state: kept.state,
            at: kept.at,
            message: kept.message.clone(),
            error: kept.error.clone(),
            container: kept.container.clone(),
            ports: kept.ports.clone(),
        })
    }

    /// Nothing of it is left on this host.
    pub fn has_left(&self) -> bool {
        self.step.is_none() && !self.look_again && self.sight == Sight::Absent
    }

    /// It was to end before this worker began.
    pub fn was_told_to_end(&self) -> bool {
        self.kept.ending.is_some()
    }

    /// Notes what a step about to be taken says of the task.
    pub fn begin(&mut self, step: &Step, now: Timestamp) {
        match step {
            Step::Pull | Step::Create => self.reach(TaskState::Preparing, "preparing", now),
            Step::Start { .. } => self.reach(TaskState::Starting, "starting", now),
            Step::Inspect
            | Step::Hook { .. }
            | Step::Stop { .. }
            | Step::Kill { .. }
            | Step::Remove { .. }
            | Step::Abandon => {}
        }
    }

    /// Takes the end of a step.
    pub fn finish(&mut self, step: &Step, outcome: Outcome, now: Timestamp) {
        self.abandoned = false;
        match outcome {
            Outcome::Done(sight) => {
                self.tries = 0;
                self.retry_at = None;
                self.succeed(step, sight);
            }
            Outcome::Refused(why) => self.refuse(step, &why, now),
            Outcome::Unknown(_) => {
                self.sight = Sight::Unknown;
                self.try_later(now);
            }
            Outcome::Abandoned => {}
        }
    }

    fn succeed(&mut self, step: &Step, sight: Option<Sight>) {
        match step {
            Step::Pull => self.pulled = true,
            Step::Create | Step::Start { .. } | Step::Inspect => {}
            Step::Hook { hook: HookPoint::PostStart(n), .. } => self.kept.post_start_done = n + 1,
            Step::Hook { hook: HookPoint::PreStop(n), .. } => self.kept.pre_stop_done = n + 1,
            Step::Stop { .. } | Step::Kill { .. } => self.stops += 1,
            Step::Remove { .. } => self.sight = Sight::Absent,
            Step::Abandon => {}
        }
        match (sight, step) {
            (Some(sight), _) => self.sight = sight,
            (None, Step::Pull | Step::Hook { .. } | Step::Remove { .. } | Step::Abandon) => {}
            // Done, but nobody looked: what it is like now is not known.
            (None, _) => self.sight = Sight::Unknown,
        }
    }

    fn refuse(&mut self, step: &Step, why: &str, now: Timestamp) {
        match step {
            Step::Pull | Step::Create => {
                self.end(TaskState::Rejected, "preparing", why, now);
                // Whatever a half-done creation left is found by looking.
                self.sight = Sight::Unknown;
            }
            Step::Start { .. } => {
                self.kept.error = format!("starting container failed: {why}");
                let error = self.kept.error.clone();
                self.end(TaskState::Failed, "starting", &error, now);
                self.sight = Sight::Unknown;
            }
            Step::Hook { hook: HookPoint::PostStart(n), .. } => {
                self.break_off(format!("post-start command {} failed: {why}", n + 1));
            }
            // A failed farewell does not keep a container alive.
            Step::Hook { hook: HookPoint::PreStop(n), .. } => self.kept.pre_stop_done = n + 1,
            Step::Inspect | Step::Stop { .. } | Step::Kill { .. } | Step::Remove { .. } => {
                if matches!(step, Step::Stop { .. } | Step::Kill { .. }) {
                    self.stops += 1;
                }
                self.sight = Sight::Unknown;
                self.try_later(now);
            }
            Step::Abandon => {}
        }
    }

    fn try_later(&mut self, now: Timestamp) {
        self.retry_at = Some(now + pause_after(self.tries));
        self.tries = self.tries.saturating_add(1);
    }

    fn break_off(&mut self, why: String) {
        if self.kept.ending.is_none() {
            self.kept.ending = Some(Ending::Broken(why));
        }
    }

    /// Raises the state; a lower or equal one changes nothing.
    fn reach(&mut self, state: TaskState, message: &str, now: Timestamp) {
        if rises(self.kept.state, state) {
            self.kept.state = state;
            self.kept.at = now;
            message.clone_into(&mut self.kept.message);
            self.dirty = true;
        }
    }

    fn end(&mut self, state: TaskState, message: &str, error: &str, now: Timestamp) {
        if rises(self.kept.state, state) {
            error.clone_into(&mut self.kept.error);
            self.reach(state, message, now);
        }
    }

    fn say(&mut self, message: &str) {
        if self.kept.message != message {
            message.clone_into(&mut self.kept.message);
            self.dirty = true;
        }
    }

    /// The next step, and the states that what is seen makes true.
    pub fn want(
        &mut self,
        order: Option<&TaskOrder>,
        orders: &Orders,
        engine: bool,
        now: Timestamp,
    ) -> Want {
        if order.is_some() {
            self.reach(TaskState::Accepted, "accepted", now);
        }
        let desired = order.map_or(Desired::Remove, |o| o.desired);
        // What was remembered of it may be lost; its container is not.
        let runs =
            matches!(&self.sight, Sight::Present(c) if matches!(c.phase, Phase::Running { .. }));
        let started = runs || self.kept.state.rank() >= TaskState::Starting.rank();
        let stop = match desired {
            Desired::Ready | Desired::Running => false,
            // What has never served has nothing to drain.
            Desired::Draining => !started,
            Desired::Shutdown | Desired::Remove => true,
        };
        if let Some(step) = &self.step {
            let pulling = matches!(step, Step::Pull);
            return if stop && pulling && !self.abandoned {
                self.abandoned = true;
                Want::Step(Step::Abandon)
            } else {
                Want::Nothing
            };
        }
        if !engine {
            return Want::Nothing;
        }
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            return Want::Wait(at);
        }
        self.retry_at = None;
        if std::mem::take(&mut self.look_again) || self.sight == Sight::Unknown {
            return Want::Step(Step::Inspect);
        }
        self.note_container();
        let ended = self.kept.state.is_terminal();
        match self.sight.clone() {
            Sight::Unknown => Want::Nothing,
            Sight::Absent => self.without_container(order, orders, stop, ended, now),
            Sight::Present(container) => {
                let id = container.id;
                match container.phase {
                    Phase::Created => self.with_created(order, id, stop, ended, now),
                    Phase::Running { health, .. } => {
                        self.with_running(order, id, &health, stop, ended, now)
                    }
                    Phase::Ended(exit) => {
                        self.with_ended(&exit, now);
                        self.clear(desired, Some(id), now)
                    }
                }
            }
        }
    }

    /// Copies what is seen of the container into the report.
    fn note_container(&mut self) {
        if let Sight::Present(container) = &self.sight {
            let status = Some(container.status());
            if self.kept.container != status {
                self.kept.container = status;
                self.dirty = true;
            }
            if !container.ports.is_empty() && self.kept.ports != container.ports {
                self.kept.ports.clone_from(&container.ports);
                self.dirty = true;
            }
        }
    }

    fn without_container(
        &mut self,
        order: Option<&TaskOrder>,
        orders: &Orders,
        stop: bool,
        ended: bool,
        now: Timestamp,
    ) -> Want {
        let desired = order.map_or(Desired::Remove, |o| o.desired);
        if ended {
            return self.clear(desired, None, now);
        }
        if stop {
            self.end(TaskState::Shutdown, "shutdown", "", now);
            return self.clear(desired, None, now);
        }
        if self.kept.state.rank() >= TaskState::Starting.rank() {
            let why = "its container has been removed by somebody else";
            self.end(TaskState::Failed, "finished", why, now);
            return Want::Nothing;
        }
        let Some(order) = order else { return Want::Nothing };
        if let Some(missing) = missing_file(order, orders) {
            self.say(&format!("waiting until a manager sends {missing} again"));
            return Want::Nothing;
        }
        Want::Step(if self.pulled { Step::Create } else { Step::Pull })
    }

    fn with_created(
        &mut self,
        order: Option<&TaskOrder>,
        id: String,
        stop: bool,
        ended: bool,
        now: Timestamp,
    ) -> Want {
        let desired = order.map_or(Desired::Remove, |o| o.desired);
        if !ended && stop {
            self.end(TaskState::Shutdown, "shutdown", "", now);
        }
        if ended || stop {
            return self.clear(desired, Some(id), now);
        }
        self.reach(TaskState::Ready, "ready to start", now);
        let Some(order) = order else { return Want::Nothing };
        if order.desired == Desired::Ready {
            return Want::Nothing;
        }
        if let Some(until) = order.not_before.filter(|t| *t > now) {
            return Want::Wait(until);
        }
        Want::Step(Step::Start { container: id })
    }

    fn with_running(
        &mut self,
        order: Option<&TaskOrder>,
        id: String,
        health: &Health,
        stop: bool,
        ended: bool,
        now: Timestamp,
    ) -> Want {
        self.reach(TaskState::Starting, "starting", now);
        let spec = order.and_then(|o| o.spec.container_spec.as_ref());
        if stop {
            self.kept.ending.get_or_insert(Ending::Ordered);
        } else if let Health::Unhealthy { output } = health {
            self.break_off(match output.trim() {
                "" => String::from("unhealthy container"),
                said => format!("unhealthy container: {said}"),
            });
        }
        if self.kept.ending.is_some() || ended {
            return self.stop(spec, id, ended, now);
        }
        let hooks = spec.and_then(|s| s.engine.as_ref()).map_or(0, |e| e.post_start.len());
        if self.kept.post_start_done < hooks {
            let hook = HookPoint::PostStart(self.kept.post_start_done);
            return Want::Step(Step::Hook { container: id, hook });
        }
        match health {
            Health::Starting => self.say("waiting for the first health check to pass"),
            Health::Unchecked | Health::Healthy | Health::Unhealthy { .. } => {
                self.reach(TaskState::Running, "started", now);
            }
        }
        if order.is_some_and(|o| o.desired == Desired::Draining) {
            self.reach(TaskState::Draining, "draining", now);
        }
        Want::Nothing
    }

    /// Brings a running container to its end. Its task gets nothing new from here on.
    fn stop(
        &mut self,
        spec: Option<&ContainerSpec>,
        id: String,
        ended: bool,
        now: Timestamp,
    ) -> Want {
        if !ended && self.kept.state.rank() >= TaskState::Running.rank() {
            let message = match &self.kept.ending {
                Some(Ending::Broken(why)) => format!("stopping: {why}"),
                Some(Ending::Ordered) | None => String::from("stopping"),
            };
            self.reach(TaskState::Draining, &message, now);
        }
        let hooks = spec.and_then(|s| s.engine.as_ref()).map_or(0, |e| e.pre_stop.len());
        if self.kept.pre_stop_done < hooks {
            let hook = HookPoint::PreStop(self.kept.pre_stop_done);
            return Want::Step(Step::Hook { container: id, hook });
        }
        if self.stops >= STOPS_BEFORE_KILL {
            return Want::Step(Step::Kill { container: id });
        }
        let grace = spec.map(|s| s.stop_grace_period.map_or(DEFAULT_GRACE, Millis::from_nanos));
        Want::Step(Step::Stop { container: id, grace })
    }

    /// The process has ended: says how.
    fn with_ended(&mut self, exit: &Exit, now: Timestamp) {
        match self.kept.ending.clone() {
            Some(Ending::Ordered) => self.end(TaskState::Shutdown, "shutdown", "", now),
            Some(Ending::Broken(why)) => self.end(TaskState::Failed, "finished", &why, now),
            None => match exit.complaint() {
                none if none.is_empty() => self.end(TaskState::Complete, "finished", "", now),
                complaint => self.end(TaskState::Failed, "finished", &complaint, now),
            },
        }
    }

    /// Nothing runs any more. Keeps the container for its logs until its removal is ordered.
    fn clear(&mut self, desired: Desired, container: Option<String>, now: Timestamp) -> Want {
        if desired != Desired::Remove {
            return Want::Nothing;
        }
        if container.is_some() {
            return Want::Step(Step::Remove { container });
        }
        self.reach(TaskState::Remove, "removed", now);
        Want::Nothing
    }
}

/// A secret or config whose bytes this host does not have: they are not kept on disk, so after a
/// restart a manager has to send them again.
fn missing_file(order: &TaskOrder, orders: &Orders) -> Option<String> {
    let spec = order.spec.container_spec.as_ref()?;
    let lacks_secret = spec.secrets.iter().find(|reference| {
        reference
            .secret_id
            .parse()
            .ok()
            .and_then(|id| orders.secrets.get(&id))
            .is_none_or(|file| file.data.is_empty())
    });
    if let Some(reference) = lacks_secret {
        return Some(format!("secret {}", reference.secret_name));
    }
    let lacks_config = spec.configs.iter().find(|reference| {
        reference
            .config_id
            .parse()
            .ok()
            .and_then(|id| orders.configs.get(&id))
            .is_none_or(|file| file.data.is_empty())
    });
    lacks_config.map(|reference| format!("config {}", reference.config_name))
}
