//! Holds the reader against real files and the docker CLI's answers to them.
//!
//! The corpus is no part of the project: its place is `SWARMCTL_CORPUS`, else `../shared/corpus`
//! beside the repository. Without it every test here prints one line and passes.

mod broken;
mod conformance;
mod decisions;
mod deploy;
mod micro;
mod oracle;
mod place;
mod quick;
mod report;
