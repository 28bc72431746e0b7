//! `service update`: the settings that are changed by hand most often.
//!
//! Everything else changes through the stack's file (`deploy`) or with the docker command, which
//! works against the same socket.

use clap::Args;
use model::spec::{ServiceMode, ServiceSpec, UpdateConfig};

use super::service;
use crate::client::Client;
use crate::wait;

/// `swarmctl service update`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl service update --image shop/web:2 --update-parallelism 2 web\n  \
    swarmctl service update --force web       replace every task, and so spread them again")]
pub struct UpdateArgs {
    service: String,
    /// The new image
    #[arg(long)]
    image: Option<String>,
    /// How many replicas
    #[arg(long)]
    replicas: Option<u64>,
    /// Set an environment variable
    #[arg(long, value_name = "NAME=VALUE")]
    env_add: Vec<String>,
    /// Remove an environment variable
    #[arg(long, value_name = "NAME")]
    env_rm: Vec<String>,
    /// Add a constraint
    #[arg(long, value_name = "KEY==VALUE")]
    constraint_add: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "KEY==VALUE")]
    constraint_rm: Vec<String>,
    /// How many tasks are replaced at once; 0 means all
    #[arg(long)]
    update_parallelism: Option<u64>,
    /// Pause between two batches, as 500ms, 5s, 1m
    #[arg(long, value_parser = nanoseconds)]
    update_delay: Option<i64>,
    /// How long a new task is watched for failure
    #[arg(long, value_parser = nanoseconds)]
    update_monitor: Option<i64>,
    /// Whether the old task stops first or the new one starts first
    #[arg(long, value_parser = ["stop-first", "start-first"])]
    update_order: Option<String>,
    /// What to do when a new task fails
    #[arg(long, value_parser = ["pause", "continue", "rollback"])]
    update_failure_action: Option<String>,
    /// Replace every task even if nothing changed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: wait::Args,
}

/// `5s` in nanoseconds.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let units = [
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000i64),
    ];
    let wrong = || format!("{text:?} is no duration, as 500ms, 5s, 1m or 2h");
    let (number, unit) = units
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))
        .ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    i64::from(number).checked_mul(unit).ok_or_else(wrong)
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and when the service does not converge.
pub async fn run(client: &Client, args: &UpdateArgs) -> anyhow::Result<()> {
    let found = service::find(client, &args.service).await?;
    let mut spec = (*found.spec).clone();
    args.edit(&mut spec)?;
    service::update(client, &found, &spec).await?;
    println!("{}", args.service);
    wait::converged(client, &[found.id], &args.wait).await
}

impl UpdateArgs {
    fn edit(&self, spec: &mut ServiceSpec) -> anyhow::Result<()> {
        if let Some(replicas) = self.replicas {
            anyhow::ensure!(
                spec.mode.global.is_none() && spec.mode.global_job.is_none(),
                "{} runs on every node and has no number of replicas",
                spec.name
            );
            spec.mode = ServiceMode::replicated(replicas);
        }
        let container = spec.task_template.container_spec.get_or_insert_default();
        if let Some(image) = &self.image {
            container.image.clone_from(image);
        }
        for name in
            self.env_rm.iter().map(String::as_str).chain(self.env_add.iter().map(|a| key(a)))
        {
            container.env.retain(|variable| key(variable) != name);
        }
        container.env.extend(self.env_add.iter().cloned());
        let placement = spec.task_template.placement.get_or_insert_default();
        placement.constraints.retain(|c| !self.constraint_rm.contains(c));
        placement.constraints.extend(self.constraint_add.iter().cloned());
        if self.force {
            spec.task_template.force_update += 1;
        }
        self.edit_update(spec);
        Ok(())
    }

    fn edit_update(&self, spec: &mut ServiceSpec) {
        let asked = self.update_parallelism.is_some()
            || self.update_delay.is_some()
            || self.update_monitor.is_some()
            || self.update_order.is_some()
            || self.update_failure_action.is_some();
        if !asked {
            return;
        }
        let config = spec.update_config.get_or_insert_with(UpdateConfig::absent);
        config.parallelism = self.update_parallelism.unwrap_or(config.parallelism);
        config.delay = self.update_delay.unwrap_or(config.delay);
        config.monitor = self.update_monitor.unwrap_or(config.monitor);
        if let Some(order) = &self.update_order {
            config.order.clone_from(order);
        }
        if let Some(action) = &self.update_failure_action {
            config.failure_action.clone_from(action);
        }
    }
}

fn key(variable: &str) -> &str {
    variable.split('=').next().unwrap_or(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_docker_s() {
        assert_eq!(nanoseconds("500ms"), Ok(500_000_000));
        assert_eq!(nanoseconds("5s"), Ok(5_000_000_000));
        assert_eq!(nanoseconds("2m"), Ok(120_000_000_000));
        assert!(nanoseconds("5").is_err());
        assert!(nanoseconds("-5s").is_err());
    }
}
