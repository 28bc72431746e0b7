//! What is known of a task's container: absent, unknown or present, and how it is.

use model::object::ContainerStatus;
use model::spec::PortConfig;
use serde::{Deserialize, Serialize};

/// Knowledge has three values; an unknown container is looked at before anything is done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Nobody has looked, the engine is away, or a step ended without an answer.
    #[default]
    Unknown,
    /// The engine said that there is none.
    Absent,
    /// The engine described it.
    Present(Container),
}

/// A container as the engine described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    pub phase: Phase,
    /// Host-mode ports as the engine opened them.
    pub ports: Vec<PortConfig>,
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Made, never started.
    Created,
    /// Its first process runs (a paused one counts as running).
    Running { pid: i64, health: Health },
    /// Its first process has ended.
    Ended(Exit),
}

/// What the container's health check says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It has none: running is healthy.
    #[default]
    Unchecked,
    /// No verdict yet.
    Starting,
    Healthy,
    /// As many checks in a row have failed as its retries allow.
    Unhealthy {
        /// What the last check printed.
        output: String,
    },
}

/// How a container's first process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub code: i64,
    /// The engine's own words, when it has any.
    pub error: String,
    pub out_of_memory: bool,
}

impl Container {
    /// For the task's status.
    #[must_use]
    pub fn status(&self) -> ContainerStatus {
        let (pid, exit_code) = match &self.phase {
            Phase::Created => (0, None),
            Phase::Running { pid, .. } => (*pid, None),
            Phase::Ended(exit) => (0, Some(exit.code)),
        };
        ContainerStatus { id: self.id.clone(), pid, exit_code }
    }
}

impl Exit {
    /// What went wrong, in Docker's words; empty for exit code 0.
    #[must_use]
    pub fn complaint(&self) -> String {
        if self.code == 0 && !self.out_of_memory {
            return String::new();
        }
        let mut text = format!("task: non-zero exit ({})", self.code);
        if self.out_of_memory {
            text.push_str(": killed because it ran out of memory");
        }
        if !self.error.is_empty() {
            text.push_str(": ");
            text.push_str(&self.error);
        }
        text
    }
}
