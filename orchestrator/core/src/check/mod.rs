//! Judges specs: which are accepted, and as what they are stored.
//!
//! `State::apply` calls these, so a client that proposes needs no check before; they are public for
//! dry runs. Every problem is named at once, in Docker's words where Docker has them.
//! What we accept but do not act on is answered as a warning, never dropped in silence.

mod cluster;
mod container;
mod endpoint;
mod names;
mod service;
#[cfg(test)]
mod tests;

use model::object::Subnet;
use model::spec::{ConfigSpec, Extra, NetworkSpec, SecretSpec};

pub use cluster::cluster;
pub use service::service;

use crate::State;
use crate::command::{Kind, Refusal};

/// A spec as it will be stored, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T> {
    /// Networks, secrets and configs by id; defaults that Docker stores filled in.
    pub spec: T,
    pub warnings: Vec<String>,
}

/// What was found wrong or worth saying so far.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Fields that this version does not know.
    fn unknown(&mut self, place: &str, extra: &Extra) {
        for name in extra.keys() {
            self.warn(format!("{place}{name} is not supported and has no effect"));
        }
    }

    fn verdict<T>(self, spec: T) -> Result<Checked<T>, Refusal> {
        if self.problems.is_empty() {
            Ok(Checked { spec, warnings: self.warnings })
        } else {
            Err(Refusal::Invalid { problems: self.problems })
        }
    }
}

/// Networks that every engine has; a service may name them, nobody may create or remove them.
pub const PREDEFINED_NETWORKS: &[&str] = &["host", "bridge", "none"];

/// Judges a new network.
///
/// # Errors
/// [`Refusal::NameTaken`], or every other problem as [`Refusal::Invalid`].
pub fn network(state: &State, spec: &NetworkSpec) -> Result<Checked<NetworkSpec>, Refusal> {
    if state.network_named(&spec.name).is_some() {
        return Err(Refusal::NameTaken { kind: Kind::Network, name: spec.name.clone() });
    }
    if let Some(other) = state.ingress_network().filter(|_| spec.ingress) {
        let message = format!("ingress network ({}) is already present", other.id);
        return Err(Refusal::Exists { message });
    }
    let mut found = Findings::default();
    if PREDEFINED_NETWORKS.contains(&spec.name.as_str()) {
        found.problem(format!("operation is not permitted on predefined {} network", spec.name));
    }
    names::component(&mut found, &spec.name);
    if !spec.driver.is_empty() && spec.driver != "overlay" {
        found.problem(format!("network driver {} is not supported, use overlay", spec.driver));
    }
    if spec.ingress && spec.attachable {
        found.problem("ingress network cannot be attachable");
    }
    if spec.config_only || spec.config_from.is_some() {
        found.problem("configuration networks are not supported for overlay networks");
    }
    if spec.enable_ipv6 == Some(true) {
        found.warn("EnableIPv6 is not supported yet and has no effect");
    }
    found.unknown("", &spec.extra);
    if let Some(ipam) = &spec.ipam {
        subnets(state, &mut found, &ipam.config);
    }
    let mut spec = spec.clone();
    "overlay".clone_into(&mut spec.driver);
    "swarm".clone_into(&mut spec.scope);
    found.verdict(spec)
}

fn subnets(state: &State, found: &mut Findings, configs: &[model::spec::IpamConfig]) {
    if configs.len() > 1 {
        found.problem("a network has at most one IPv4 subnet");
    }
    let Some(config) = configs.first() else { return };
    if config.subnet.is_empty() {
        if !config.gateway.is_empty() || !config.ip_range.is_empty() {
            found.problem("a gateway or an address range needs a subnet");
        }
        return;
    }
    let subnet: Subnet = match config.subnet.parse() {
        Ok(subnet) => subnet,
        Err(wrong) => {
            found.problem(format!("invalid subnet: {wrong}"));
            return;
        }
    };
    let inside = |text: &String| {
        text.is_empty() || text.parse().is_ok_and(|address| subnet.contains(address))
    };
    for address in config.auxiliary_addresses.values().chain([&config.gateway]) {
        if !inside(address) {
            found.problem(format!("{address} is no address of {subnet}"));
        }
    }
    let range = config.ip_range.parse::<Subnet>();
    if !config.ip_range.is_empty() && !range.is_ok_and(|r| subnet.contains(r.address)) {
        found.problem(format!("{} is no range of {subnet}", config.ip_range));
    }
    for other in state.networks().filter(|n| n.removed.is_none() && n.subnet.overlaps(subnet)) {
        found.problem(format!(
            "subnet {subnet} overlaps with {} of network {}",
            other.subnet, other.spec.name
        ));
    }
}

/// The largest secret and config, bytes: Docker's limits.
const SECRET_LIMIT: usize = 500 * 1024;
const CONFIG_LIMIT: usize = 1000 * 1024;

/// Judges a new secret.
///
/// # Errors
/// [`Refusal::NameTaken`], or every other problem as [`Refusal::Invalid`].
pub fn secret(state: &State, spec: &SecretSpec) -> Result<Checked<SecretSpec>, Refusal> {
    if state.secret_named(&spec.name).is_some() {
        return Err(Refusal::NameTaken { kind: Kind::Secret, name: spec.name.clone() });
    }
    let mut found = Findings::default();
    names::file(&mut found, &spec.name);
    if spec.driver.is_some() {
        found.problem("secret drivers are not supported");
    } else {
        size(&mut found, "secret", &spec.data, SECRET_LIMIT);
    }
    templating(&mut found, spec.templating.as_ref());
    found.unknown("", &spec.extra);
    found.verdict(spec.clone())
}

/// Judges a new config.
///
/// # Errors
/// [`Refusal::NameTaken`], or every other problem as [`Refusal::Invalid`].
pub fn config(state: &State, spec: &ConfigSpec) -> Result<Checked<ConfigSpec>, Refusal> {
    if state.config_named(&spec.name).is_some() {
        return Err(Refusal::NameTaken { kind: Kind::Config, name: spec.name.clone() });
    }
    let mut found = Findings::default();
    names::file(&mut found, &spec.name);
    size(&mut found, "config", &spec.data, CONFIG_LIMIT);
    templating(&mut found, spec.templating.as_ref());
    found.unknown("", &spec.extra);
    found.verdict(spec.clone())
}

fn templating(found: &mut Findings, driver: Option<&model::spec::Driver>) {
    if let Some(driver) = driver.filter(|d| !d.name.is_empty() && d.name != "golang") {
        found.problem(format!("template driver {} is not supported, use golang", driver.name));
    }
}

/// `data` is base64.
fn size(found: &mut Findings, what: &str, data: &str, limit: usize) {
    let digits = data.trim_end_matches('=');
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"+/-_".contains(&b);
    if !digits.bytes().all(legal) || digits.len() % 4 == 1 {
        found.problem(format!("{what} data must be base64"));
        return;
    }
    let bytes = digits.len() * 3 / 4;
    if bytes == 0 || bytes >= limit {
        found.problem(format!("{what} data must be larger than 0 and less than {limit} bytes"));
    }
}
