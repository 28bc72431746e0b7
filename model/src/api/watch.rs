//! A resumable stream of changes: `/watch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of `GET /watch?since=REVISION`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WatchLine {
    /// All changes up to this revision have been sent once this line has: resume from here. 0 in
    /// a line that is followed by more of the same revision.
    pub revision: u64,
    /// Forget everything known: from this line on everything there is comes anew.
    #[serde(skip_serializing_if = "crate::spec::is_false")]
    pub reset: bool,
    /// Empty in a line that only tells the revision (the first one, and keep-alives).
    pub changes: Vec<WatchChange>,
}

/// What became of one object.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WatchChange {
    /// `service`, `task`, `node`, `network`, `secret`, `config` or `cluster`.
    pub kind: String,
    #[serde(rename = "ID")]
    pub id: String,
    /// `create`, `update` or `remove`. Each may come again for what is known already.
    pub action: String,
    /// As its own path shows it; absent when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<serde_json::Value>,
}
