//! Specs from a few words, or from a stack file.

use std::path::Path;

use compose::{Input, InputFile, ReadError, Reader};
use model::spec::{ServiceMode, ServiceSpec, UpdateConfig};
use orchestrator_core::command::{Command, ServiceChange};

use super::{Answer, Script, span, update};

/// The spec that `create` means.
pub(super) fn spec_of(name: &str, image: &str, words: &[&str]) -> Result<ServiceSpec, String> {
    let mut spec = ServiceSpec { name: name.to_owned(), ..ServiceSpec::default() };
    let container = spec.task_template.container_spec.get_or_insert_default();
    image.clone_into(&mut container.image);
    let mut config = UpdateConfig { parallelism: 1, ..spec.effective_update() };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u64>().map_err(|_| format!("{key} needs a number"));
        match key {
            "replicas" => spec.mode = ServiceMode::replicated(number()?),
            "global" => {
                spec.mode = ServiceMode { global: Some(Default::default()), ..Default::default() };
            }
            "order" => value.clone_into(&mut config.order),
            "parallelism" => config.parallelism = number()?,
            "delay" => {
                config.delay = i64::try_from(span(value)?.0 * 1_000_000).unwrap_or(i64::MAX);
            }
            "failure" => value.clone_into(&mut config.failure_action),
            "max" => {
                spec.task_template.placement.get_or_insert_default().max_replicas = number()?;
            }
            "zone" => {
                let constraints =
                    &mut spec.task_template.placement.get_or_insert_default().constraints;
                constraints.push(format!("node.labels.zone=={value}"));
            }
            "cpus" => {
                let cpus = i64::try_from(number()? * 1_000_000_000).unwrap_or(i64::MAX);
                let resources = spec.task_template.resources.get_or_insert_default();
                resources.reservations.get_or_insert_default().nano_cpus = cpus;
            }
            "checked" => {
                let container = spec.task_template.container_spec.get_or_insert_default();
                let check = container.healthcheck.get_or_insert_default();
                check.test = vec!["CMD".to_owned(), "/check".to_owned()];
            }
            other => return Err(format!("{other:?} says nothing about a service; see help")),
        }
    }
    spec.update_config = Some(config);
    Ok(spec)
}

/// Reads the files that a stack file names.
struct Disk;

impl Reader for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ReadError::NotFound,
            _ => ReadError::Other(error.to_string()),
        })
    }
}

impl Script {
    /// Creates or updates everything of a stack file.
    pub(super) fn deploy(&mut self, file: &str, stack: Option<&str>) -> Answer {
        let path = Path::new(file);
        let bytes = std::fs::read(path).map_err(|error| format!("{file}: {error}"))?;
        let absolute = std::path::absolute(path).map_err(|error| format!("{file}: {error}"))?;
        let folder = absolute.parent().map(|p| p.display().to_string()).unwrap_or_default();
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let loaded = compose::load(&Input {
            files: vec![InputFile { name: file.to_owned(), bytes }],
            project_dir: folder,
            environment: Default::default(),
            reader: &Disk,
            stack: stack.map(str::to_owned).or(stem).unwrap_or_default(),
            profiles: Vec::new(),
        })
        .map_err(|problems| problems.to_string())?;
        let specs = loaded.stack.specs;
        let state = self.state();
        let mut commands = Vec::new();
        for spec in specs.networks {
            if state.network_named(&spec.name).is_none() {
                commands.push(Command::CreateNetwork { spec: Box::new(spec) });
            }
        }
        for spec in specs.secrets {
            if state.secret_named(&spec.name).is_none() {
                commands.push(Command::CreateSecret { spec: Box::new(spec) });
            }
        }
        for spec in specs.configs {
            if state.config_named(&spec.name).is_none() {
                commands.push(Command::CreateConfig { spec: Box::new(spec) });
            }
        }
        for spec in specs.services {
            commands.push(match state.service_named(&spec.name) {
                Some(known) => update(known, ServiceChange::Spec(Box::new(spec))),
                None => Command::CreateService { spec: Box::new(spec), registry_auth: None },
            });
        }
        for command in commands {
            self.ask_and_wait(command)?;
        }
        Ok(loaded.warnings.to_string())
    }
}
