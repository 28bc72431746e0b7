//! The official conformance data: files of the Compose Specification's own tests, and the docker
//! CLI's file that uses every key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use compose::{
    Input, InputFile, Normalised, Problem, Problems, ReadError, Reader, Severity, normalise,
};

use crate::decisions::normalised;
use crate::place::corpus;

/// Real files below the corpus.
struct Folder;

impl Reader for Folder {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        std::fs::read(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => ReadError::NotFound,
            _ => ReadError::Other(e.to_string()),
        })
    }
}

fn read(file: &Path, environment: &[(&str, &str)]) -> Result<Normalised, Problems> {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    normalise(&Input {
        files: vec![InputFile {
            name: file.file_name().expect("a name").to_string_lossy().into_owned(),
            bytes: std::fs::read(file).expect("a file"),
        }],
        project_dir: file.parent().expect("a folder").display().to_string(),
        environment: environment.iter().map(own).collect(),
        reader: &Folder,
        stack: "conformance".into(),
        profiles: vec!["*".into()],
    })
}

fn yaml_below(folder: &Path, out: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_below(&path, out);
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            out.insert(path);
        }
    }
}

/// What a file may be refused for: it is broken on purpose, or needs something that is not there.
const REASONS: [&str; 8] = [
    "includes itself",
    "the file is empty",
    "this is nothing",
    "cannot be read: no such file",
    "there is no key `wrongField` here",
    "is not a mount: nothing stands between two colons",
    "is required: ID variable must be set",
    "there is no service",
];

#[test]
fn files_of_the_specifications_tests_are_read() {
    let Some(corpus) = corpus() else { return };
    let mut wrong = Vec::new();
    for folder in ["compose-go", "compose-go-2.10", "conformance-tests", "docker-compose-e2e"] {
        let mut files = BTreeSet::new();
        yaml_below(&corpus.join("conformance").join(folder), &mut files);
        let (mut read_well, mut refused) = (0, 0);
        for file in files {
            // Other YAML lies beside them: Kubernetes manifests, lists of commands.
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let compose = ["services:", "include:", "volumes:"]
                .iter()
                .any(|key| text.starts_with(key) || text.contains(&format!("\n{key}")));
            if !compose || text.contains("apiVersion:") {
                continue;
            }
            let Err(problems) = read(&file, &[("HOME", "/home/user")]) else {
                read_well += 1;
                continue;
            };
            refused += 1;
            let errors: Vec<String> = problems
                .list
                .iter()
                .filter(|p| p.severity == Severity::Error)
                // Only a deploy needs it.
                .filter(|p| !p.message.contains("has no image"))
                .filter(|p| !REASONS.iter().any(|reason| p.message.contains(reason)))
                .map(Problem::line)
                .collect();
            if !errors.is_empty() {
                let short = file.strip_prefix(&corpus).expect("below").display();
                wrong.push(format!("{short}: {}", errors.join(" | ")));
            }
        }
        println!(
            "conformance/{folder}: {read_well} read, {refused} refused for what is wrong in them"
        );
    }
    wrong.iter().for_each(|line| println!("  {line}"));
    assert!(wrong.len() <= 2, "{} files are refused", wrong.len());
}

/// Where the docker CLI's own tests read their file.
struct Golden(PathBuf);

impl Reader for Golden {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let below = path.strip_prefix("/foo/").ok_or(ReadError::NotFound)?;
        std::fs::read(self.0.join(below)).map_err(|_| ReadError::NotFound)
    }
}

#[test]
fn the_docker_clis_file_with_every_key_is_normalised_as_its_golden_files_say() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("conformance/docker-cli-loader");
    let variables = [("HOME", "/bar"), ("QUX", "qux_from_environment")];
    let shown = normalise(&Input {
        files: vec![InputFile {
            name: "full-example.yml".into(),
            bytes: std::fs::read(folder.join("full-example.yml")).expect("a file"),
        }],
        project_dir: "/foo".into(),
        environment: variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        reader: &Golden(folder.clone()),
        stack: String::new(),
        profiles: Vec::new(),
    });
    let shown = shown.unwrap_or_else(|problems| panic!("{problems}"));
    let golden = std::fs::read_to_string(folder.join("testdata/full-example.yaml.golden"));
    let decisions = normalised(&shown.document, &golden.expect("golden"));
    println!("full-example.yml as YAML: equal but for {:?}", decisions.expect("explained"));
    let golden = std::fs::read_to_string(folder.join("testdata/full-example.json.golden"));
    let decisions = normalised(&shown.document, &golden.expect("golden"));
    println!("full-example.yml as JSON: equal but for {:?}", decisions.expect("explained"));
}
