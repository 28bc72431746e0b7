//! What was deployed under a stack's name: its revisions.
//!
//! The objects of a stack are those that carry its label; this is only the history of what was asked
//! for, so that it can be shown, compared and deployed again. A secret's value is never in it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::StackRequest;
use crate::time::Timestamp;

/// The revisions of one stack, oldest first; never empty. Numbers rise by one.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct StackHistory {
    pub name: String,
    pub revisions: Vec<Arc<StackRevision>>,
}

/// What one deployment asked for.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct StackRevision {
    /// From 1.
    pub number: u64,
    pub at: Timestamp,
    /// This deployment was a rollback to that revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// Without the values of secrets.
    pub request: StackRequest,
    /// Bytes of the request as JSON.
    pub size: u64,
}

impl StackHistory {
    /// What was asked for last.
    #[must_use]
    pub fn newest(&self) -> Option<&Arc<StackRevision>> {
        self.revisions.last()
    }

    /// The revision of this number, if it is still kept.
    #[must_use]
    pub fn revision(&self, number: u64) -> Option<&Arc<StackRevision>> {
        self.revisions.iter().find(|r| r.number == number)
    }
}
