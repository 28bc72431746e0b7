//! What breaks, when, and how all of it is mended in the end.

use model::NodeId;
use model::spec::Availability;
use orchestrator_core::command::{Batch, Command};

use super::managers::Origin;
use super::world::{Event, World};

impl World {
    /// One fault, then the next in a while.
    pub(super) fn fault(&mut self) {
        if !self.breaking {
            return;
        }
        let host = self.random.index(self.hosts.len());
        match self.random.range(0, 100) {
            0..12 => self.manager_dies(),
            12..22 => self.power_off(host),
            22..37 => self.agent_crashes(host),
            37..50 => self.engine_restarts(host),
            50..65 => self.cut(host),
            65..75 => self.hosts[host].crashing = !self.hosts[host].crashing,
            _ => self.container_dies(host),
        }
        let wait = self.random.range(300, 6_000);
        self.later(wait, Event::Fault);
    }

    fn manager_dies(&mut self) {
        let leader = self.managers.leader.as_ref().map(|l| l.manager);
        let manager = match leader {
            Some(leader) if self.random.chance(60) => leader,
            Some(_) | None => self.random.index(self.settings.managers),
        };
        if leader == Some(manager) {
            self.lose_leader();
        }
        self.managers.replicas[manager].up = false;
        let wait = self.random.range(200, 8_000);
        self.later(wait, Event::ManagerUp(manager));
    }

    fn power_off(&mut self, host: usize) {
        if !self.hosts[host].up {
            return;
        }
        self.hosts[host].crash();
        self.hosts[host].engine.power_off();
        let wait = self.random.range(500, 20_000);
        if host < self.settings.managers {
            if self.managers.leader.as_ref().is_some_and(|l| l.manager == host) {
                self.lose_leader();
            }
            self.managers.replicas[host].up = false;
            self.later(wait, Event::ManagerUp(host));
        }
        self.later(wait, Event::HostUp(host));
    }

    fn agent_crashes(&mut self, host: usize) {
        if !self.hosts[host].up {
            return;
        }
        self.hosts[host].crash();
        let wait = self.random.range(50, 3_000);
        self.later(wait, Event::HostUp(host));
    }

    fn engine_restarts(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        known.engine_up = false;
        known.worker.lose_sight();
        let wait = self.random.range(100, 4_000);
        self.later(wait, Event::EngineUp(host));
    }

    /// One direction or both.
    fn cut(&mut self, host: usize) {
        let way = self.random.range(0, 4);
        if way != 1 {
            self.cut_to.insert(host);
        }
        if way != 0 {
            self.cut_from.insert(host);
        }
        let wait = self.random.range(200, 12_000);
        self.later(wait, Event::Healed(host));
    }

    fn container_dies(&mut self, host: usize) {
        let running: Vec<_> =
            self.hosts[host].worker.running().map(|(task, _, pid)| (task, pid)).collect();
        if running.is_empty() {
            return;
        }
        let (task, pid) = running[self.random.index(running.len())];
        let code = [0, 1, 137][self.random.index(3)];
        self.later(1, Event::Exits { host, task, pid, code });
    }

    /// Faults stop, everything is mended, no spec is broken any more.
    pub(super) fn make_peace(&mut self) {
        self.breaking = false;
        self.cut_to.clear();
        self.cut_from.clear();
        for manager in 0..self.settings.managers {
            self.managers.replicas[manager].up = true;
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].crashing = false;
            self.later(1, Event::EngineUp(host));
            self.later(2, Event::HostUp(host));
        }
        self.client.peace = true;
    }

    /// What a client does once trouble is over: every node active, every image a good one. Answers
    /// whether there is anything left to do.
    pub(super) fn mend(&mut self) -> bool {
        let Some((_, state)) = self.managers.leading() else { return true };
        let inactive: Vec<NodeId> = state
            .nodes()
            .filter(|n| n.spec.availability != Availability::Active)
            .map(|n| n.id)
            .collect();
        let mut commands = Vec::new();
        for id in inactive {
            let Some(node) = state.node(id) else { continue };
            let mut spec = node.spec.clone();
            spec.availability = Availability::Active;
            let version = node.meta.version;
            commands.push(Command::UpdateNode { id, version, spec: Box::new(spec) });
        }
        let broken = |image: &str| image.ends_with(":bad");
        for service in state.services().filter(|s| s.removed.is_none()) {
            let image = |s: &model::spec::ServiceSpec| {
                s.task_template.container_spec.as_ref().map(|c| c.image.clone()).unwrap_or_default()
            };
            let paused = service
                .rollout
                .as_ref()
                .is_some_and(|r| r.state == model::object::RolloutState::Paused);
            if broken(&image(&service.spec)) || paused {
                let mut spec = (*service.spec).clone();
                if let Some(container) = &mut spec.task_template.container_spec {
                    "app:mended".clone_into(&mut container.image);
                }
                spec.task_template.force_update += 1;
                commands.push(Command::UpdateService {
                    id: service.id,
                    version: service.meta.version,
                    change: orchestrator_core::command::ServiceChange::Spec(Box::new(spec)),
                    registry_auth: orchestrator_core::command::RegistryAuth::Keep,
                });
            }
        }
        let more = !commands.is_empty();
        for command in commands {
            let number = self.client.next_number();
            let batch = Batch { commands: vec![command], base: None };
            self.propose(batch, Origin::Client(number));
        }
        more
    }

    /// Everything is removed.
    pub(super) fn remove_all(&mut self) {
        self.client.removing = true;
    }
}
