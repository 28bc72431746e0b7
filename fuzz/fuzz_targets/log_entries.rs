//! Entries of the log: whatever they say, `apply` answers and the state can be written and read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::object::Revision;
use orchestrator_core::{Entry, State};

fuzz_target!(|bytes: &[u8]| {
    let mut state = State::default();
    let entries = serde_json::Deserializer::from_slice(bytes).into_iter::<Entry>();
    for (at, entry) in entries.map_while(Result::ok).enumerate() {
        let _ = state.apply(Revision(at as u64 + 1), &entry);
    }
    let again = State::from_bytes(&state.to_bytes()).expect("a snapshot reads back");
    assert_eq!(again, state);
});
