//! The life cycle of a task: its states, their ranks, who may make which move.
//!
//! One table, [`MOVES`]. `State::apply` executes it, the tests walk it, the docs print it.
//! Ranks only rise: a task never restarts and never changes node; what replaces it is a new task
//! in the same slot. The names and ranks are SwarmKit's, except `draining`, which is ours.

use serde::{Deserialize, Serialize};

/// How far a task has come.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Exists; nothing has been allocated for it.
    #[default]
    New = 0,
    /// Has what the cluster gives it (addresses); waits for a node.
    Pending = 64,
    /// Has a node, which does not know of it yet.
    Assigned = 192,
    /// Its node has its order.
    Accepted = 256,
    /// Its node fetches the image and creates networks, volumes and the container.
    Preparing = 320,
    /// The container exists and may be started.
    Ready = 384,
    /// The container has been started; the first health check has not passed.
    Starting = 448,
    /// Serves.
    Running = 512,
    /// Serves what it has, gets nothing new. On its way to `Shutdown`.
    Draining = 544,
    /// Ended by itself with exit code 0.
    Complete = 576,
    /// Ended because it was asked to.
    Shutdown = 640,
    /// Ended by itself with another exit code, or its health check failed.
    Failed = 704,
    /// Could not be started on its node.
    Rejected = 768,
    /// Ended; the record goes as soon as its node has cleaned up.
    Remove = 800,
    /// Its node is lost; whether it still runs there is not known.
    Orphaned = 832,
}

/// What the planner wants of a task. Only the planner writes it, and it only rises.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Be prepared up to `Ready`, but do not start yet.
    Ready,
    /// Run.
    #[default]
    Running,
    /// Get nothing new: leave names and routes, keep serving open connections.
    Draining,
    /// Stop: stop signal, grace period, kill.
    Shutdown,
    /// Stop if need be, then remove the container and forget the task.
    Remove,
}

/// Who makes a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The planner on the leader, through a command.
    Planner,
    /// The agent of the task's node, through a status.
    Agent,
}

use Owner::{Agent, Planner};
use TaskState::{
    Accepted, Assigned, Complete, Draining, Failed, New, Orphaned, Pending, Preparing, Ready,
    Rejected, Remove, Running, Shutdown, Starting,
};

/// Every legal move into a state: the state, who makes the move, from which states.
///
/// An agent may skip states (a status is the latest, not each), so an agent's row lists every
/// state below it that its node can have reached. The one move of another's state: the planner
/// declares a lost node's task orphaned.
pub const MOVES: &[(TaskState, Owner, &[TaskState])] = &[
    (Pending, Planner, &[New]),
    (Assigned, Planner, &[New, Pending]),
    (Accepted, Agent, &[Assigned]),
    (Preparing, Agent, &[Assigned, Accepted]),
    (Ready, Agent, &[Assigned, Accepted, Preparing]),
    (Starting, Agent, &[Assigned, Accepted, Preparing, Ready]),
    (Running, Agent, &[Assigned, Accepted, Preparing, Ready, Starting]),
    (Draining, Agent, &[Assigned, Accepted, Preparing, Ready, Starting, Running]),
    (Complete, Agent, &[Assigned, Accepted, Preparing, Ready, Starting, Running, Draining]),
    (Shutdown, Planner, &[New, Pending]),
    (Shutdown, Agent, &[Assigned, Accepted, Preparing, Ready, Starting, Running, Draining]),
    (Failed, Agent, &[Assigned, Accepted, Preparing, Ready, Starting, Running, Draining]),
    (Rejected, Agent, &[Assigned, Accepted, Preparing, Ready, Starting]),
    (
        Remove,
        Agent,
        &[
            Assigned, Accepted, Preparing, Ready, Starting, Running, Draining, Complete, Shutdown,
            Failed, Rejected, Orphaned,
        ],
    ),
    (Orphaned, Planner, &[Assigned, Accepted, Preparing, Ready, Starting, Running, Draining]),
];

impl TaskState {
    /// All states, lowest rank first.
    pub const ALL: [TaskState; 15] = [
        New, Pending, Assigned, Accepted, Preparing, Ready, Starting, Running, Draining, Complete,
        Shutdown, Failed, Rejected, Remove, Orphaned,
    ];

    /// The rank, SwarmKit's number where it has the state.
    #[must_use]
    pub const fn rank(self) -> u16 {
        self as u16
    }

    /// True once the task's process is known to have ended, or its node is given up.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        self.rank() >= Complete.rank()
    }

    /// True while the task may hold a container on its node.
    #[must_use]
    pub const fn may_hold_container(self) -> bool {
        self.rank() >= Assigned.rank() && self.rank() < Complete.rank()
    }

    /// Whether `owner` may move a task from `self` to `to`. Staying is not a move.
    #[must_use]
    pub fn may_become(self, to: TaskState, owner: Owner) -> bool {
        MOVES.iter().any(|(into, by, from)| *into == to && *by == owner && from.contains(&self))
    }

    /// The lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            New => "new",
            Pending => "pending",
            Assigned => "assigned",
            Accepted => "accepted",
            Preparing => "preparing",
            Ready => "ready",
            Starting => "starting",
            Running => "running",
            Draining => "draining",
            Complete => "complete",
            Shutdown => "shutdown",
            Failed => "failed",
            Rejected => "rejected",
            Remove => "remove",
            Orphaned => "orphaned",
        }
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_raises_the_rank() {
        for (to, _, from) in MOVES {
            for state in *from {
                // A node that was given up may come back and clean up: the one step that
                // does not rise, because `Remove` ends the record.
                let comes_back = *state == Orphaned && *to == Remove;
                assert!(state.rank() < to.rank() || comes_back, "{state} -> {to}");
            }
        }
    }

    #[test]
    fn states_are_listed_by_rank_with_their_own_names() {
        assert!(TaskState::ALL.is_sorted());
        for state in TaskState::ALL {
            let json = serde_json::to_string(&state).expect("a unit variant");
            assert_eq!(json, format!("\"{}\"", state.name()));
        }
    }

    #[test]
    fn every_state_but_new_can_be_reached() {
        for state in TaskState::ALL.into_iter().skip(1) {
            assert!(MOVES.iter().any(|(to, _, _)| *to == state), "{state}");
        }
    }
}
