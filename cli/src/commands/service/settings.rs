//! The settings of a service that have one value: the same flags for `create` and `update`.
//!
//! A flag that is not given changes nothing. Lists of things are in [`super::create`] and
//! [`super::update`], where they are named differently (`--env`, `--env-add`, `--env-rm`).

use clap::Args;
use model::spec::{
    Driver, HealthConfig, Limits, ModeKind, Replicated, ReplicatedJob, Resources, RestartPolicy,
    ServiceMode, ServiceSpec, UpdateConfig,
};

use super::registry;
use super::values::{Words, bytes, command, nano_cpus, nanoseconds, ratio};
use crate::{BadInput, wait};

/// All of them, and how the service is sent and waited for.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    container: Container,
    #[command(flatten)]
    health: Health,
    #[command(flatten)]
    needs: Needs,
    #[command(flatten)]
    restart: Restart,
    #[command(flatten)]
    rollout: Rollout,
    /// Send this user's registry login along
    #[arg(long)]
    with_registry_auth: bool,
    /// Taken for docker's sake: nodes pull the image, nothing is resolved here
    #[arg(long, hide = true)]
    no_resolve_image: bool,
    #[command(flatten)]
    pub wait: wait::Args,
}

impl Common {
    pub fn apply(&self, spec: &mut ServiceSpec) {
        self.container.apply(spec);
        self.health.apply(spec);
        self.needs.apply(spec);
        self.restart.apply(spec);
        self.rollout.apply(spec);
    }

    /// The login for the registry of `image`, if it is to be sent.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn login(&self, image: &str) -> anyhow::Result<Option<String>> {
        if self.with_registry_auth { registry::login(image) } else { Ok(None) }
    }
}

/// How the process runs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Container")]
struct Container {
    /// User, or user:group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// Host name of the containers
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Replaces the image's entry point
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    entrypoint: Option<Words>,
    /// An init process that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    init: Option<bool>,
    /// The container's root file system is read only
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    read_only: Option<bool>,
    /// A pseudo terminal
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    tty: Option<bool>,
    /// The signal that asks it to stop
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// How long it may take to stop, before it is killed
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    stop_grace_period: Option<i64>,
    /// How willingly the kernel kills it when memory is short, -1000 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(-1000..=1000), allow_hyphen_values = true)]
    oom_score_adj: Option<i64>,
    /// How containers are isolated (only Windows engines know more than `default`)
    #[arg(long, hide = true)]
    isolation: Option<String>,
    /// Keeps logs with this driver of the engine
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// An option of the log driver
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::values::pair)]
    log_opt: Vec<(String, String)>,
}

impl Container {
    pub fn apply(&self, spec: &mut ServiceSpec) {
        let container = spec.task_template.container_spec.get_or_insert_default();
        set(&mut container.user, &self.user);
        set(&mut container.dir, &self.workdir);
        set(&mut container.hostname, &self.hostname);
        set(&mut container.command, &self.entrypoint.as_ref().map(|e| e.0.clone()));
        set(&mut container.read_only, &self.read_only);
        set(&mut container.tty, &self.tty);
        set(&mut container.stop_signal, &self.stop_signal);
        set(&mut container.oom_score_adj, &self.oom_score_adj);
        set(&mut container.isolation, &self.isolation);
        container.init = self.init.or(container.init);
        container.stop_grace_period = self.stop_grace_period.or(container.stop_grace_period);
        if let Some(driver) = &self.log_driver {
            let name = driver.clone();
            spec.task_template.log_driver = Some(Driver { name, options: Default::default() });
        }
        if !self.log_opt.is_empty() {
            let driver = spec.task_template.log_driver.get_or_insert_default();
            driver.options.extend(self.log_opt.iter().cloned());
        }
    }
}

/// When it counts as healthy.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Health check")]
struct Health {
    /// A command that ends with 0 when all is well
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Between two checks
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    health_interval: Option<i64>,
    /// How long a check may take
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    health_timeout: Option<i64>,
    /// Failures in a row until it counts as unhealthy
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    health_retries: Option<i64>,
    /// After a start, failures do not count for so long
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    health_start_period: Option<i64>,
    /// Between two checks in that time
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    health_start_interval: Option<i64>,
    /// No health check, whatever the image says
    #[arg(long, conflicts_with_all = ["health_cmd", "health_interval", "health_timeout", "health_retries", "health_start_period", "health_start_interval"])]
    no_healthcheck: bool,
}

impl Health {
    pub fn apply(&self, spec: &mut ServiceSpec) {
        let container = spec.task_template.container_spec.get_or_insert_default();
        if self.no_healthcheck {
            let test = vec!["NONE".to_owned()];
            container.healthcheck = Some(HealthConfig { test, ..HealthConfig::default() });
            return;
        }
        let spans = [
            self.health_interval,
            self.health_timeout,
            self.health_retries,
            self.health_start_period,
            self.health_start_interval,
        ];
        if self.health_cmd.is_none() && spans.iter().all(Option::is_none) {
            return;
        }
        let check = container.healthcheck.get_or_insert_default();
        if let Some(command) = &self.health_cmd {
            check.test = match command.as_str() {
                "" => Vec::new(),
                command => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            };
        } else if check.test.first().is_some_and(|word| word == "NONE") {
            check.test.clear();
        }
        set(&mut check.interval, &self.health_interval);
        set(&mut check.timeout, &self.health_timeout);
        set(&mut check.retries, &self.health_retries);
        set(&mut check.start_period, &self.health_start_period);
        set(&mut check.start_interval, &self.health_start_interval);
    }
}

/// What it may use and what is set aside for it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Resources and placement")]
struct Needs {
    /// CPUs it may use at most, as 0.5
    #[arg(long, value_name = "CPUS", value_parser = nano_cpus)]
    limit_cpu: Option<i64>,
    /// Memory it may use at most, as 64M
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    limit_memory: Option<i64>,
    /// Processes it may have at most; 0 means no limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    limit_pids: Option<i64>,
    /// CPUs set aside for each task
    #[arg(long, value_name = "CPUS", value_parser = nano_cpus)]
    reserve_cpu: Option<i64>,
    /// Memory set aside for each task
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    reserve_memory: Option<i64>,
    /// Tasks on one node at most; 0 means no limit
    #[arg(long, value_name = "N")]
    replicas_max_per_node: Option<u64>,
}

impl Needs {
    pub fn apply(&self, spec: &mut ServiceSpec) {
        let template = &mut spec.task_template;
        if self.limit_cpu.is_some() || self.limit_memory.is_some() || self.limit_pids.is_some() {
            let resources = template.resources.get_or_insert_default();
            let limits = resources.limits.get_or_insert_with(Limits::default);
            set(&mut limits.nano_cpus, &self.limit_cpu);
            set(&mut limits.memory_bytes, &self.limit_memory);
            set(&mut limits.pids, &self.limit_pids);
        }
        if self.reserve_cpu.is_some() || self.reserve_memory.is_some() {
            let resources = template.resources.get_or_insert_default();
            let reserved = resources.reservations.get_or_insert_with(Resources::default);
            set(&mut reserved.nano_cpus, &self.reserve_cpu);
            set(&mut reserved.memory_bytes, &self.reserve_memory);
        }
        if let Some(most) = self.replicas_max_per_node {
            template.placement.get_or_insert_default().max_replicas = most;
        }
    }
}

/// When an ended task is replaced.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Restart")]
struct Restart {
    /// When a task that ended is started again [default: any]
    #[arg(long, value_name = "WHEN", value_parser = ["none", "on-failure", "any"])]
    restart_condition: Option<String>,
    /// At least so long between end and start [default: none at first, then longer and longer]
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    restart_delay: Option<i64>,
    /// Attempts until it is given up; 0 means no limit
    #[arg(long, value_name = "N")]
    restart_max_attempts: Option<u64>,
    /// Attempts are counted over this time
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    restart_window: Option<i64>,
}

impl Restart {
    pub fn apply(&self, spec: &mut ServiceSpec) {
        let given = self.restart_condition.is_some()
            || self.restart_delay.is_some()
            || self.restart_max_attempts.is_some()
            || self.restart_window.is_some();
        if !given {
            return;
        }
        let policy = spec.task_template.restart_policy.get_or_insert_with(RestartPolicy::default);
        set(&mut policy.condition, &self.restart_condition);
        policy.delay = self.restart_delay.or(policy.delay);
        policy.max_attempts = self.restart_max_attempts.or(policy.max_attempts);
        policy.window = self.restart_window.or(policy.window);
    }
}

/// How changes are carried out, and taken back.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Update and rollback")]
struct Rollout {
    /// Tasks replaced at once; 0 means all [default: 1]
    #[arg(long, value_name = "N")]
    update_parallelism: Option<u64>,
    /// Pause between two batches
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    update_delay: Option<i64>,
    /// How long a new task is watched for failure [default: 5s]
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    update_monitor: Option<i64>,
    /// Whether the old task stops first or the new one starts first [default: stop-first]
    #[arg(long, value_name = "ORDER", value_parser = ["stop-first", "start-first"])]
    update_order: Option<String>,
    /// What to do when a new task fails [default: pause]
    #[arg(long, value_name = "ACTION", value_parser = ["pause", "continue", "rollback"])]
    update_failure_action: Option<String>,
    /// The share of new tasks that may fail, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = ratio)]
    update_max_failure_ratio: Option<f64>,
    /// As --update-parallelism, for a rollback
    #[arg(long, value_name = "N")]
    rollback_parallelism: Option<u64>,
    /// As --update-delay, for a rollback
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    rollback_delay: Option<i64>,
    /// As --update-monitor, for a rollback
    #[arg(long, value_name = "SPAN", value_parser = nanoseconds)]
    rollback_monitor: Option<i64>,
    /// As --update-order, for a rollback
    #[arg(long, value_name = "ORDER", value_parser = ["stop-first", "start-first"])]
    rollback_order: Option<String>,
    /// What to do when a task fails while rolling back [default: pause]
    #[arg(long, value_name = "ACTION", value_parser = ["pause", "continue"])]
    rollback_failure_action: Option<String>,
    /// As --update-max-failure-ratio, for a rollback
    #[arg(long, value_name = "SHARE", value_parser = ratio)]
    rollback_max_failure_ratio: Option<f64>,
}

/// One of the two groups of flags above.
#[derive(Debug, Default, PartialEq)]
struct Change<'a> {
    parallelism: Option<u64>,
    delay: Option<i64>,
    monitor: Option<i64>,
    order: Option<&'a String>,
    failure_action: Option<&'a String>,
    max_failure_ratio: Option<f64>,
}

impl Rollout {
    pub fn apply(&self, spec: &mut ServiceSpec) {
        let update = Change {
            parallelism: self.update_parallelism,
            delay: self.update_delay,
            monitor: self.update_monitor,
            order: self.update_order.as_ref(),
            failure_action: self.update_failure_action.as_ref(),
            max_failure_ratio: self.update_max_failure_ratio,
        };
        update.apply(&mut spec.update_config);
        let rollback = Change {
            parallelism: self.rollback_parallelism,
            delay: self.rollback_delay,
            monitor: self.rollback_monitor,
            order: self.rollback_order.as_ref(),
            failure_action: self.rollback_failure_action.as_ref(),
            max_failure_ratio: self.rollback_max_failure_ratio,
        };
        rollback.apply(&mut spec.rollback_config);
    }
}

impl Change<'_> {
    fn apply(&self, config: &mut Option<UpdateConfig>) {
        if *self == Change::default() {
            return;
        }
        let config = config.get_or_insert_with(UpdateConfig::absent);
        set(&mut config.parallelism, &self.parallelism);
        set(&mut config.delay, &self.delay);
        set(&mut config.monitor, &self.monitor);
        set(&mut config.max_failure_ratio, &self.max_failure_ratio);
        set(&mut config.order, &self.order.cloned());
        set(&mut config.failure_action, &self.failure_action.cloned());
    }
}

/// How many tasks.
#[derive(Debug, Default, Args)]
pub struct Number {
    /// How many tasks; of a job, how many must complete
    #[arg(long, value_name = "N")]
    replicas: Option<u64>,
    /// Of a job: how many run at once [default: as many as --replicas]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_concurrent: Option<u64>,
}

impl Number {
    /// Sets the numbers of the mode that the spec has.
    ///
    /// # Errors
    /// When the mode has no such number.
    pub fn apply(&self, spec: &mut ServiceSpec) -> anyhow::Result<()> {
        let kind = spec.mode.kind();
        if self.max_concurrent.is_some() {
            let is_job = matches!(kind, ModeKind::ReplicatedJob { .. });
            let text = || BadInput("--max-concurrent is for --mode replicated-job".to_owned());
            is_job.then_some(()).ok_or_else(text)?;
        }
        match kind {
            ModeKind::Replicated { .. } => {
                if let Some(replicas) = self.replicas {
                    spec.mode.replicated = Some(Replicated { replicas: Some(replicas) });
                }
            }
            ModeKind::ReplicatedJob { .. } => {
                let job = spec.mode.replicated_job.get_or_insert_with(ReplicatedJob::default);
                job.total_completions = self.replicas.or(job.total_completions);
                job.max_concurrent =
                    self.max_concurrent.or(job.max_concurrent).or(job.total_completions);
            }
            ModeKind::Global | ModeKind::GlobalJob if self.replicas.is_some() => {
                let name = if spec.name.is_empty() { "a global service" } else { &spec.name };
                let text = format!("{name} runs on every node and has no number of replicas");
                return Err(BadInput(text).into());
            }
            ModeKind::Global | ModeKind::GlobalJob => {}
        }
        Ok(())
    }
}

/// What `--mode` takes.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum Mode {
    /// So many tasks as --replicas says
    #[default]
    Replicated,
    /// One task on every node
    Global,
    /// Tasks that run to completion, so many as --replicas says
    ReplicatedJob,
    /// A task on every node that runs to completion
    GlobalJob,
}

impl Mode {
    pub fn spec(self) -> ServiceMode {
        let mut mode = ServiceMode::default();
        match self {
            Mode::Replicated => return ServiceMode::replicated(1),
            Mode::Global => mode.global = Some(Default::default()),
            Mode::ReplicatedJob => mode.replicated_job = Some(Default::default()),
            Mode::GlobalJob => mode.global_job = Some(Default::default()),
        }
        mode
    }
}

/// Sets what was given.
fn set<T: Clone>(field: &mut T, given: &Option<T>) {
    if let Some(given) = given {
        field.clone_from(given);
    }
}
