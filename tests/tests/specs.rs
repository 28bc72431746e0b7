//! The files in `specs/` are accepted as they are, and every image they name is one that we make.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use compose::{Input, InputFile, MemoryReader};
use sample_services::images::catalogue::Catalogue;

const MICROSERVICES: [&str; 4] =
    ["swarm-demo/nginx:1", "swarm-demo/microservices:1", "postgres:15", "mariadb:10.11"];

#[test]
fn every_spec_is_a_stack_without_a_problem_made_of_images_that_we_make() {
    let made: BTreeSet<String> = Catalogue::demo(b"")
        .and(Catalogue::probe(b""))
        .images
        .into_iter()
        .flat_map(|image| image.tags)
        // Packed from Debian's package, where that is installed.
        .chain(["redis:latest".to_owned()])
        // Made by scripts/images-microservices.sh.
        .chain(MICROSERVICES.map(str::to_owned))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("the folder specs") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".yml") {
            continue;
        }
        let loaded = compose::load(&Input {
            files: vec![InputFile { name: name.clone(), bytes: fs::read(&path).expect("a file") }],
            project_dir: "/specs".into(),
            environment: Default::default(),
            reader: &MemoryReader::default(),
            stack: "demo".into(),
            profiles: vec![],
        });
        let loaded = loaded.unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert!(loaded.warnings.is_empty(), "{name}: {}", loaded.warnings);
        for service in &loaded.stack.specs.services {
            let container = service.task_template.container_spec.as_ref().expect("a container");
            assert!(made.contains(&container.image), "{name}: no image {}", container.image);
        }
        names.insert(name);
    }
    for wanted in
        ["demo.yml", "self-healing.yml", "global-agent.yml", "jobs.yml", "microservices.yml"]
    {
        assert!(names.contains(wanted), "{wanted} is missing in {names:?}");
    }
}

#[test]
fn the_script_makes_every_image_of_the_microservices() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/images-microservices.sh");
    let script = fs::read_to_string(script).expect("the script");
    for image in MICROSERVICES {
        assert!(script.contains(&format!("pack \"$root\" {image} ")), "{image} is not made");
    }
}
