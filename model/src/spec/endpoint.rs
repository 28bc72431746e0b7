//! How a service is reached: networks, mode of discovery, published ports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Extra, Labels, is_zero, nullable};

/// A network that every task of the service joins.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkAttachmentConfig {
    /// Name or id as clients send it; the id once stored.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Further names of the service on this network.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Labels::is_empty")]
    pub driver_opts: Labels,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Docker's `EndpointSpec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointSpec {
    /// `vip` or `dnsrr`; empty means `vip`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub mode: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// One published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortConfig {
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub protocol: Protocol,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub target_port: u16,
    /// 0 or absent: one is chosen from 30000 up.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub published_port: u16,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub publish_mode: PublishMode,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A transport protocol. `Unset` is what a client sends by leaving it out; it means TCP.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    JsonSchema,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    #[serde(rename = "")]
    Unset,
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// With the default filled in.
    #[must_use]
    pub fn effective(self) -> Protocol {
        match self {
            Protocol::Unset | Protocol::Tcp => Protocol::Tcp,
            Protocol::Udp => Protocol::Udp,
            Protocol::Sctp => Protocol::Sctp,
        }
    }

    /// `tcp`, `udp` or `sctp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Unset | Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// Where a published port is open. `Unset` means ingress.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    JsonSchema,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    #[default]
    #[serde(rename = "")]
    Unset,
    /// On every node; traffic reaches any task.
    Ingress,
    /// On the task's node only; traffic reaches this task.
    Host,
}

impl PublishMode {
    /// True for host mode.
    #[must_use]
    pub fn is_host(self) -> bool {
        self == PublishMode::Host
    }
}

impl EndpointSpec {
    /// True when the service has no virtual address and names resolve to its tasks.
    #[must_use]
    pub fn is_dnsrr(&self) -> bool {
        self.mode == "dnsrr"
    }
}
