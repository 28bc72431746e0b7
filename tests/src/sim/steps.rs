//! What comes of an agent's steps, and of the processes that they begin.

use agent_core::worker::{Health, Step};
use model::TaskId;

use super::engine::{Fate, Recipe};
use super::event::Event;
use super::invariant;
use super::world::{Broken, World};

impl World {
    /// How long the engine takes for a step.
    pub(super) fn duration(&mut self, step: &Step) -> u64 {
        match step {
            Step::Pull if self.registry_slow => self.random.range(5_000, 40_000),
            Step::Pull => self.random.range(5, 3_000),
            Step::Create | Step::Start { .. } => self.random.range(20, 200),
            // Some applications take their time to end.
            Step::Stop { .. } if self.random.once_in(6) => self.random.range(2_000, 9_000),
            Step::Stop { .. } => self.random.range(5, 1_500),
            Step::Inspect
            | Step::Hook { .. }
            | Step::Kill { .. }
            | Step::Remove { .. }
            | Step::Abandon => self.random.range(2, 60),
        }
    }

    pub(super) fn step_ends(
        &mut self,
        host: usize,
        life: u64,
        task: TaskId,
        step: &Step,
        flight: u64,
    ) -> Result<(), Broken> {
        if life < self.hosts[host].powered_since {
            return Ok(());
        }
        let fate = self.fate(host, step);
        let known = &mut self.hosts[host];
        let ran = known.engine.runs(task);
        let outcome = known.engine.take(task, step, fate);
        invariant::after_step(self, task, step, fate);
        let known = &mut self.hosts[host];
        if let Some(pid) = known.engine.pid(task).filter(|_| !ran) {
            invariant::after_start(self, host, task)?;
            self.process_begins(host, task, pid);
        }
        let known = &mut self.hosts[host];
        // Of another run of the agent, or broken off meanwhile.
        let awaited = known.flights.get(&task).is_some_and(|(_, begun)| *begun == flight);
        if !known.up || known.life != life || !awaited {
            return Ok(());
        }
        known.flights.remove(&task);
        let time = known.time(self.now);
        known.worker.done(task, outcome, time);
        self.drive(host)
    }

    fn fate(&mut self, host: usize, step: &Step) -> Fate {
        if !self.hosts[host].engine_up {
            return Fate::Lost;
        }
        if self.registry_down && matches!(step, Step::Pull) {
            return Fate::Refused;
        }
        if !self.breaking || !self.settings.weather {
            return Fate::Done;
        }
        match self.random.range(0, 200) {
            0 => Fate::Lost,
            1 => Fate::DoneUnheard,
            _ => Fate::Done,
        }
    }

    /// What becomes of a container's process, by its image: `app:bad` crashes, `app:flaky` ends after
    /// a while, well or not, `job:…` ends well.
    fn process_begins(&mut self, host: usize, task: TaskId, pid: i64) {
        let Recipe { image, checked } = self.hosts[host].engine.recipe(task);
        if checked {
            let wait = self.random.range(5, 300);
            self.later(wait, Event::Healthy { host, task, pid });
            if self.hosts[host].flapping_until > self.now {
                let wait = self.random.range(300, 8_000);
                self.later(wait, Event::Unhealthy { host, task, pid });
            }
        }
        if image.ends_with(":flaky") {
            let (wait, code) = (self.random.range(1_500, 9_000), self.random.range(0, 2));
            let code = i64::try_from(code).unwrap_or(0);
            self.later(wait, Event::Exits { host, task, pid, code });
            return;
        }
        let bad = image.ends_with(":bad") || self.bad_images.contains(&image);
        let code = if bad || self.hosts[host].crashing_until > self.now {
            1
        } else if image.starts_with("job:") {
            0
        } else {
            return;
        };
        let slow = if image.ends_with(":slow") { 9_000 } else { 0 };
        let wait = self.random.range(5, 1_000) + slow;
        self.later(wait, Event::Exits { host, task, pid, code });
    }

    pub(super) fn check_passes(
        &mut self,
        host: usize,
        task: TaskId,
        pid: i64,
    ) -> Result<(), Broken> {
        if self.hosts[host].engine.judge(task, pid, Health::Healthy) {
            return self.engine_says(host, task);
        }
        Ok(())
    }

    pub(super) fn check_fails(
        &mut self,
        host: usize,
        task: TaskId,
        pid: i64,
    ) -> Result<(), Broken> {
        if !self.breaking {
            return Ok(());
        }
        let output = "connection refused".to_owned();
        if self.hosts[host].engine.judge(task, pid, Health::Unhealthy { output }) {
            return self.engine_says(host, task);
        }
        Ok(())
    }

    pub(super) fn exits(
        &mut self,
        host: usize,
        task: TaskId,
        pid: i64,
        code: i64,
    ) -> Result<(), Broken> {
        if self.hosts[host].engine.pid(task) != Some(pid) {
            return Ok(());
        }
        self.hosts[host].engine.end(task, code);
        invariant::after_exit(self, task, code);
        self.engine_says(host, task)
    }

    /// Somebody has removed a container.
    pub(super) fn goes(&mut self, host: usize, task: TaskId) -> Result<(), Broken> {
        let ran = self.hosts[host].engine.runs(task);
        if self.hosts[host].engine.containers.remove(&task).is_none() {
            return Ok(());
        }
        if ran {
            invariant::after_exit(self, task, 137);
        }
        self.engine_says(host, task)
    }

    /// The engine's event stream tells the agent of a container; now and then it does not.
    fn engine_says(&mut self, host: usize, task: TaskId) -> Result<(), Broken> {
        let lost = self.breaking && self.settings.weather && self.random.chance(2);
        let known = &mut self.hosts[host];
        if !known.up || !known.engine_up || lost {
            return Ok(());
        }
        let mark = known.worker.mark();
        let sight = known.engine.sight(task);
        known.worker.see(mark, task, sight);
        self.drive(host)
    }
}
