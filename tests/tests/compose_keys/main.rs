//! Every key of a service, from the text of a Compose file to the container that an engine is asked for.
//!
//! The way is the real one: text, requests as JSON, entries of the log, plan, orders of the node, create
//! body. Only the log and the engine are left out. A key that nothing here shows fails the test.

mod cluster;
mod forms;
mod keys;

use std::collections::{BTreeMap, BTreeSet};

use agent::engine::create::{Given, Made, container};
use compose::schema::Fate;
use compose::schema::service::SERVICE_SHAPE;
use compose::{Input, InputFile, Loaded, MemoryReader};
use model::api::StackRequest;
use model::wire::orders::Orders;
use serde_json::{Value, json};

use cluster::Cluster;
use keys::Case;
use keys::Shows::{Absent, Body, Engine, File, Note, Spec, Told};

/// The service `a` says `what`; `b` is there to be named.
fn file(key: &str, what: &str) -> String {
    let image = if key == "image" { "" } else { "    image: x\n" };
    let what = match what.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
        Some(several) => several.replace(", ", "\n    "),
        None => what.to_owned(),
    };
    format!(
        "services:\n  a:\n{image}    {what}\n  b: {{image: y, user: of-b, volumes: ['/of-b:/of-b']}}\n\
         networks: {{n: }}\nvolumes: {{v: {{driver: local, driver_opts: {{type: tmpfs}}}}}}\n\
         configs: {{c: {{content: conf}}}}\nsecrets: {{k: {{environment: KEY}}}}\n\
         models: {{m: {{model: z}}}}\n"
    )
}

fn load(text: &str) -> Loaded {
    let reader = MemoryReader::default()
        .with("/p/f.env", "A=b\n")
        .with("/p/q.env", "Q='x' $TWO\n")
        .with("/p/p.json", "{\n \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n");
    let input = Input {
        files: vec![InputFile { name: "compose.yml".into(), bytes: text.into() }],
        project_dir: "/p".into(),
        environment: BTreeMap::from(
            [("KEY", "secret"), ("TWO", "2"), ("YES", "true"), ("HOME", "/home/me")]
                .map(|(k, v)| (k.into(), v.into())),
        ),
        reader: &reader,
        stack: "s".into(),
        profiles: Vec::new(),
    };
    compose::load(&input).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// The first container of the service `a`.
fn make(orders: &Orders) -> Result<Made, String> {
    let order = orders.tasks.values().find(|t| t.service_name == "s_a");
    let order = order.ok_or("no task was ordered")?;
    let networks = orders.networks.iter().map(|(id, n)| (*id, n.name.clone())).collect();
    container(order, &Given { networks, ..Given::default() }).map_err(|e| e.to_string())
}

/// Target and content of the only file of the service `a`.
fn only_file(orders: &Orders) -> Value {
    let order = orders.tasks.values().find(|t| t.service_name == "s_a").expect("a task");
    let spec = order.spec.container_spec.as_ref().expect("a container");
    let file = spec.secrets.iter().map(|s| &s.file).chain(spec.configs.iter().map(|c| &c.file));
    let target = file.flatten().next().map(|f| f.name.clone());
    let content = orders.secrets.values().chain(orders.configs.values()).next();
    json!([target, content.map(|c| c.data.clone())])
}

/// What is found, or why it is not.
fn found(case: &Case) -> Result<Value, String> {
    let (key, what, shows, _) = case;
    let loaded = load(&file(key, what));
    if matches!(shows, Note) {
        let lines = loaded.warnings.lines();
        let told =
            lines.iter().any(|l| l.contains(&format!("services.a.{key}: `{key}` is left out")));
        return if told { Ok(Value::Null) } else { Err(lines.join("\n")) };
    }
    if let Told(words) = shows {
        let lines = loaded.warnings.lines();
        let told = lines.iter().any(|l| l.contains("services.a.") && l.contains(words));
        return if told { Ok(Value::Null) } else { Err(lines.join("\n")) };
    }
    let specs = loaded.stack.specs;
    let request = StackRequest {
        networks: specs.networks,
        secrets: specs.secrets,
        configs: specs.configs,
        services: specs.services,
    };
    // As it goes over the wire.
    let sent = serde_json::to_string(&request).map_err(|e| e.to_string())?;
    let request: StackRequest = serde_json::from_str(&sent).map_err(|e| e.to_string())?;
    let service = request.services.iter().find(|s| s.name == "s_a");
    if matches!(shows, Absent) {
        return service.map_or(Ok(Value::Null), |_| Err("it takes part".into()));
    }
    let spec = serde_json::to_value(service).map_err(|e| e.to_string())?;
    let at = |value: &Value, pointer: &str| {
        value.pointer(pointer).cloned().ok_or_else(|| format!("nothing at {pointer} of {value}"))
    };
    if let Spec(pointer) = shows {
        return at(&spec, pointer);
    }
    let orders = Cluster::new().deploy(request);
    match shows {
        Body(pointer) => at(&make(&orders)?.body, pointer),
        Engine("platform") => Ok(json!(make(&orders)?.platform)),
        Engine(field) => {
            let order = orders.tasks.values().find(|t| t.service_name == "s_a");
            let order = order.ok_or("no task was ordered")?;
            let task = serde_json::to_value(&*order.spec).map_err(|e| e.to_string())?;
            at(&task, &format!("/ContainerSpec/Engine/{field}"))
        }
        File => Ok(only_file(&orders)),
        Spec(_) | Note | Told(_) | Absent => Ok(Value::Null),
    }
}

/// What is not as the cases say.
fn wrong(cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let (key, what, _, expected) = case;
        let expected: Value = if expected.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(expected).expect(key)
        };
        match found(case) {
            Ok(value) if value == expected => {}
            Ok(value) => wrong.push(format!("{key} ({what}): {value}, expected {expected}")),
            Err(why) => wrong.push(format!("{key} ({what}): {why}")),
        }
    }
    wrong
}

#[test]
fn every_key_of_a_service_reaches_the_container_or_the_user_is_told() {
    let cases = keys::every_key();
    let mut wrong = wrong(&cases);
    let shown: BTreeSet<&str> = cases.iter().map(|(key, ..)| *key).collect();
    for field in SERVICE_SHAPE.fields {
        let noted = matches!(field.fate, Fate::Noted(_));
        let as_noted =
            cases.iter().any(|(k, _, shows, _)| k == &field.name && matches!(shows, Note));
        if !shown.contains(field.name) || noted != as_noted {
            wrong.push(format!("{}: no case shows what becomes of it", field.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_form_of_a_key_means_the_same_in_the_container() {
    let wrong = wrong(&forms::every_form());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
