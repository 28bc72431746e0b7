//! Compose file text to a checked [`Stack`].
//!
//! # Use
//! ```
//! use compose::{Input, InputFile, MemoryReader, load};
//!
//! let reader = MemoryReader::default();
//! let loaded = load(&Input {
//!     files: vec![InputFile {
//!         name: "stack.yml".into(),
//!         bytes: b"services: {web: {image: nginx, ports: ['80:80']}}".to_vec(),
//!     }],
//!     project_dir: "/project".into(),
//!     environment: Default::default(),
//!     reader: &reader,
//!     stack: "demo".into(),
//!     profiles: vec![],
//! })
//! .expect("a stack");
//! assert_eq!(loaded.stack.specs.services[0].name, "demo_web");
//! ```
//!
//! - [`load`]: everything; [`Loaded`] has the [`Stack`] and the warnings, [`Problems`] all errors.
//! - `stack.specs`: the requests to send, in this order: networks, secrets, configs, services; and
//!   `stack.specs.external`, what must exist before.
//! - [`normalise`]: only read and merge, for `config`: what could not be deployed is told, not refused.
//! - `stack.document`: the normalised file, [`Document::to_yaml`], [`Document::to_json`].
//! - [`wire::specs_json`]: `{networks, secrets, configs, services}` as the docker CLI writes them.
//! - [`diff::diff`]: what a deploy would change, and whether tasks are replaced.
//! - [`docker_run::convert`]: the words of a `docker run` line to a Compose file.
//! - [`Problems::render`] for people, [`Problems::lines`] for machines.
//!
//! Pure: no files, clock or environment but those of the [`Input`]. Read `load` for the order of
//! the passes, `schema` for what a file may say, `spec` for what becomes of it.

pub mod canon;
pub mod check;
pub mod diff;
pub mod docker_run;
pub mod document;
pub mod env_file;
pub mod input;
pub mod interpolate;
mod load;
pub mod merge;
pub mod nearest;
pub mod path;
pub mod problem;
pub mod quantity;
pub mod render;
pub mod schema;
pub mod source;
pub mod spec;
pub mod wire;
pub mod yaml;

pub use document::Document;
pub use input::{Input, InputFile, MemoryReader, ReadError, Reader};
pub use problem::{Problem, Problems, Severity};
pub use render::Colour;
pub use spec::{External, Specs};

/// A stack that can be sent.
#[derive(Clone, Debug)]
pub struct Stack {
    pub name: String,
    pub specs: Specs,
    pub document: Document,
}

/// What [`load`] gives.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub stack: Stack,
    /// Warnings and notes, in the order of the text.
    pub warnings: Problems,
}

/// What [`normalise`] gives.
#[derive(Clone, Debug)]
pub struct Normalised {
    pub document: Document,
    /// Everything there is to tell; errors among it are those that [`load`] would refuse.
    pub problems: Problems,
}

/// Reads and merges Compose files, for looking at: a file that says what it means but could not be
/// deployed (a network that is not defined, say) is shown all the same.
///
/// # Errors
/// When the files cannot be read: syntax, variables, unknown keys, values of the wrong type.
pub fn normalise(input: &Input<'_>) -> Result<Normalised, Problems> {
    load::normalise(input)
}

/// Reads, merges, checks and converts Compose files.
///
/// # Errors
/// Everything that is wrong, each with its place; nothing is made then.
pub fn load(input: &Input<'_>) -> Result<Loaded, Problems> {
    load::load(input)
}
