//! What [`crate::load`] is given: texts, environment, and a way to read the project's files.

use std::collections::BTreeMap;

/// Everything that decides what a stack is. The same input always gives the same answer.
pub struct Input<'a> {
    /// The Compose files in order; later ones override earlier ones. At least one.
    pub files: Vec<InputFile>,
    /// Absolute path of the project: relative paths in the files start here. `.env` is read here.
    pub project_dir: String,
    /// The caller's environment variables. They win over `.env`.
    pub environment: BTreeMap<String, String>,
    /// Reads env files, secrets, configs, included and extended files.
    pub reader: &'a dyn Reader,
    /// The name of the stack. Empty: the file's `name`, else an error.
    pub stack: String,
    /// Active profiles, besides those of `COMPOSE_PROFILES`. `*` means all.
    pub profiles: Vec<String>,
}

/// One Compose file.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// As shown in messages; also where it is, when it is relative to the project or absolute.
    pub name: String,
    /// UTF-8, or UTF-16 with a byte-order mark.
    pub bytes: Vec<u8>,
}

/// Reads files for [`crate::load`]. Paths are absolute and without `.` and `..`.
pub trait Reader {
    /// The content of `path`.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] when nothing is there, [`ReadError::Other`] with a reason otherwise.
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError>;
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("no such file")]
    NotFound,
    #[error("{0}")]
    Other(String),
}

/// A [`Reader`] over texts in memory: for tests, and for requests that bring their files along.
#[derive(Clone, Debug, Default)]
pub struct MemoryReader(pub BTreeMap<String, Vec<u8>>);

impl MemoryReader {
    /// With a further file.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> MemoryReader {
        self.0.insert(path.into(), content.into());
        self
    }
}

impl Reader for MemoryReader {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }
}
