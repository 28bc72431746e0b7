//! The orchestrator in one deterministic simulator: the real planner, state, projection and agent
//! worker; simulated are time, chance, network, disk, engines and the agreement on the log.
//!
//! `world` is the cluster and its queue of events; `leader` and `agent` say what managers and hosts
//! do in each, `wire` what the network does; `faults` breaks things, `client` asks for things;
//! `invariant` says what must hold. A run: users and faults for some minutes, then everything is
//! mended and the cluster must converge, then everything is removed and nothing may remain. The
//! same seed gives the same run, event for event. `shrink` finds out which acts a failure needs;
//! `script` lets a person, or a text in `tests/scenarios`, drive a cluster.

mod agent;
mod client;
mod engine;
mod event;
mod faults;
mod host;
mod invariant;
mod leader;
mod managers;
mod random;
mod script;
mod services;
mod shrink;
mod steps;
mod wire;
mod world;

pub use invariant::INVARIANTS;
pub use script::{HELP, Script};
pub use shrink::{Shrunk, shrink};
pub use world::{Act, Settings, World};

/// How a seed failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub seed: u64,
    /// Simulated milliseconds since the start.
    pub at_ms: u64,
    /// The invariant's id.
    pub what: String,
    pub detail: String,
}

/// What a run of one seed gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub simulated_ms: u64,
    pub events: u64,
    pub entries: u64,
    pub failure: Option<Failure>,
    /// What users asked for and what broke.
    pub acts: Vec<Act>,
    /// Every event, when it was asked for.
    pub trace: Vec<String>,
    /// The bytes of the last state, so that two runs can be compared.
    pub last_state: Vec<u8>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, settings: &Settings) -> Run {
    let mut world = World::new(seed, settings.clone());
    let failure = world.live_through().err();
    Run {
        simulated_ms: world.elapsed_ms(),
        events: world.events,
        entries: world.managers.log.len() as u64,
        failure: failure.map(|(what, detail)| Failure {
            seed,
            at_ms: world.elapsed_ms(),
            what,
            detail,
        }),
        acts: std::mem::take(&mut world.acts),
        trace: std::mem::take(&mut world.trace),
        last_state: world.managers.newest().to_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Settings {
        Settings { seconds: 40, ..Settings::default() }
    }

    #[test]
    fn a_few_seeds_hold_every_invariant() {
        for seed in 1..=5 {
            let run = run(seed, &short());
            assert!(run.failure.is_none(), "{:?}", run.failure);
            assert!(run.entries > 50, "things happened");
        }
    }

    #[test]
    fn seeds_replay_event_for_event_and_byte_for_byte() {
        let settings = Settings { trace: true, ..short() };
        for seed in 11..=14 {
            let (first, again) = (run(seed, &settings), run(seed, &settings));
            assert!(first.trace.len() > 1_000, "the trace has every event");
            assert_eq!(first, again);
        }
    }

    #[test]
    fn an_act_is_left_out_without_changing_the_others() {
        let whole = run(21, &short());
        let only = whole.acts.iter().map(|act| act.number).filter(|n| n % 3 != 0).collect();
        let part = run(21, &Settings { only: Some(only), ..short() });
        let at = |run: &Run, number| run.acts.iter().find(|a| a.number == number).map(|a| a.at_ms);
        for act in &part.acts {
            assert_eq!(Some(act.at_ms), at(&whole, act.number).or(Some(act.at_ms)));
            assert_ne!(act.number % 3, 0);
        }
    }

    #[test]
    fn every_invariant_has_an_id_of_its_own_and_a_sentence() {
        let mut ids: Vec<&str> = INVARIANTS.iter().map(|(id, _)| *id).collect();
        ids.dedup();
        assert_eq!(ids.len(), INVARIANTS.len());
        assert!(INVARIANTS.iter().all(|(_, says)| says.len() > 20));
    }
}
