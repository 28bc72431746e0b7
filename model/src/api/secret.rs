//! Secrets and configs as clients see them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Index, Moment};
use crate::spec::{ConfigSpec, SecretSpec};

/// Docker's `Secret`: without its data.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Secret {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Index,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub spec: SecretSpec,
}

/// Docker's `Config`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Index,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub spec: Arc<ConfigSpec>,
}
