//! `service create`: a service from flags.

use std::path::PathBuf;

use clap::Args;
use model::api::Created;
use model::spec::{
    ConfigReference, EndpointSpec, GenericResource, Mount, NetworkAttachmentConfig,
    PlacementPreference, SecretReference, ServiceSpec, Ulimit,
};

use super::registry;
use super::settings::{Common, Mode, Number};
use super::values::{self, Ports};
use crate::BadInput;
use crate::client::Client;
use crate::wait::{self, Awaited};

/// `swarmctl service create`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl service create --name web --replicas 3 -p 80:8080 shop/web:1\n  \
    swarmctl service create --name db --secret db_password --mount source=db,target=/data \\\n    \
        --constraint node.labels.disk==ssd --reserve-memory 512M postgres:16\n  \
    swarmctl service create --name tidy --mode global-job busybox rm -rf /tmp/old\n\n\
    Exit code: 0 when it runs, 1 when it does not, 2 when a flag is wrong.")]
pub struct CreateArgs {
    /// The image
    image: String,
    /// Replaces the image's command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// The service's name
    #[arg(long)]
    name: Option<String>,
    /// How many tasks, and of which kind
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    #[command(flatten)]
    number: Number,
    /// An environment variable; NAME alone takes this shell's
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::variable)]
    env: Vec<String>,
    /// A file of environment variables, one in a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// A label of the service
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = values::pair)]
    label: Vec<(String, String)>,
    /// A label of its containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    container_label: Vec<(String, String)>,
    /// A volume, directory, tmpfs or image in the container: type=volume|bind|tmpfs|image,
    /// source=…,target=…,readonly
    #[arg(long, value_name = "MOUNT", value_parser = values::mount)]
    mount: Vec<Mount>,
    /// A port that is open on every node: 8080:80/tcp, or target=80,published=8080,mode=host
    #[arg(short, long, value_name = "PORT", value_parser = values::ports)]
    publish: Vec<Ports>,
    /// A network that its tasks are on: NAME, or name=NAME,alias=ALIAS
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    network: Vec<NetworkAttachmentConfig>,
    /// How names resolve: to one address for all tasks (vip), or to the tasks (dnsrr)
    #[arg(long, value_parser = ["vip", "dnsrr"], default_value = "vip")]
    endpoint_mode: String,
    /// A secret as a file: NAME, or source=NAME,target=FILE,uid=0,gid=0,mode=0400
    #[arg(long, value_name = "SECRET", value_parser = values::secret)]
    secret: Vec<SecretReference>,
    /// A config as a file: NAME, or source=NAME,target=FILE,uid=0,gid=0,mode=0444
    #[arg(long, value_name = "CONFIG", value_parser = values::config)]
    config: Vec<ConfigReference>,
    /// Where tasks may run, as node.labels.disk==ssd or node.role!=manager
    #[arg(long, value_name = "EXPRESSION")]
    constraint: Vec<String>,
    /// What tasks spread over, as spread=node.labels.zone
    #[arg(long, value_name = "PREFERENCE", value_parser = values::preference)]
    placement_pref: Vec<PlacementPreference>,
    /// A resource that the node offers, as gpu=2
    #[arg(long, value_name = "KIND=VALUE", value_parser = values::generic)]
    generic_resource: Vec<GenericResource>,
    /// A further group of the process
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// A line of /etc/hosts
    #[arg(long = "host", value_name = "NAME:ADDRESS", value_parser = values::host)]
    hosts: Vec<String>,
    /// A name server
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    dns: Vec<String>,
    /// A domain that is searched
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of the resolver
    #[arg(long, value_name = "OPTION", alias = "dns-opt")]
    dns_option: Vec<String>,
    /// A capability to add, as NET_ADMIN
    #[arg(long, value_name = "NAME", value_parser = values::capability)]
    cap_add: Vec<String>,
    /// A capability to drop
    #[arg(long, value_name = "NAME", value_parser = values::capability)]
    cap_drop: Vec<String>,
    /// A limit of the process, as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = values::ulimit)]
    ulimit: Vec<Ulimit>,
    /// A kernel parameter of the container
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    sysctl: Vec<(String, String)>,
    #[command(flatten)]
    common: Common,
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and when the service does not converge.
pub async fn run(client: &Client, args: &CreateArgs) -> anyhow::Result<()> {
    let id = create(client, args, &args.spec()?).await?;
    println!("{id}");
    args.wait_for(client, &id).await
}

/// Makes the service; its id.
///
/// # Errors
/// Those of the call, and when the login cannot be read.
pub async fn create(
    client: &Client,
    args: &CreateArgs,
    spec: &ServiceSpec,
) -> anyhow::Result<String> {
    let login = args.common.login(&args.image)?;
    let headers: Vec<(&str, &str)> =
        login.iter().map(|login| (registry::HEADER, login.as_str())).collect();
    let made: Created = client.post_with("/services/create", &headers, spec).await?;
    for warning in &made.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(made.id)
}

impl CreateArgs {
    /// Whether nothing is to be waited for.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.common.wait.is_detached()
    }

    /// Waits until the service has converged.
    ///
    /// # Errors
    /// When it does not.
    pub async fn wait_for(&self, client: &Client, id: &str) -> anyhow::Result<()> {
        wait::converged(client, &[Awaited::spec(id.to_owned())], &self.common.wait).await
    }

    /// The spec of a job of these flags. A task that fails is tried again only if they say so.
    ///
    /// # Errors
    /// When flags do not go together.
    pub fn job_spec(&self) -> anyhow::Result<ServiceSpec> {
        let mode = match self.mode {
            Mode::Replicated | Mode::ReplicatedJob => Mode::ReplicatedJob,
            Mode::Global | Mode::GlobalJob => Mode::GlobalJob,
        };
        let mut spec = self.spec_of(mode)?;
        let policy = spec.task_template.restart_policy.get_or_insert_default();
        if policy.condition.is_empty() {
            policy.condition = match policy.max_attempts {
                None => "none".to_owned(),
                Some(_) => "on-failure".to_owned(),
            };
        }
        Ok(spec)
    }

    fn spec(&self) -> anyhow::Result<ServiceSpec> {
        self.spec_of(self.mode)
    }

    fn spec_of(&self, mode: Mode) -> anyhow::Result<ServiceSpec> {
        let mut spec = ServiceSpec {
            name: self.name.clone().unwrap_or_default(),
            labels: self.label.iter().cloned().collect(),
            mode: mode.spec(),
            ..ServiceSpec::default()
        };
        self.number.apply(&mut spec)?;
        let mut env = Vec::new();
        for file in &self.env_file {
            env.extend(variables(file)?);
        }
        env.extend(self.env.iter().cloned());
        let container = spec.task_template.container_spec.get_or_insert_default();
        container.image.clone_from(&self.image);
        container.args.clone_from(&self.command);
        for variable in env {
            put_variable(&mut container.env, &variable);
        }
        container.labels = self.container_label.iter().cloned().collect();
        container.mounts.clone_from(&self.mount);
        container.secrets.clone_from(&self.secret);
        container.configs.clone_from(&self.config);
        container.groups.clone_from(&self.group);
        container.hosts.clone_from(&self.hosts);
        container.capability_add.clone_from(&self.cap_add);
        container.capability_drop.clone_from(&self.cap_drop);
        container.ulimits.clone_from(&self.ulimit);
        container.sysctls = self.sysctl.iter().cloned().collect();
        if !self.dns.is_empty() || !self.dns_search.is_empty() || !self.dns_option.is_empty() {
            let dns = container.dns_config.get_or_insert_default();
            dns.nameservers.clone_from(&self.dns);
            dns.search.clone_from(&self.dns_search);
            dns.options.clone_from(&self.dns_option);
        }
        let template = &mut spec.task_template;
        template.networks.clone_from(&self.network);
        if !self.constraint.is_empty() || !self.placement_pref.is_empty() {
            let placement = template.placement.get_or_insert_default();
            placement.constraints.clone_from(&self.constraint);
            placement.preferences.clone_from(&self.placement_pref);
        }
        if !self.generic_resource.is_empty() {
            let reserved =
                template.resources.get_or_insert_default().reservations.get_or_insert_default();
            reserved.generic_resources.clone_from(&self.generic_resource);
        }
        spec.endpoint_spec = Some(EndpointSpec {
            mode: self.endpoint_mode.clone(),
            ports: self.publish.iter().flat_map(|p| p.0.iter().cloned()).collect(),
            ..EndpointSpec::default()
        });
        self.common.apply(&mut spec);
        Ok(spec)
    }
}

/// Sets a variable that the list may have already.
pub(super) fn put_variable(env: &mut Vec<String>, variable: &str) {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    match env.iter_mut().find(|known| name(known) == name(variable)) {
        Some(known) => variable.clone_into(known),
        None => env.push(variable.to_owned()),
    }
}

/// The variables of a file, as docker reads it: one in a line, everything after `=` is the value.
fn variables(path: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let place = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|e| BadInput(format!("--env-file {place}: {e}")))?;
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match values::variable(line) {
            // A name alone is this shell's variable; what the shell lacks is left out.
            Ok(variable) if variable.contains('=') => found.push(variable),
            Ok(_) => {}
            Err(e) => wrong.push(format!("{place}:{}: {line:?}: {e}", number + 1)),
        }
    }
    if !wrong.is_empty() {
        return Err(BadInput(wrong.join("\n")).into());
    }
    Ok(found)
}
