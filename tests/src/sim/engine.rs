//! The container engine of one simulated host.

use std::collections::BTreeMap;

use agent_core::worker::{Container, Exit, Health, Outcome, Phase, Sight, Step};
use model::TaskId;

/// Containers of one host. They outlive the agent; a power cut ends the processes.
#[derive(Debug, Default)]
pub struct Engine {
    pub containers: BTreeMap<TaskId, Container>,
    /// What the containers of tasks are made from. It outlives the agent that asked.
    pub recipes: BTreeMap<TaskId, Recipe>,
    started: i64,
}

/// What a container is made from, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    pub image: String,
    /// It has a health check.
    pub checked: bool,
}

/// What comes of a step, as chance decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// Done, but nobody hears of it.
    DoneUnheard,
    /// Not done, and nobody knows.
    Lost,
    /// The engine refuses.
    Refused,
}

impl Engine {
    /// Does a step.
    pub fn take(&mut self, task: TaskId, step: &Step, fate: Fate) -> Outcome {
        match fate {
            Fate::Done | Fate::DoneUnheard => {}
            Fate::Lost => return Outcome::Unknown("the engine did not answer".to_owned()),
            Fate::Refused => return Outcome::Refused("the registry does not answer".to_owned()),
        }
        self.act(task, step);
        if fate == Fate::DoneUnheard {
            return Outcome::Unknown("the connection to the engine broke".to_owned());
        }
        match step {
            Step::Pull => Outcome::Done(None),
            Step::Abandon => Outcome::Abandoned,
            Step::Inspect
            | Step::Create
            | Step::Start { .. }
            | Step::Hook { .. }
            | Step::Stop { .. }
            | Step::Kill { .. }
            | Step::Remove { .. } => Outcome::Done(Some(self.sight(task))),
        }
    }

    /// What the task's container is made from.
    #[must_use]
    pub fn recipe(&self, task: TaskId) -> Recipe {
        self.recipes.get(&task).cloned().unwrap_or_default()
    }

    fn act(&mut self, task: TaskId, step: &Step) {
        match step {
            Step::Create => {
                let id = format!("c{task}");
                self.containers.entry(task).or_insert_with(|| Container {
                    id,
                    phase: Phase::Created,
                    ports: Vec::new(),
                });
            }
            Step::Start { .. } => {
                self.started += 1;
                let pid = self.started;
                let checked = self.recipe(task).checked;
                let health = if checked { Health::Starting } else { Health::Unchecked };
                if let Some(container) = self.containers.get_mut(&task)
                    && container.phase == Phase::Created
                {
                    container.phase = Phase::Running { pid, health };
                }
            }
            Step::Stop { .. } => self.end(task, 143),
            Step::Kill { .. } => self.end(task, 137),
            Step::Remove { .. } => {
                self.containers.remove(&task);
                self.recipes.remove(&task);
            }
            Step::Pull | Step::Inspect | Step::Hook { .. } | Step::Abandon => {}
        }
    }

    /// How a container is.
    #[must_use]
    pub fn sight(&self, task: TaskId) -> Sight {
        self.containers.get(&task).cloned().map_or(Sight::Absent, Sight::Present)
    }

    /// A container's first process ends.
    pub fn end(&mut self, task: TaskId, code: i64) {
        if let Some(container) = self.containers.get_mut(&task)
            && matches!(container.phase, Phase::Running { .. })
        {
            container.phase = Phase::Ended(Exit { code, ..Exit::default() });
        }
    }

    /// The health check of this very process says something. False when it is not there any more.
    pub fn judge(&mut self, task: TaskId, process: i64, verdict: Health) -> bool {
        match self.containers.get_mut(&task).map(|c| &mut c.phase) {
            Some(Phase::Running { pid, health }) if *pid == process => {
                *health = verdict;
                true
            }
            Some(Phase::Running { .. } | Phase::Created | Phase::Ended(_)) | None => false,
        }
    }

    /// Whether the task's process runs.
    #[must_use]
    pub fn runs(&self, task: TaskId) -> bool {
        self.pid(task).is_some()
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self, task: TaskId) -> Option<i64> {
        match self.containers.get(&task)?.phase {
            Phase::Running { pid, .. } => Some(pid),
            Phase::Created | Phase::Ended(_) => None,
        }
    }

    /// The power goes: every process ends.
    pub fn power_off(&mut self) {
        let all: Vec<TaskId> = self.containers.keys().copied().collect();
        for task in all {
            self.end(task, 137);
        }
    }
}
