//! A network as clients see it under `/networks`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;
use crate::spec::{Ipam, IpamConfig, Labels, nullable};

/// Docker's `Network`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    pub name: String,
    pub id: String,
    pub created: Moment,
    /// `swarm`; of an engine's own networks `local`.
    pub scope: String,
    pub driver: String,
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: NetworkIpam,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub config_from: ConfigFrom,
    pub config_only: bool,
    /// Always null here: containers are listed by the engine that has them.
    pub containers: Option<serde_json::Map<String, serde_json::Value>>,
    pub options: Option<Labels>,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
    /// With `verbose=true`: the services on it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, NetworkService>,
}

/// Docker writes the options of address management as null when there are none.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkIpam {
    pub driver: String,
    pub options: Option<Labels>,
    #[serde(deserialize_with = "nullable")]
    pub config: Vec<IpamConfig>,
}

impl From<&Ipam> for NetworkIpam {
    fn from(ipam: &Ipam) -> Self {
        NetworkIpam {
            driver: ipam.driver.clone(),
            options: (!ipam.options.is_empty()).then(|| ipam.options.clone()),
            config: ipam.config.clone(),
        }
    }
}

/// The network that this one takes its config from; always empty here.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigFrom {
    pub network: String,
}

/// A service on a network, with `verbose=true`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkService {
    #[serde(rename = "VIP")]
    pub vip: String,
    #[serde(rename = "Ports")]
    pub ports: Vec<String>,
    #[serde(rename = "LocalLBIndex")]
    pub local_lb_index: i64,
    #[serde(rename = "Tasks")]
    pub tasks: Vec<NetworkTask>,
}

/// A task on a network, with `verbose=true`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkTask {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    #[serde(rename = "EndpointIP")]
    pub endpoint_ip: String,
    #[serde(rename = "Info")]
    pub info: Option<Labels>,
}

/// The answer to the creation of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreated {
    pub id: String,
    pub warning: String,
}
