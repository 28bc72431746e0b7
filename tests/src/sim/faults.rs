//! What breaks, when, and how all of it is mended in the end.
//!
//! Each fault is an act with a number and chance of its own, so that one can be left out without
//! changing the others.

use model::Millis;

use super::event::Event;
use super::random::Random;
use super::world::World;

/// Faults have odd numbers, wishes even ones.
pub(super) fn number_of(fault: u64) -> u64 {
    fault * 2 + 1
}

impl World {
    /// One fault, then the next in a while.
    pub(super) fn fault(&mut self, fault: u64) {
        if !self.breaking {
            return;
        }
        let number = number_of(fault);
        let mut chance = Random::of_act(self.seed, number);
        let wait = chance.range(300, 6_000) * self.pace();
        self.later(wait, Event::Fault(fault + 1));
        if self.admits(number) {
            let what = self.break_something(&mut chance);
            if let Some(what) = what {
                self.note_act(number, what);
            }
        }
    }

    fn break_something(&mut self, chance: &mut Random) -> Option<String> {
        let host = chance.index(self.hosts.len());
        match chance.range(0, 100) {
            0..9 => Some(self.manager_dies(chance)),
            9..16 => self.power_off(chance, host),
            16..27 => self.agent_crashes(chance, host),
            27..36 => Some(self.engine_restarts(chance, host)),
            36..47 => Some(self.cut(chance, host)),
            47..53 => self.pause(chance, host),
            53..58 => {
                let wait = chance.range(2_000, 20_000);
                self.hosts[host].crashing_until = self.now + Millis(wait);
                let name = &self.hosts[host].name;
                Some(format!("for {wait} ms what starts on {name} ends soon"))
            }
            58..62 => {
                let wait = chance.range(2_000, 20_000);
                self.hosts[host].flapping_until = self.now + Millis(wait);
                let name = &self.hosts[host].name;
                Some(format!("for {wait} ms health checks of what starts on {name} fail later"))
            }
            62..66 => Some(self.clock_jumps(chance, host)),
            66..69 => {
                self.hosts[host].fill_disk();
                Some(format!("the disk of {} is full", self.hosts[host].name))
            }
            69..72 => Some(self.registry_fails(chance)),
            72..75 => {
                let wait = chance.range(500, 8_000);
                self.slow_log_until = self.now + Millis(wait);
                Some(format!("the log's disk is slow for {wait} ms"))
            }
            75..78 => Some(self.many_at_once(chance)),
            78..82 => self.container_goes(chance, host),
            _ => self.container_dies(chance, host),
        }
    }

    fn manager_dies(&mut self, chance: &mut Random) -> String {
        let leader = self.managers.leader.as_ref().map(|l| l.manager);
        let manager = match leader {
            Some(leader) if chance.chance(60) => leader,
            Some(_) | None => chance.index(self.settings.managers),
        };
        if leader == Some(manager) {
            self.lose_leader(false);
        }
        self.managers.replicas[manager].up = false;
        if !self.has_quorum() {
            self.lose_leader(true);
        }
        let wait = chance.range(200, 8_000);
        self.later(wait, Event::ManagerUp(manager));
        let role = if leader == Some(manager) { "the leader's process" } else { "the process" };
        format!("{role} of manager m{} dies for {wait} ms", manager + 1)
    }

    fn power_off(&mut self, chance: &mut Random, host: usize) -> Option<String> {
        if !self.hosts[host].up {
            return None;
        }
        let wait = chance.range(500, 20_000);
        self.cut_power(host);
        if host < self.settings.managers {
            self.later(wait, Event::ManagerUp(host));
        }
        self.later(wait, Event::HostUp(host));
        Some(format!("{} loses power for {wait} ms", self.hosts[host].name))
    }

    /// The host is off: every process of it ends.
    pub(super) fn cut_power(&mut self, host: usize) {
        self.hosts[host].power_off();
        if host < self.settings.managers {
            if self.managers.leader.as_ref().is_some_and(|l| l.manager == host) {
                self.lose_leader(false);
            }
            self.managers.replicas[host].up = false;
            if !self.has_quorum() {
                self.lose_leader(true);
            }
        }
    }

    fn agent_crashes(&mut self, chance: &mut Random, host: usize) -> Option<String> {
        if !self.hosts[host].up {
            return None;
        }
        self.hosts[host].crash();
        let wait = chance.range(50, 3_000);
        self.later(wait, Event::HostUp(host));
        let known = &mut self.hosts[host];
        let torn = chance.range(0, 10);
        known.forgot |= torn < 2;
        let ledger = &mut known.ledger;
        let lost = match torn {
            0 => {
                ledger.orders = None;
                ", its orders are torn on disk"
            }
            1 => {
                ledger.kept.clear();
                ", what it kept of its tasks is torn on disk"
            }
            _ => "",
        };
        Some(format!("the agent of {} dies for {wait} ms{lost}", self.hosts[host].name))
    }

    fn engine_restarts(&mut self, chance: &mut Random, host: usize) -> String {
        let known = &mut self.hosts[host];
        known.engine_up = false;
        known.worker.lose_sight();
        // Without live-restore the containers end with it, and nobody hears of it.
        let ends = chance.chance(30);
        if ends {
            known.engine.power_off();
        }
        let wait = chance.range(100, 4_000);
        self.later(wait, Event::EngineUp(host));
        let with = if ends { " and its containers with it" } else { "" };
        format!("the engine of {} is away for {wait} ms{with}", self.hosts[host].name)
    }

    /// One direction or both.
    fn cut(&mut self, chance: &mut Random, host: usize) -> String {
        let way = chance.range(0, 4);
        let wait = chance.range(200, 12_000);
        self.cut_off(host, way != 1, way != 0);
        self.later(wait, Event::Healed(host));
        let how = match way {
            0 => "hears nothing",
            1 => "is not heard",
            _ => "is cut off",
        };
        format!("{} {how} for {wait} ms", self.hosts[host].name)
    }

    /// No frame reaches the host, or none leaves it.
    pub(super) fn cut_off(&mut self, host: usize, to: bool, from: bool) {
        let known = &mut self.hosts[host];
        (known.cut_to, known.cut_from) = (known.cut_to | to, known.cut_from | from);
        let leads = self.managers.leader.as_ref().is_some_and(|l| l.manager == host);
        if leads || !self.has_quorum() {
            self.lose_leader(true);
        }
    }

    /// The host stands still, and goes on as if nothing had been.
    fn pause(&mut self, chance: &mut Random, host: usize) -> Option<String> {
        if !self.hosts[host].up {
            return None;
        }
        let wait = chance.range(200, 7_000);
        let until = self.now + Millis(wait);
        let known = &mut self.hosts[host];
        known.paused_until = known.paused_until.max(until);
        let leads = self.managers.leader.as_ref().is_some_and(|l| l.manager == host);
        if leads && wait > 1_000 {
            self.lose_leader(true);
        }
        Some(format!("{} stands still for {wait} ms", self.hosts[host].name))
    }

    /// The host's clock is set; processes that start from now on see it.
    fn clock_jumps(&mut self, chance: &mut Random, host: usize) -> String {
        let shows = [0, 700, 5_000, 90_000, 600_000][chance.index(5)];
        self.hosts[host].clock = Millis(shows);
        if let Some(replica) = self.managers.replicas.get_mut(host) {
            replica.clock = Millis(shows);
        }
        format!("the clock of {} is set to {shows} ms ahead", self.hosts[host].name)
    }

    fn registry_fails(&mut self, chance: &mut Random) -> String {
        let wait = chance.range(1_000, 15_000);
        self.later(wait, Event::RegistryUp);
        if chance.chance(50) {
            self.registry_down = true;
            format!("the registry refuses every pull for {wait} ms")
        } else {
            self.registry_slow = true;
            format!("the registry is very slow for {wait} ms")
        }
    }

    fn many_at_once(&mut self, chance: &mut Random) -> String {
        let wait = chance.range(500, 15_000);
        let cut = chance.chance(50);
        let mut names = Vec::new();
        for host in 0..self.hosts.len() {
            if !self.hosts[host].up || !chance.chance(50) {
                continue;
            }
            names.push(self.hosts[host].name.clone());
            if cut {
                self.cut_off(host, true, true);
                self.later(wait, Event::Healed(host));
            } else {
                self.cut_power(host);
                self.later(wait, Event::HostUp(host));
                if host < self.settings.managers {
                    self.later(wait, Event::ManagerUp(host));
                }
            }
        }
        let how = if cut { "are cut off" } else { "lose power" };
        format!("{} {how} for {wait} ms", names.join(", "))
    }

    fn container_dies(&mut self, chance: &mut Random, host: usize) -> Option<String> {
        let known = &self.hosts[host];
        let running: Vec<_> = known
            .engine
            .containers
            .keys()
            .filter_map(|t| Some((*t, known.engine.pid(*t)?)))
            .collect();
        if running.is_empty() {
            return None;
        }
        let (task, pid) = running[chance.index(running.len())];
        let code = [0, 1, 137][chance.index(3)];
        self.later(1, Event::Exits { host, task, pid, code });
        Some(format!("a container of {} ends with {code}: task {task}", self.hosts[host].name))
    }

    /// Somebody removes a container behind the agent's back.
    fn container_goes(&mut self, chance: &mut Random, host: usize) -> Option<String> {
        let known = &self.hosts[host];
        let all: Vec<_> = known.engine.containers.keys().copied().collect();
        let task = *all.get(chance.index(all.len()))?;
        self.later(1, Event::Removed { host, task });
        Some(format!("somebody removes a container of {}: task {task}", self.hosts[host].name))
    }

    /// Weather and faults stop; what is broken comes back.
    pub(super) fn make_peace(&mut self) {
        self.breaking = false;
        self.peace_since = self.now;
        (self.registry_down, self.registry_slow) = (false, false);
        self.slow_log_until = self.now;
        for manager in 0..self.settings.managers {
            self.managers.replicas[manager].up = true;
        }
        for host in 0..self.hosts.len() {
            let known = &mut self.hosts[host];
            (known.crashing_until, known.flapping_until) = (self.now, self.now);
            (known.cut_to, known.cut_from) = (false, false);
            self.later(1, Event::EngineUp(host));
            self.later(2, Event::HostUp(host));
        }
        self.client.peace = true;
        self.later(10, Event::Mend);
    }
}
