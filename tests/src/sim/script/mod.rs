//! Drives a simulated cluster by typed commands: for `play`, and for the texts in `tests/scenarios`.
//!
//! Nothing breaks and no time passes unless a command says so. The words are those of the docker
//! CLI where it has them. `HELP` lists them all.

mod deploy;
mod show;

use std::time::Duration;

use model::lifecycle::Desired;
use model::object::Service;
use model::spec::{Availability, ServiceMode, ServiceSpec};
use model::{Millis, TaskId, TaskState};
use orchestrator_core::State;
use orchestrator_core::command::{Command, RegistryAuth, Response, ServiceChange};

use super::event::Event;
use super::invariant;
use super::world::{Settings, World};

/// Every command.
pub const HELP: &str = "\
create NAME IMAGE [WORD ...]  a service; words: replicas=N global order=start-first parallelism=N
                              delay=5s failure=rollback|pause|continue max=N zone=a cpus=N checked
deploy FILE [STACK]           everything of a stack file
update NAME IMAGE             another image
scale NAME N                  as many replicas
force NAME                    replaces every task
rollback NAME                 back to the previous spec
rm NAME                       removes a service
ls | ps [NAME] | nodes        services, tasks, nodes
drain|pause|activate NODE     what the node takes
kill NODE | start NODE        cuts its power, gives it back
partition NODE | heal NODE    cuts it off from the managers, joins it again
crash NODE                    ends its agent for two seconds; containers go on
engine NODE                   ends its engine for two seconds, containers too
fail NAME.SLOT [CODE]         a container ends by itself
break IMAGE | mend IMAGE      what starts from the image ends at once, or not any more
stop-leader                   ends the leading manager for five seconds
wait 5s                       lets time pass
watch 5s                      lets time pass and tells what happens to tasks
settle                        waits until everything is as it should be
help | quit";

/// The longest that `settle` waits.
const PATIENCE: Millis = Millis::from_secs(300);

/// A cluster and who talks to it.
pub struct Script {
    world: World,
    /// What was last told of each task.
    told: std::collections::BTreeMap<TaskId, TaskState>,
}

type Answer = Result<String, String>;

impl Script {
    /// A calm cluster: managers first, then workers.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn new(seed: u64, managers: usize, workers: usize) -> Script {
        let settings = Settings {
            managers,
            agents: managers + workers,
            faults: false,
            weather: false,
            ..Settings::default()
        };
        let mut world = World::new(seed, settings);
        world.client.keeps_answers = true;
        let mut script = Script { world, told: Default::default() };
        script.pass(Millis::from_secs(1)).expect("a new cluster is sound");
        script
    }

    /// Plays a text: every line that begins with `> ` is a command. Gives the text back with the
    /// answers of this run in the place of those that it had.
    #[must_use]
    pub fn play(&mut self, text: &str) -> String {
        let (mut out, mut before) = (String::new(), true);
        for line in text.lines() {
            if let Some(command) = line.strip_prefix("> ") {
                before = false;
                let answer = self.run(command).unwrap_or_else(|why| format!("! {why}"));
                out.push_str(line);
                out.push('\n');
                for answered in answer.lines() {
                    out.push_str(answered);
                    out.push('\n');
                }
            } else if before || line.starts_with('#') || line.is_empty() {
                // For people.
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }

    /// Does what a line says. Answers what is to be shown.
    ///
    /// # Errors
    /// Why it cannot be done, or which invariant does not hold.
    pub fn run(&mut self, line: &str) -> Answer {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((verb, rest)) = words.split_first() else { return Ok(String::new()) };
        let asked = |number: usize| {
            rest.get(number).copied().ok_or_else(|| format!("{verb} needs more words; see help"))
        };
        match *verb {
            "help" => Ok(HELP.to_owned()),
            "create" => self.create(asked(0)?, asked(1)?, rest.get(2..).unwrap_or(&[])),
            "deploy" => self.deploy(asked(0)?, rest.get(1).copied()),
            "update" => {
                let image = asked(1)?.to_owned();
                self.change(asked(0)?, |spec| {
                    if let Some(container) = &mut spec.task_template.container_spec {
                        container.image = image;
                    }
                })
            }
            "scale" => {
                let replicas = asked(1)?.parse().map_err(|_| "how many replicas?".to_owned())?;
                self.change(asked(0)?, |spec| spec.mode = ServiceMode::replicated(replicas))
            }
            "force" => self.change(asked(0)?, |spec| spec.task_template.force_update += 1),
            "rollback" => {
                let service = self.service(asked(0)?)?;
                self.ask_and_wait(update(&service, ServiceChange::Rollback)).map(|_| String::new())
            }
            "rm" => {
                let id = self.service(asked(0)?)?.id;
                self.ask_and_wait(Command::RemoveService { id }).map(|_| String::new())
            }
            "ls" => Ok(show::services(self.state())),
            "ps" => show::tasks(self.state(), rest.first().copied()),
            "nodes" => Ok(show::nodes(self.state(), &self.world)),
            "drain" => self.set(asked(0)?, Availability::Drain),
            "pause" => self.set(asked(0)?, Availability::Pause),
            "activate" => self.set(asked(0)?, Availability::Active),
            "fail" => self.fail(asked(0)?, rest.get(1).copied().unwrap_or("1")),
            "break" => {
                self.world.bad_images.insert(asked(0)?.to_owned());
                Ok(String::new())
            }
            "mend" => {
                self.world.bad_images.remove(asked(0)?);
                Ok(String::new())
            }
            "stop-leader" => self.stop_leader(),
            "kill" | "start" | "partition" | "heal" | "crash" | "engine" => {
                let host = self.host(asked(0)?)?;
                self.break_host(verb, host)
            }
            "wait" => self.pass(span(asked(0)?)?).map(|()| String::new()),
            "watch" => self.watch(span(asked(0)?)?),
            "settle" => self.settle(),
            other => Err(format!("{other:?} is no command; see help")),
        }
    }

    /// Lets real time's worth of simulated time pass; tells what happened to tasks.
    ///
    /// # Errors
    /// Which invariant does not hold.
    pub fn tick(&mut self, real: Duration) -> Answer {
        self.watch(Millis(u64::try_from(real.as_millis()).unwrap_or(0)))
    }

    fn state(&self) -> &State {
        self.world.managers.newest()
    }

    fn pass(&mut self, span: Millis) -> Result<(), String> {
        let end = self.world.now + span;
        self.world.until(end).map_err(|(what, detail)| format!("{what} is broken: {detail}"))
    }

    /// Passes time in small steps and tells each task's changes.
    fn watch(&mut self, span: Millis) -> Answer {
        let end = self.world.now + span;
        let mut lines = Vec::new();
        while self.world.now < end {
            let step = Millis(end.since(self.world.now).0.min(50));
            self.pass(step)?;
            lines.extend(self.news());
        }
        Ok(lines.join("\n"))
    }

    /// What has happened to tasks since the last time, in seconds of the cluster's life.
    fn news(&mut self) -> Vec<String> {
        let shown = |state| {
            matches!(
                state,
                TaskState::Running
                    | TaskState::Draining
                    | TaskState::Complete
                    | TaskState::Shutdown
                    | TaskState::Failed
                    | TaskState::Rejected
                    | TaskState::Orphaned
            )
        };
        let at = self.world.elapsed_ms();
        let state = self.world.managers.newest();
        let mut lines = Vec::new();
        for task in state.tasks() {
            let now = task.status.state;
            if self.told.insert(task.id, now) != Some(now) && shown(now) {
                let name = show::name(state, task);
                let place = show::host_name(state, task.node);
                let error = &task.status.error;
                let why = if error.is_empty() { String::new() } else { format!(": {error}") };
                lines.push(format!(
                    "{:>6}.{} s  {name} is {now} on {place}{why}",
                    at / 1_000,
                    at % 1_000 / 100
                ));
            }
        }
        self.told.retain(|id, _| state.task(*id).is_some());
        lines
    }

    fn settle(&mut self) -> Answer {
        let end = self.world.now + PATIENCE;
        // What was just asked for has to come about first.
        self.pass(Millis(1_500))?;
        loop {
            match invariant::settled(&self.world) {
                Ok(()) => return Ok(String::new()),
                Err(why) if self.world.now >= end => return Err(format!("does not settle: {why}")),
                Err(_) => self.pass(Millis(500))?,
            }
        }
    }

    /// Asks the cluster and waits for its answer.
    fn ask_and_wait(&mut self, command: Command) -> Result<Response, String> {
        let end = self.world.now + Millis::from_secs(10);
        let mut number = None;
        while self.world.now < end {
            // Nobody leads just now: ask again, as a client does.
            if number.is_none() {
                number = self.world.ask(command.clone());
            }
            self.pass(Millis(10))?;
            if let Some(answer) = number.and_then(|n| self.world.client.answers.remove(&n)) {
                return answer.map_err(|refusal| refusal.to_string());
            }
        }
        Err("no manager leads".to_owned())
    }

    fn service(&self, name: &str) -> Result<std::sync::Arc<Service>, String> {
        self.state().service_named(name).cloned().ok_or_else(|| format!("no service {name}"))
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut ServiceSpec)) -> Answer {
        let service = self.service(name)?;
        let mut spec = (*service.spec).clone();
        change(&mut spec);
        self.ask_and_wait(update(&service, ServiceChange::Spec(Box::new(spec))))
            .map(|_| String::new())
    }

    fn create(&mut self, name: &str, image: &str, words: &[&str]) -> Answer {
        let spec = Box::new(deploy::spec_of(name, image, words)?);
        self.ask_and_wait(Command::CreateService { spec, registry_auth: None })
            .map(|_| String::new())
    }

    fn set(&mut self, name: &str, availability: Availability) -> Answer {
        let node = self.world.hosts[self.host(name)?].node;
        let Some(node) = self.state().node(node) else { return Err(format!("no node {name}")) };
        let mut spec = node.spec.clone();
        spec.availability = availability;
        let (id, version) = (node.id, node.meta.version);
        self.ask_and_wait(Command::UpdateNode { id, version, spec: Box::new(spec) })
            .map(|_| String::new())
    }

    fn host(&self, name: &str) -> Result<usize, String> {
        let found = self.world.hosts.iter().position(|host| host.name == name);
        found.ok_or_else(|| format!("no node {name}"))
    }

    fn break_host(&mut self, verb: &str, host: usize) -> Answer {
        let world = &mut self.world;
        match verb {
            "kill" => world.cut_power(host),
            "start" => {
                world.later(1, Event::HostUp(host));
                if host < world.settings.managers {
                    world.later(1, Event::ManagerUp(host));
                }
            }
            "partition" => world.cut_off(host, true, true),
            "heal" => world.later(1, Event::Healed(host)),
            "crash" => {
                world.hosts[host].crash();
                world.later(2_000, Event::HostUp(host));
            }
            _ => {
                world.hosts[host].engine_up = false;
                world.hosts[host].worker.lose_sight();
                world.hosts[host].engine.power_off();
                world.later(2_000, Event::EngineUp(host));
            }
        }
        self.pass(Millis(10)).map(|()| String::new())
    }

    fn stop_leader(&mut self) -> Answer {
        let Some(leader) = self.world.managers.leader.as_ref().map(|l| l.manager) else {
            return Err("no manager leads".to_owned());
        };
        self.world.lose_leader(false);
        self.world.managers.replicas[leader].up = false;
        self.world.later(5_000, Event::ManagerUp(leader));
        Ok(format!("m{} led", leader + 1))
    }

    fn fail(&mut self, name: &str, code: &str) -> Answer {
        let code: i64 = code.parse().map_err(|_| format!("{code} is no exit code"))?;
        let state = self.world.managers.newest();
        let wanted = |t: &&std::sync::Arc<model::object::Task>| {
            t.desired <= Desired::Running
                && !t.status.state.is_terminal()
                && show::name(state, t) == name
        };
        let task = state.tasks().find(wanted).ok_or_else(|| format!("no task {name}"))?;
        let host = task.node.and_then(|node| self.world.by_node.get(&node)).copied();
        let host = host.ok_or_else(|| format!("{name} has no node"))?;
        let task = task.id;
        let pid = self.world.hosts[host].engine.pid(task);
        let pid = pid.ok_or_else(|| format!("{name} does not run"))?;
        self.world.later(1, Event::Exits { host, task, pid, code });
        self.pass(Millis(5)).map(|()| String::new())
    }
}

fn update(service: &Service, change: ServiceChange) -> Command {
    let (id, version) = (service.id, service.meta.version);
    Command::UpdateService { id, version, change, registry_auth: RegistryAuth::Keep }
}

/// `5s`, `200ms`, `2m`.
fn span(text: &str) -> Result<Millis, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("{text} is no span of time"))?;
    match unit {
        "ms" => Ok(Millis(number)),
        "s" | "" => Ok(Millis::from_secs(number)),
        "m" => Ok(Millis::from_secs(number * 60)),
        _ => Err(format!("{text} is no span of time")),
    }
}
