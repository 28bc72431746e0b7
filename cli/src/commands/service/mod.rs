//! `service`: what runs.

mod create;
mod registry;
mod settings;
mod update;
mod values;

pub(super) use values::nanoseconds;

use clap::Subcommand;
use model::api::Service;
use model::spec::{ModeKind, PortConfig, ServiceSpec};

pub use create::{CreateArgs, create};
pub use values::variable;

use super::common::{InspectArgs, Listing, remove};
use super::{exec, task};
use crate::BadInput;
use crate::client::{Client, encoded};
use crate::logs;
use crate::names::{self, Kind};
use crate::output::{Table, short};
use crate::wait::{self, Awaited};

/// `swarmctl service`
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Make a service
    Create(Box<create::CreateArgs>),
    /// List services
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        list: ListArgs,
    },
    /// List the tasks of services, with the reason of everything that does not run
    Ps {
        #[arg(required = true, add = names::of(Kind::Service))]
        services: Vec<String>,
        #[command(flatten)]
        list: task::ListArgs,
    },
    /// Show services with all their properties
    #[command(mut_arg("names", |names| names.add(names::of(Kind::Service))))]
    Inspect(InspectArgs),
    /// Change how many replicas services have
    Scale {
        /// SERVICE=REPLICAS
        #[arg(required = true, value_parser = parse_scale, add = names::of(Kind::Scale))]
        scales: Vec<(String, u64)>,
        #[command(flatten)]
        wait: wait::Args,
    },
    /// Go back to the spec before the last update
    Rollback {
        #[arg(add = names::of(Kind::Service))]
        service: String,
        #[command(flatten)]
        wait: wait::Args,
    },
    /// Change a service: its tasks are replaced where that is needed
    Update(Box<update::UpdateArgs>),
    /// Print what a service's tasks wrote
    Logs(logs::LogsArgs),
    /// Run a command in a container of a service: `swarmctl exec`
    Exec(exec::ExecArgs),
    /// Remove services
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(required = true, add = names::of(Kind::Service))]
        services: Vec<String>,
    },
}

/// How services are listed.
pub type ListArgs = Listing;

fn parse_scale(text: &str) -> Result<(String, u64), String> {
    let wrong = || format!("{text:?} is not of the form SERVICE=REPLICAS");
    let (service, replicas) = text.rsplit_once('=').ok_or_else(wrong)?;
    let replicas = replicas.parse().map_err(|_| wrong())?;
    Ok((service.to_owned(), replicas))
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and of services that do not converge.
pub async fn run(client: &Client, command: &ServiceCommand) -> anyhow::Result<()> {
    match command {
        ServiceCommand::Create(args) => create::run(client, args).await,
        ServiceCommand::Ls { list } => ls(client, &[], list).await,
        ServiceCommand::Ps { services, list } => {
            let mut ids = Vec::new();
            for service in services {
                ids.push(find(client, service).await?.id);
            }
            let matching: Vec<(&str, &str)> =
                ids.iter().map(|id| ("service", id.as_str())).collect();
            task::list(client, &matching, list).await
        }
        ServiceCommand::Inspect(inspect) => {
            let mut found = Vec::new();
            for service in &inspect.names {
                found.push(find(client, service).await?);
            }
            inspect.print(&found)
        }
        ServiceCommand::Scale { scales, wait } => {
            let mut ids = Vec::new();
            for (name, replicas) in scales {
                let service = find(client, name).await?;
                let spec = scaled(&service.spec, *replicas)?;
                update(client, &service, &spec, None).await?;
                println!("{name} scaled to {replicas}");
                ids.push(Awaited::spec(service.id));
            }
            wait::converged(client, &ids, wait).await
        }
        ServiceCommand::Rollback { service, wait } => {
            let found = find(client, service).await?;
            roll_back(client, &found).await?;
            println!("{service} rolls back");
            wait::converged(client, &[Awaited::rollback(found.id)], wait).await
        }
        ServiceCommand::Update(args) => update::run(client, args).await,
        ServiceCommand::Exec(_) => unreachable!("has an exit code of its own: handled before"),
        ServiceCommand::Logs(args) => logs::run(client, args).await,
        ServiceCommand::Rm { services } => {
            remove(client, services, |name| format!("/services/{name}")).await
        }
    }
}

/// The service that a user means.
///
/// # Errors
/// When there is none or more than one.
pub async fn find(client: &Client, text: &str) -> anyhow::Result<Service> {
    Ok(client.get(&format!("/services/{}", encoded(text))).await?)
}

/// Writes a new spec over the version that was read.
///
/// # Errors
/// The API's refusal; also when another write came between.
async fn update(
    client: &Client,
    service: &Service,
    spec: &ServiceSpec,
    login: Option<&str>,
) -> anyhow::Result<()> {
    let path = format!(
        "/services/{}/update?version={}&registryAuthFrom=spec",
        service.id, service.version.index
    );
    let headers: Vec<(&str, &str)> = login.iter().map(|login| (registry::HEADER, *login)).collect();
    let answer: Option<model::api::ServiceUpdated> =
        client.post_with(&path, &headers, spec).await?;
    for warning in answer.and_then(|a| a.warnings).unwrap_or_default() {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// Asks for the spec before the last update.
async fn roll_back(client: &Client, service: &Service) -> anyhow::Result<()> {
    let path = format!(
        "/services/{}/update?version={}&rollback=previous",
        service.id, service.version.index
    );
    let _: serde_json::Value = client.post(&path, &*service.spec).await?;
    Ok(())
}

fn scaled(spec: &ServiceSpec, replicas: u64) -> anyhow::Result<ServiceSpec> {
    let mut spec = spec.clone();
    match spec.mode.kind() {
        ModeKind::Replicated { .. } => {
            spec.mode = model::spec::ServiceMode::replicated(replicas);
        }
        ModeKind::ReplicatedJob { .. } => {
            if let Some(job) = &mut spec.mode.replicated_job {
                job.total_completions = Some(replicas);
            }
        }
        ModeKind::Global | ModeKind::GlobalJob => {
            let name = &spec.name;
            let text = format!("{name} runs on every node and has no number of replicas");
            return Err(BadInput(text).into());
        }
    }
    Ok(spec)
}

/// Lists services.
///
/// # Errors
/// Those of the calls.
pub async fn ls(client: &Client, matching: &[(&str, &str)], args: &ListArgs) -> anyhow::Result<()> {
    let path = format!("/services?status=true&filters={}", args.query(matching));
    let mut services: Vec<Service> = client.get(&path).await?;
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let mut table = Table::new(&["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"]);
    for service in &services {
        let container = service.spec.task_template.container_spec.as_ref();
        let image = container.map_or("", |c| c.image.as_str());
        table.row(vec![
            short(&service.id).to_owned(),
            service.spec.name.clone(),
            mode(&service.spec).to_owned(),
            replicas(service),
            image.split('@').next().unwrap_or_default().to_owned(),
            ports(&service.endpoint.ports),
        ]);
    }
    args.print(&services, |service| &service.id, &table)
}

/// The mode in docker's words.
#[must_use]
pub fn mode(spec: &ServiceSpec) -> &'static str {
    match spec.mode.kind() {
        ModeKind::Replicated { .. } => "replicated",
        ModeKind::Global => "global",
        ModeKind::ReplicatedJob { .. } => "replicated job",
        ModeKind::GlobalJob => "global job",
    }
}

/// `2/3`, and what else there is to say of numbers.
#[must_use]
pub fn replicas(service: &Service) -> String {
    let status = service.service_status.unwrap_or_default();
    match service.spec.mode.kind() {
        ModeKind::ReplicatedJob { total, .. } => {
            format!(
                "{}/{} ({}/{total} completed)",
                status.running_tasks, status.desired_tasks, status.completed_tasks
            )
        }
        ModeKind::Replicated { .. } | ModeKind::Global | ModeKind::GlobalJob => {
            let placement = service.spec.task_template.placement.as_ref();
            let most = placement.map_or(0, |p| p.max_replicas);
            let most = if most > 0 { format!(" (max {most} per node)") } else { String::new() };
            format!("{}/{}{most}", status.running_tasks, status.desired_tasks)
        }
    }
}

fn ports(ports: &[PortConfig]) -> String {
    let open = ports.iter().filter(|p| !p.publish_mode.is_host());
    let text =
        |p: &PortConfig| format!("*:{}->{}/{}", p.published_port, p.target_port, p.protocol.name());
    open.map(text).collect::<Vec<_>>().join(", ")
}
