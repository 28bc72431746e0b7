//! Where the corpus is, and a project's files as the docker CLI saw them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use compose::{Input, InputFile, Loaded, Normalised, Problems, ReadError, Reader, load, normalise};

/// The corpus, when it is there.
pub fn corpus() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let place = std::env::var_os("SWARMCTL_CORPUS").map_or_else(beside, PathBuf::from);
    if place.join("stacks").is_dir() {
        return Some(place);
    }
    println!("skipped: no corpus at {}", place.display());
    None
}

/// The project directory of the CLI's runs. Files that were made for a run hold `stub`.
pub struct Project {
    /// Real files below the project directory.
    pub dir: Option<PathBuf>,
    /// Absolute paths of files that were made, and their content.
    pub stubs: BTreeMap<String, Vec<u8>>,
    /// Answer any path, as a run that made whatever was named.
    pub any: bool,
    /// Answer any path that is not there with nothing in it.
    pub empty_files: bool,
    pub asked: RefCell<BTreeSet<String>>,
}

impl Project {
    pub fn empty() -> Project {
        Project {
            dir: None,
            stubs: BTreeMap::new(),
            any: false,
            empty_files: false,
            asked: RefCell::default(),
        }
    }

    /// The files that a run made: env files empty, everything else with a word in it.
    pub fn stubs_of(&mut self, names: &Value) {
        for stub in names.as_array().into_iter().flatten() {
            let path = stub.as_str().unwrap_or("");
            self.stub(path, if path.ends_with("env") { b"" } else { b"stub\n" });
        }
    }

    pub fn stub(&mut self, path: &str, content: &[u8]) {
        self.stubs.insert(compose::path::absolute("/PROJECT", path), content.to_vec());
    }
}

/// The variables of a run.
pub fn variables(given: &Value) -> BTreeMap<String, String> {
    let given = given.as_object().into_iter().flatten();
    given.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned())).collect()
}

impl Reader for Project {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        self.asked.borrow_mut().insert(path.to_owned());
        let real = self.dir.as_ref().zip(path.strip_prefix("/PROJECT/"));
        if let Some(bytes) = real.and_then(|(dir, rest)| std::fs::read(dir.join(rest)).ok()) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.stubs.get(path) {
            return Ok(bytes.clone());
        }
        if self.empty_files {
            return Ok(Vec::new());
        }
        if self.any && path != "/PROJECT" {
            Ok(b"stub\n".to_vec())
        } else {
            Err(ReadError::NotFound)
        }
    }
}

/// Loads texts as the CLI's runs did: project `/PROJECT`, `HOME=/HOME`, `PATH=/bin`, stack `demo`.
pub fn run(
    texts: &[&[u8]],
    project: &Project,
    variables: &BTreeMap<String, String>,
) -> Result<Loaded, Problems> {
    load(&input(texts, project, variables))
}

/// Only reads and merges them, as `docker stack config` does.
pub fn shown(
    texts: &[&[u8]],
    project: &Project,
    variables: &BTreeMap<String, String>,
) -> Result<Normalised, Problems> {
    normalise(&input(texts, project, variables))
}

fn input<'a>(
    texts: &[&[u8]],
    project: &'a Project,
    variables: &BTreeMap<String, String>,
) -> Input<'a> {
    let mut environment = variables.clone();
    environment.insert("HOME".to_owned(), "/HOME".to_owned());
    environment.insert("PATH".to_owned(), "/bin".to_owned());
    let name = |index| if index == 0 { "stack.yml".into() } else { format!("over{index}.yml") };
    Input {
        files: texts
            .iter()
            .enumerate()
            .map(|(index, text)| InputFile { name: name(index), bytes: text.to_vec() })
            .collect(),
        project_dir: "/PROJECT".to_owned(),
        environment,
        reader: project,
        stack: "demo".to_owned(),
        profiles: Vec::new(),
    }
}
