//! Ends the rotation of the certificate authority once every node has followed.

use super::agenda::Agenda;
use super::draft::Draft;
use crate::command::Command;

pub(super) fn plan(draft: &mut Draft<'_>, agenda: &mut Agenda) {
    if !std::mem::take(&mut agenda.trust) {
        return;
    }
    if let Some(rotation) = draft.state.finished_rotation() {
        draft.push(Command::FinishRotation { wanted: Box::new(rotation.wanted.clone()) });
    }
}
