//! Specs as clients send them: read, written, read again, then applied to a state.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::object::{NodeDescription, Revision};
use model::spec::{
    Availability, ConfigSpec, NetworkSpec, NodeSpec, Role, SecretSpec, ServiceSpec,
};
use orchestrator_core::command::{Batch, Bootstrap, Command, Entry, JoinNode};
use orchestrator_core::{State, command};

fn stable<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(read, again);
    Some(read)
}

fn started() -> State {
    let node = JoinNode {
        description: NodeDescription::default(),
        role: Role::Manager,
        availability: Availability::Active,
        manager_address: None,
    };
    let start = Command::Bootstrap(Box::new(Bootstrap::bare(1, node)));
    let mut state = State::default();
    let _ = state.apply(Revision(1), &entry(start));
    state
}

fn entry(command: Command) -> Entry {
    Entry { at: model::Timestamp(1), batch: Batch { commands: vec![command], base: None } }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let command = match kind % 5 {
        0 => stable::<ServiceSpec>(bytes)
            .map(|spec| Command::CreateService { spec: Box::new(spec), registry_auth: None }),
        1 => stable::<NetworkSpec>(bytes).map(|s| Command::CreateNetwork { spec: Box::new(s) }),
        2 => stable::<SecretSpec>(bytes).map(|s| Command::CreateSecret { spec: Box::new(s) }),
        3 => stable::<ConfigSpec>(bytes).map(|s| Command::CreateConfig { spec: Box::new(s) }),
        _ => stable::<NodeSpec>(bytes).map(|spec| Command::UpdateNode {
            id: command::first_node(1),
            version: model::object::Version(1),
            spec: Box::new(spec),
        }),
    };
    let Some(command) = command else { return };
    let mut state = started();
    let applied = state.apply(Revision(2), &entry(command));
    assert_eq!(applied.responses.len(), 1);
    state.verify().expect("the state is sound after any request");
});
