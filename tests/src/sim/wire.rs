//! The network between hosts and managers: late, cut in one direction or both, connections that
//! break.
//!
//! A session is one connection: its frames arrive in order, and when one is lost so are all that
//! follow it, until both sides notice the silence. What an agent says may also come twice, late and
//! out of order; that is harsher than any connection, and must do no harm either.

use model::wire::session::{FromAgent, FromManager};
use model::{Millis, NodeId};

use super::event::Event;
use super::world::World;

impl World {
    /// When something sent now arrives, in order for each direction; none when it does not.
    fn arrival(&mut self, host: usize, session: u64, to_host: bool) -> Option<u64> {
        let weather = self.breaking && self.settings.weather;
        let dice = self.random.number();
        let known = &mut self.hosts[host];
        let (cut, broken) = if to_host {
            (known.cut_to, &mut known.broken_to)
        } else {
            (known.cut_from, &mut known.broken_from)
        };
        if cut || !known.up || (weather && dice.is_multiple_of(1_500)) {
            *broken = session;
        }
        if *broken == session {
            return None;
        }
        let slow = weather && dice.is_multiple_of(203);
        let latency = if slow { self.random.range(50, 900) } else { (dice >> 32) % 7 + 1 };
        let known = &mut self.hosts[host];
        let last = if to_host { &mut known.last_to } else { &mut known.last_from };
        let at = (*last).max(self.now + Millis(latency));
        *last = at;
        Some(at.since(self.now).0)
    }

    /// From the leader.
    pub(super) fn to_host(&mut self, node: NodeId, frame: FromManager) {
        let Some(host) = self.by_node.get(&node).copied() else { return };
        let leader = self.managers.leader.as_ref();
        let Some(session) = leader.and_then(|l| l.sessions.get(&node)).copied() else { return };
        let Some(wait) = self.arrival(host, session, true) else { return };
        let frame = Box::new(frame);
        let weather = self.breaking && self.settings.weather;
        if weather && self.random.once_in(1_000) {
            let frame = frame.clone();
            self.later(wait + 3, Event::ToHost { host, session, frame });
        }
        // A delta that follows on nothing must do no harm either. But no connection loses a frame and
        // lives: it breaks soon.
        if weather && matches!(*frame, FromManager::Delta { .. }) && self.random.once_in(400) {
            let soon = self.random.range(100, 4_000);
            self.later(soon, Event::Shaken(host));
            return;
        }
        self.later(wait, Event::ToHost { host, session, frame });
    }

    /// From an agent, to whom it has a session with.
    pub(super) fn to_leader(&mut self, host: usize, frame: FromAgent) {
        let Some(session) = self.hosts[host].session else { return };
        let Some(wait) = self.arrival(host, session, false) else { return };
        let frame = Box::new(frame);
        if self.breaking && self.settings.weather && self.random.once_in(1_000) {
            // Late and out of order: what was said before must not undo what was said since.
            let (frame, late) = (frame.clone(), self.random.range(20, 400));
            self.later(wait + late, Event::ToLeader { host, session, frame });
        }
        self.later(wait, Event::ToLeader { host, session, frame });
    }
}
