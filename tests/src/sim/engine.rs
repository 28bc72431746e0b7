//! The container engine of one simulated host.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::worker::{Container, Exit, Health, Outcome, Phase, Sight, Step};
use model::TaskId;

/// Containers and images of one host. They outlive the agent; a power cut ends the processes.
#[derive(Debug, Default)]
pub struct Engine {
    pub containers: BTreeMap<TaskId, Container>,
    images: BTreeSet<String>,
    started: i64,
}

impl Engine {
    /// Does a step. `fails` is what chance decided about it.
    pub fn take(&mut self, task: TaskId, step: &Step, image: &str, fails: bool) -> Outcome {
        if fails {
            return Outcome::Unknown("the engine did not answer".to_owned());
        }
        match step {
            Step::Pull => {
                self.images.insert(image.to_owned());
                return Outcome::Done(None);
            }
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
                if let Some(container) = self.containers.get_mut(&task)
                    && container.phase == Phase::Created
                {
                    container.phase = Phase::Running { pid, health: Health::Starting };
                }
            }
            Step::Stop { .. } => self.end(task, 143),
            Step::Kill { .. } => self.end(task, 137),
            Step::Remove { .. } => {
                self.containers.remove(&task);
            }
            Step::Inspect | Step::Hook { .. } => {}
            Step::Abandon => return Outcome::Abandoned,
        }
        Outcome::Done(Some(self.sight(task)))
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

    /// The first health check passes.
    pub fn heal(&mut self, task: TaskId) {
        if let Some(Container { phase: Phase::Running { health, .. }, .. }) =
            self.containers.get_mut(&task)
        {
            *health = Health::Healthy;
        }
    }

    /// Whether the task's process runs.
    #[must_use]
    pub fn runs(&self, task: TaskId) -> bool {
        self.containers.get(&task).is_some_and(|c| matches!(c.phase, Phase::Running { .. }))
    }

    /// The power goes: every process ends.
    pub fn power_off(&mut self) {
        let all: Vec<TaskId> = self.containers.keys().copied().collect();
        for task in all {
            self.end(task, 137);
        }
    }
}
