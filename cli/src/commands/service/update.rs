//! `service update`: a service's spec changed by flags.
//!
//! The spec is read, edited and written over the version that was read, so that fields this version
//! does not know, and changes that come between, are not lost.

use clap::Args;
use model::spec::{
    ConfigReference, GenericResource, Mount, NetworkAttachmentConfig, PlacementPreference,
    Protocol, SecretReference, ServiceSpec, Ulimit,
};

use super::create::put_variable;
use super::find;
use super::settings::{Common, Number};
use super::values::{self, Ports, Words};
use crate::client::Client;
use crate::wait::{self, Awaited};

/// `swarmctl service update`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    swarmctl service update --image shop/web:2 --update-parallelism 2 web\n  \
    swarmctl service update --env-add LEVEL=debug --publish-add 8443:443 web\n  \
    swarmctl service update --secret-rm old --secret-add source=new,target=old web\n  \
    swarmctl service update --force web       replace every task, and so spread them again\n\n\
    Exit code: 0 when it runs, 1 when it does not, 2 when a flag is wrong.")]
pub struct UpdateArgs {
    /// Name, id or beginning of an id
    #[arg(add = crate::names::of(crate::names::Kind::Service))]
    service: String,
    /// The new image
    #[arg(long)]
    image: Option<String>,
    /// Replaces the image's command
    #[arg(long, value_name = "COMMAND", value_parser = values::command, allow_hyphen_values = true)]
    args: Option<Words>,
    #[command(flatten)]
    number: Number,
    /// Go back to the spec before the last update
    #[arg(long)]
    rollback: bool,
    /// Replace every task even if nothing changed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    lists: Lists,
    #[command(flatten)]
    common: Common,
}

/// What is added to lists, changed in them, and taken away. Removals are done first.
#[derive(Debug, Args)]
struct Lists {
    /// Set an environment variable; NAME alone takes this shell's
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::variable)]
    env_add: Vec<String>,
    /// Remove an environment variable
    #[arg(long, value_name = "NAME")]
    env_rm: Vec<String>,
    /// Set a label of the service
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    label_add: Vec<(String, String)>,
    /// Remove a label of the service
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// Set a label of its containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    container_label_add: Vec<(String, String)>,
    /// Remove a label of its containers
    #[arg(long, value_name = "KEY")]
    container_label_rm: Vec<String>,
    /// Add or replace a mount
    #[arg(long, value_name = "MOUNT", value_parser = values::mount)]
    mount_add: Vec<Mount>,
    /// Remove the mount at this path of the container
    #[arg(long, value_name = "PATH")]
    mount_rm: Vec<String>,
    /// Publish a port, or publish it differently
    #[arg(long, value_name = "PORT", value_parser = values::ports)]
    publish_add: Vec<Ports>,
    /// No longer publish this port of the container
    #[arg(long, value_name = "PORT[/PROTOCOL]", value_parser = values::target_port)]
    publish_rm: Vec<(u16, Protocol)>,
    /// Add a network
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    network_add: Vec<NetworkAttachmentConfig>,
    /// Leave a network
    #[arg(long, value_name = "NETWORK")]
    network_rm: Vec<String>,
    /// How names resolve: to one address for all tasks (vip), or to the tasks (dnsrr)
    #[arg(long, value_parser = ["vip", "dnsrr"])]
    endpoint_mode: Option<String>,
    /// Add or replace a secret
    #[arg(long, value_name = "SECRET", value_parser = values::secret)]
    secret_add: Vec<SecretReference>,
    /// Remove a secret
    #[arg(long, value_name = "SECRET")]
    secret_rm: Vec<String>,
    /// Add or replace a config
    #[arg(long, value_name = "CONFIG", value_parser = values::config)]
    config_add: Vec<ConfigReference>,
    /// Remove a config
    #[arg(long, value_name = "CONFIG")]
    config_rm: Vec<String>,
    /// Add a constraint
    #[arg(long, value_name = "EXPRESSION")]
    constraint_add: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "EXPRESSION")]
    constraint_rm: Vec<String>,
    /// Add a placement preference
    #[arg(long, value_name = "PREFERENCE", value_parser = values::preference)]
    placement_pref_add: Vec<PlacementPreference>,
    /// Remove a placement preference
    #[arg(long, value_name = "PREFERENCE", value_parser = values::preference)]
    placement_pref_rm: Vec<PlacementPreference>,
    /// Reserve a resource that nodes offer, or another number of it
    #[arg(long, value_name = "KIND=VALUE", value_parser = values::generic)]
    generic_resource_add: Vec<GenericResource>,
    /// No longer reserve a kind of resource
    #[arg(long, value_name = "KIND")]
    generic_resource_rm: Vec<String>,
    /// Add a further group of the process
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Remove a group
    #[arg(long, value_name = "GROUP")]
    group_rm: Vec<String>,
    /// Add a line of /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = values::host)]
    host_add: Vec<String>,
    /// Remove a line of /etc/hosts
    #[arg(long, value_name = "NAME[:ADDRESS]")]
    host_rm: Vec<String>,
    /// Add a name server
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    dns_add: Vec<String>,
    /// Remove a name server
    #[arg(long, value_name = "ADDRESS")]
    dns_rm: Vec<String>,
    /// Add a domain that is searched
    #[arg(long, value_name = "DOMAIN")]
    dns_search_add: Vec<String>,
    /// Remove such a domain
    #[arg(long, value_name = "DOMAIN")]
    dns_search_rm: Vec<String>,
    /// Add an option of the resolver
    #[arg(long, value_name = "OPTION")]
    dns_option_add: Vec<String>,
    /// Remove such an option
    #[arg(long, value_name = "OPTION")]
    dns_option_rm: Vec<String>,
    /// Add a capability; one that was dropped is no longer dropped
    #[arg(long, value_name = "NAME", value_parser = values::capability)]
    cap_add: Vec<String>,
    /// Drop a capability; one that was added is no longer added
    #[arg(long, value_name = "NAME", value_parser = values::capability)]
    cap_drop: Vec<String>,
    /// Set a limit of the process
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = values::ulimit)]
    ulimit_add: Vec<Ulimit>,
    /// Remove a limit of the process
    #[arg(long, value_name = "NAME")]
    ulimit_rm: Vec<String>,
    /// Set a kernel parameter of the container
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    sysctl_add: Vec<(String, String)>,
    /// Remove such a parameter
    #[arg(long, value_name = "KEY")]
    sysctl_rm: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// Those of the calls, and when the service does not converge.
pub async fn run(client: &Client, args: &UpdateArgs) -> anyhow::Result<()> {
    let found = find(client, &args.service).await?;
    if args.rollback {
        super::roll_back(client, &found).await?;
        println!("{}", args.service);
        return wait::converged(client, &[Awaited::rollback(found.id)], &args.common.wait).await;
    }
    let mut spec = (*found.spec).clone();
    args.edit(client, &mut spec).await?;
    let container = spec.task_template.container_spec.as_ref();
    let login = args.common.login(container.map_or("", |c| c.image.as_str()))?;
    super::update(client, &found, &spec, login.as_deref()).await?;
    println!("{}", args.service);
    wait::converged(client, &[Awaited::spec(found.id)], &args.common.wait).await
}

impl UpdateArgs {
    async fn edit(&self, client: &Client, spec: &mut ServiceSpec) -> anyhow::Result<()> {
        self.number.apply(spec)?;
        let container = spec.task_template.container_spec.get_or_insert_default();
        if let Some(image) = &self.image {
            container.image.clone_from(image);
        }
        if let Some(args) = &self.args {
            container.args.clone_from(&args.0);
        }
        if !self.lists.network_rm.is_empty() || !self.lists.network_add.is_empty() {
            self.lists.networks(client, spec).await?;
        }
        self.lists.container(spec);
        self.lists.placement(spec);
        self.lists.endpoint(spec);
        self.common.apply(spec);
        if self.force {
            spec.task_template.force_update += 1;
        }
        Ok(())
    }
}

impl Lists {
    fn container(&self, spec: &mut ServiceSpec) {
        remove_keys(&mut spec.labels, &self.label_rm);
        spec.labels.extend(self.label_add.iter().cloned());
        let container = spec.task_template.container_spec.get_or_insert_default();
        container.env.retain(|variable| {
            let name = variable.split('=').next().unwrap_or_default();
            !self.env_rm.iter().any(|gone| gone == name)
        });
        for variable in &self.env_add {
            put_variable(&mut container.env, variable);
        }
        remove_keys(&mut container.labels, &self.container_label_rm);
        container.labels.extend(self.container_label_add.iter().cloned());
        container.mounts.retain(|m| !self.mount_rm.contains(&m.target));
        replace(&mut container.mounts, &self.mount_add, |a, b| a.target == b.target);
        container.secrets.retain(|s| {
            !self.secret_rm.contains(&s.secret_name) && !self.secret_rm.contains(&s.secret_id)
        });
        let same_file = |a: &SecretReference, b: &SecretReference| {
            a.file.as_ref().map(|f| &f.name) == b.file.as_ref().map(|f| &f.name)
        };
        replace(&mut container.secrets, &self.secret_add, same_file);
        container.configs.retain(|c| {
            !self.config_rm.contains(&c.config_name) && !self.config_rm.contains(&c.config_id)
        });
        let same_file = |a: &ConfigReference, b: &ConfigReference| {
            a.file.as_ref().map(|f| &f.name) == b.file.as_ref().map(|f| &f.name)
        };
        replace(&mut container.configs, &self.config_add, same_file);
        merge(&mut container.groups, &self.group_rm, &self.group_add);
        container.hosts.retain(|line| !self.host_rm.iter().any(|gone| is_host(line, gone)));
        merge(&mut container.hosts, &[], &self.host_add);
        container.ulimits.retain(|u| !self.ulimit_rm.contains(&u.name));
        replace(&mut container.ulimits, &self.ulimit_add, |a, b| a.name == b.name);
        remove_keys(&mut container.sysctls, &self.sysctl_rm);
        container.sysctls.extend(self.sysctl_add.iter().cloned());
        container.capability_add.retain(|name| !self.cap_drop.contains(name));
        container.capability_drop.retain(|name| !self.cap_add.contains(name));
        merge(&mut container.capability_add, &[], &self.cap_add);
        merge(&mut container.capability_drop, &[], &self.cap_drop);
        let dns = [
            &self.dns_add,
            &self.dns_rm,
            &self.dns_search_add,
            &self.dns_search_rm,
            &self.dns_option_add,
            &self.dns_option_rm,
        ];
        if dns.iter().any(|list| !list.is_empty()) {
            let dns = container.dns_config.get_or_insert_default();
            merge(&mut dns.nameservers, &self.dns_rm, &self.dns_add);
            merge(&mut dns.search, &self.dns_search_rm, &self.dns_search_add);
            merge(&mut dns.options, &self.dns_option_rm, &self.dns_option_add);
        }
    }

    fn placement(&self, spec: &mut ServiceSpec) {
        let template = &mut spec.task_template;
        let lists = [&self.constraint_add, &self.constraint_rm];
        let preferences = [&self.placement_pref_add, &self.placement_pref_rm];
        if lists.iter().any(|l| !l.is_empty()) || preferences.iter().any(|l| !l.is_empty()) {
            let placement = template.placement.get_or_insert_default();
            merge(&mut placement.constraints, &self.constraint_rm, &self.constraint_add);
            placement.preferences.retain(|p| !self.placement_pref_rm.contains(p));
            placement.preferences.extend(self.placement_pref_add.iter().cloned());
        }
        if !self.generic_resource_rm.is_empty() || !self.generic_resource_add.is_empty() {
            let reserved =
                template.resources.get_or_insert_default().reservations.get_or_insert_default();
            let gone = |resource: &GenericResource| {
                self.generic_resource_rm.iter().any(|name| name == kind_of(resource))
            };
            reserved.generic_resources.retain(|resource| !gone(resource));
            let same = |a: &GenericResource, b: &GenericResource| {
                kind_of(a) == kind_of(b) && a.named_resource_spec == b.named_resource_spec
            };
            replace(&mut reserved.generic_resources, &self.generic_resource_add, same);
        }
    }

    fn endpoint(&self, spec: &mut ServiceSpec) {
        let added: Vec<_> = self.publish_add.iter().flat_map(|p| p.0.iter().cloned()).collect();
        if added.is_empty() && self.publish_rm.is_empty() && self.endpoint_mode.is_none() {
            return;
        }
        let endpoint = spec.endpoint_spec.get_or_insert_default();
        if let Some(mode) = &self.endpoint_mode {
            endpoint.mode.clone_from(mode);
        }
        endpoint.ports.retain(|port| {
            let own = (port.target_port, port.protocol.effective());
            !self.publish_rm.contains(&own)
        });
        // As docker: the same port of the container published on another one is a second port.
        let same = |a: &model::spec::PortConfig, b: &model::spec::PortConfig| {
            let key = |p: &model::spec::PortConfig| {
                (p.target_port, p.protocol.effective(), p.published_port)
            };
            key(a) == key(b)
        };
        replace(&mut endpoint.ports, &added, same);
    }

    /// Networks are stored by id: names are looked up before they are compared.
    async fn networks(&self, client: &Client, spec: &mut ServiceSpec) -> anyhow::Result<()> {
        let networks = &mut spec.task_template.networks;
        // Where older clients put them.
        if networks.is_empty() && !(self.network_rm.is_empty() && self.network_add.is_empty()) {
            *networks = std::mem::take(&mut spec.networks);
        }
        for name in &self.network_rm {
            let id = network_id(client, name).await?;
            networks.retain(|attached| attached.target != id && attached.target != *name);
        }
        for added in &self.network_add {
            let id = network_id(client, &added.target).await?;
            networks.retain(|attached| attached.target != id && attached.target != added.target);
            networks.push(NetworkAttachmentConfig { target: id, ..added.clone() });
        }
        Ok(())
    }
}

async fn network_id(client: &Client, name: &str) -> anyhow::Result<String> {
    let path = format!("/networks/{}", crate::client::encoded(name));
    let found: model::api::Network = client.get(&path).await?;
    Ok(found.id)
}

fn kind_of(resource: &GenericResource) -> &str {
    match (&resource.discrete_resource_spec, &resource.named_resource_spec) {
        (Some(discrete), _) => &discrete.kind,
        (None, Some(named)) => &named.kind,
        (None, None) => "",
    }
}

/// Whether a line `address name` is what `NAME` or `NAME:ADDRESS` means.
fn is_host(line: &str, gone: &str) -> bool {
    let (address, name) = line.split_once(' ').unwrap_or((line, ""));
    match gone.split_once(':') {
        Some((n, a)) => n == name && a == address,
        None => gone == name,
    }
}

fn remove_keys(map: &mut model::spec::Labels, keys: &[String]) {
    map.retain(|key, _| !keys.contains(key));
}

/// Takes away, then adds what is not there yet.
fn merge(list: &mut Vec<String>, gone: &[String], added: &[String]) {
    list.retain(|item| !gone.contains(item));
    for item in added {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// Adds, in the place of what is the same thing.
fn replace<T: Clone>(list: &mut Vec<T>, added: &[T], same: impl Fn(&T, &T) -> bool) {
    for item in added {
        match list.iter_mut().find(|known| same(known, item)) {
            Some(known) => *known = item.clone(),
            None => list.push(item.clone()),
        }
    }
}
