//! The orchestrator in one deterministic simulator: the real planner, state, projection and agent
//! worker; simulated are time, chance, network, disk, engines and the agreement on the log.
//!
//! [`world`] is the queue of events and what each does; `faults` breaks things, `client` asks for
//! things; `invariant` says what must hold after every event. A run: faults for some minutes, then
//! everything is mended and the cluster must converge, then everything is removed and nothing may
//! remain. The same seed gives the same run, event for event.

mod client;
mod engine;
mod faults;
mod host;
mod invariant;
mod managers;
mod random;
mod world;

pub use invariant::INVARIANTS;
pub use world::{Settings, World};

/// How a seed failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    /// Simulated milliseconds since the start.
    pub at_ms: u64,
    /// The invariant's id, or `liveness`, `leak`.
    pub what: String,
    pub detail: String,
}

/// What a run of one seed gave.
#[derive(Clone, Debug)]
pub struct Run {
    pub simulated_ms: u64,
    pub events: u64,
    pub entries: u64,
    pub failure: Option<Failure>,
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
        trace: std::mem::take(&mut world.trace),
        last_state: world.managers.newest().to_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Settings {
        Settings { minutes: 1, ..Settings::default() }
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
    fn a_seed_replays_event_for_event() {
        let settings = Settings { trace: true, ..short() };
        let (first, again) = (run(11, &settings), run(11, &settings));
        assert_eq!(first.trace, again.trace);
        assert_eq!(first.last_state, again.last_state);
    }
}
