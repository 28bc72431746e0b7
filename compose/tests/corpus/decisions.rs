//! Where we differ from the docker CLI on purpose, as comparisons see it.
//!
//! Each decision takes its difference out of both sides and says so; what is left must be equal.
//! `docs/compose.md` has the reasons.

use std::collections::BTreeSet;
use std::fmt;

use compose::{Problem, Problems, Severity};
use serde_json::Value;

/// Makes both sides comparable: ids that the stand-in engine invented, order of lists that Go's
/// maps shuffle, and the differences that were decided. Names the decisions that mattered.
fn level(ours: &mut Value, theirs: &mut Value) -> Explained {
    let mut decisions = Explained::new();
    for side in [&mut *ours, &mut *theirs] {
        for list in ["networks", "secrets", "configs", "services"] {
            if let Some(Value::Array(items)) = side.get_mut(list) {
                items.sort_by_key(|i| i["Name"].as_str().unwrap_or("").to_owned());
            }
        }
        for service in services(side) {
            for (list, id) in [("Secrets", "SecretID"), ("Configs", "ConfigID")] {
                let container = &mut service["TaskTemplate"]["ContainerSpec"];
                for item in
                    container.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
                {
                    item[id] = Value::String(String::new());
                }
                if let Some(items) = container.get_mut(list).and_then(Value::as_array_mut) {
                    items.sort_by_key(Value::to_string);
                }
            }
            let config =
                service.pointer_mut("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec/Config");
            if let Some(config) = config {
                *config = Value::String(String::new());
            }
            let ports = service.pointer_mut("/EndpointSpec/Ports").and_then(Value::as_array_mut);
            if let Some(ports) = ports {
                ports.sort_by_key(Value::to_string);
            }
        }
    }
    let networks = theirs.get_mut("networks").and_then(Value::as_array_mut);
    for network in networks.into_iter().flatten() {
        if matches!(network["Driver"].as_str(), Some("bridge" | "nat")) {
            network["Driver"] = Value::String("overlay".to_owned());
            decisions.insert("network-driver");
        }
    }
    for service in services(theirs) {
        let policy = service.pointer_mut("/TaskTemplate/RestartPolicy/Condition");
        if let Some(condition) = policy.filter(|c| *c == "always") {
            *condition = Value::String("any".to_owned());
            decisions.insert("restart-always");
        }
    }
    let of_theirs = theirs.clone();
    for (index, service) in services(ours).enumerate() {
        let policy = service.pointer("/TaskTemplate/RestartPolicy");
        let cli = of_theirs["services"][index].pointer("/TaskTemplate/RestartPolicy");
        if cli.is_none() && policy.is_some_and(|p| p["Condition"] == "none") {
            remove(service, "/TaskTemplate", "RestartPolicy");
            decisions.insert("restart-no");
        }
        if remove(service, "/TaskTemplate/ContainerSpec", "Engine") {
            decisions.insert("engine-options");
        }
        if remove(service, "", "DependsOn") {
            decisions.insert("depends-on");
        }
    }
    decisions
}

fn remove(value: &mut Value, pointer: &str, key: &str) -> bool {
    value
        .pointer_mut(pointer)
        .and_then(Value::as_object_mut)
        .is_some_and(|map| map.remove(key).is_some())
}

fn services(side: &mut Value) -> impl Iterator<Item = &mut Value> {
    side.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten()
}

/// The decisions that explain what is different, by their names in `docs/compose.md`.
pub type Explained = BTreeSet<&'static str>;

/// One place at which two values differ.
pub struct Difference<'v> {
    pub path: String,
    pub ours: Option<&'v Value>,
    pub theirs: Option<&'v Value>,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |v: Option<&Value>| v.map_or("(absent)".to_owned(), Value::to_string);
        let (ours, theirs) = (shown(self.ours), shown(self.theirs));
        write!(f, "{}: ours {ours}, the CLI's {theirs}", self.path)
    }
}

/// Every place at which two values differ.
pub fn differences<'v>(ours: &'v Value, theirs: &'v Value) -> Vec<Difference<'v>> {
    let mut out = Vec::new();
    collect(Some(ours), Some(theirs), String::new(), &mut out);
    out
}

fn collect<'v>(
    ours: Option<&'v Value>,
    theirs: Option<&'v Value>,
    path: String,
    out: &mut Vec<Difference<'v>>,
) {
    match (ours, theirs) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                collect(a.get(key), b.get(key), format!("{path}/{key}"), out);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                collect(Some(x), Some(y), format!("{path}/{index}"), out);
            }
        }
        _ if ours == theirs => {}
        (Some(Value::Number(a)), Some(Value::Number(b))) if a.as_f64() == b.as_f64() => {}
        _ => out.push(Difference { path, ours, theirs }),
    }
}

/// Holds our requests against the CLI's: which decisions explain all that differs, or what none does.
pub fn requests(ours: &Value, theirs: &Value, text: &str) -> Result<Explained, String> {
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    for list in ["networks", "secrets", "configs", "services"] {
        if theirs[list].is_null() {
            theirs[list] = Value::Array(Vec::new());
        }
    }
    let mut decisions = level(&mut ours, &mut theirs);
    for difference in differences(&ours, &theirs) {
        let decision = of_request(&difference, text);
        decisions.insert(decision.ok_or_else(|| difference.to_string())?);
    }
    Ok(decisions)
}

fn of_request(difference: &Difference<'_>, text: &str) -> Option<&'static str> {
    let Difference { path, ours, theirs } = difference;
    let text_of = |v: &Option<&Value>| v.and_then(Value::as_str).unwrap_or("").to_owned();
    let (mine, cli) = (text_of(ours), text_of(theirs));
    let nested = ["${V:-$", "${V:?a $", "${V:-${"].iter().any(|form| text.contains(form));
    Some(match () {
        () if nested => "nested-defaults",
        () if mine.contains('$') && !cli.contains('$') => "masked-error",
        () if text.contains(":+") => "alternative-values",
        () if cli.ends_with(" 00:00:00 +0000 UTC") => "dates",
        () if cli.contains("e+") && mine.chars().all(|c| c.is_ascii_digit()) => "large-numbers",
        () if cli.starts_with("%!s(") => "host-numbers",
        () if path.ends_with("/Labels/") => "no-name",
        () if path.ends_with("/Env") || path.ends_with("/Sysctls") => "no-name",
        () if path.ends_with("/Protocol") && mine == cli.to_lowercase() => "protocol-case",
        () if path.ends_with("/TmpfsOptions/Mode") => "tmpfs-mode",
        () if path.ends_with("/BindOptions/CreateMountpoint") => "create-host-path",
        () if path.ends_with("/HostIP") && theirs.is_none() => "host-address",
        _ => return None,
    })
}

/// Holds our normalised document against the CLI's.
pub fn normalised(document: &compose::Document, theirs: &str) -> Result<Explained, String> {
    let mut problems = Vec::new();
    let tree = compose::yaml::parse::parse(theirs, compose::source::SourceId(0), &mut problems)
        .ok_or("the CLI's output cannot be read")?;
    let ours = without_version(unescape(document.to_json()));
    let theirs = without_version(tree.to_json());
    let mut decisions = Explained::new();
    for difference in differences(&ours, &theirs) {
        decisions.insert(of_document(&difference).ok_or_else(|| difference.to_string())?);
    }
    Ok(decisions)
}

fn of_document(difference: &Difference<'_>) -> Option<&'static str> {
    let Difference { path, ours, theirs } = difference;
    let last = path.rsplit('/').next().unwrap_or("");
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let under = |section: &str| parts.first() == Some(&section);
    let distinct = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().map(Value::to_string).collect()
    };
    Some(match (ours, theirs) {
        (Some(a), Some(b))
            if a.is_array() && last == "depends_on" && distinct(a) == distinct(b) =>
        {
            "depends-on-merged"
        }
        (Some(a), Some(b)) if a.is_array() && distinct(a) == distinct(b) => "lists-merged",
        _ if path.contains("/healthcheck/") && last == "test" => "healthcheck-test",
        _ if path.contains("/healthcheck/") && last == "disable" => "health-merged",
        (Some(Value::String(a)), Some(Value::String(b)))
            if b.strip_suffix(" 00:00:00 +0000 UTC") == Some(a) =>
        {
            "dates"
        }
        _ if last.is_empty() => "no-name",
        (None, Some(Value::Object(b))) if b.keys().all(String::is_empty) && !b.is_empty() => {
            "no-name"
        }
        (None, Some(b)) if last == "deploy" && b.pointer("/labels/").is_some() => "no-name",
        (Some(Value::String(a)), None) if a.is_empty() => "kept-keys",
        (None, Some(Value::Bool(false))) => "says-nothing",
        (None, Some(Value::Object(b))) if b.is_empty() => "says-nothing",
        (None | Some(Value::Bool(false)), Some(Value::Bool(true))) => "explicit-false",
        (Some(Value::String(a)), Some(Value::String(b))) if a.trim_start_matches('\n') == b => {
            "leading-lines"
        }
        (Some(Value::String(a)), Some(Value::String(b)))
            if b.starts_with(a) && b.ends_with('}') =>
        {
            "nested-defaults"
        }
        (Some(Value::String(a)), Some(Value::String(b)))
            if last == "target" && b.ends_with(&format!(":{a}")) =>
        {
            "drive-letter"
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if last == "ports" && a.len() > b.len() => {
            "ports-merged"
        }
        (Some(a), Some(Value::String(b))) if a.is_string() && b.contains("%!s(") => "host-numbers",
        (Some(Value::String(a)), Some(Value::String(b))) if b.contains("e+") && a.len() > 18 => {
            "large-numbers"
        }
        (Some(Value::String(a)), Some(Value::String(b))) if a == &b.to_lowercase() => {
            "protocol-case"
        }
        (Some(Value::String(a)), Some(Value::String(b)))
            if last == "file" && a.starts_with("/HOME/") && b.starts_with("/PROJECT/~") =>
        {
            "home"
        }
        (None, Some(Value::String(b)))
            if last == "file" && matches!(b.as_str(), "/PROJECT" | "/foo") =>
        {
            "no-content"
        }
        (Some(a), Some(b)) if last == "mode" && a.is_number() && b.is_number() => "octal-mode",
        (Some(_), None) if path.contains("/volumes/") && last == "source" => "drive-letter",
        (Some(_), None) if path.contains("/tmpfs/") && last == "mode" => "tmpfs-mode",
        (Some(Value::String(a)), Some(Value::String(b))) if a.contains('$') && !b.contains('$') => {
            "masked-error"
        }
        (Some(_), None) if last == "create_host_path" => "create-host-path",
        (None, Some(_)) if last == "env_file" => "env-files-read",
        (Some(_), None) if path.contains("/build/") || last == "bind" || last == "build" => {
            "kept-keys"
        }
        (Some(_), None) if last == "host_ip" => "host-address",
        (Some(_), None) if last.starts_with("x-") => "extensions",
        _ if path.contains("/x-cluster-spec/") => "extensions",
        (Some(_), None) if (under("networks") || under("volumes")) && parts.len() == 3 => {
            "definitions"
        }
        // A later file's zero counts here; the CLI keeps the earlier number.
        (None, Some(Value::Object(b))) if last == "deploy" && b.contains_key("placement") => {
            "explicit-false"
        }
        _ => return None,
    })
}

/// Dollar signs that are kept.
const SHELL: [&str; 9] = ["$(", "$?", "$#", "$@", "$*", "$!", "$-", "$1", "$2"];

/// Why we accept what the CLI refuses.
pub fn accepted_by(reason: &str) -> Option<&'static str> {
    let has = |part: &str| reason.contains(part);
    Some(match () {
        () if has("version") && (has("unsupported") || has("mismatched") || has("must be a")) => {
            "versions"
        }
        () if has("depends_on must be a list") => "specification-keys",
        () if has("must be a") || has("expected type") => "plain-meaning",
        () if has("Additional property") => "specification-keys",
        () if has("must be unique") => "duplicates",
        () if has("unsupported options") || has("forbidden properties") => "engine-options",
        () if has("interpolation format") && has("+") => "alternative-values",
        () if has("interpolation format") && SHELL.iter().any(|sign| reason.contains(sign)) => {
            "shell-dollars"
        }
        () if has("invalid reference format") || has("interpolation format") => "nested-defaults",
        () if has("+Inf") => "infinity",
        () if has("conflicting parameters") => "config",
        () if has("test and disable") => "health-merged",
        _ => return None,
    })
}

/// Why we refuse what the CLI accepts: a decision for each error, or the error that has none.
pub fn refused_by(problems: &Problems) -> Result<Explained, String> {
    let errors = problems.list.iter().filter(|p| p.severity == Severity::Error);
    let named = |p: &compose::Problem| of_refusal(&p.path, &p.message);
    let unnamed: Vec<String> =
        errors.clone().filter(|p| named(p).is_none()).map(Problem::line).collect();
    if unnamed.is_empty() {
        Ok(errors.filter_map(named).collect())
    } else {
        Err(unnamed.join(" | "))
    }
}

fn of_refusal(path: &str, message: &str) -> Option<&'static str> {
    let says = |part: &str| message.contains(part);
    Some(match () {
        () if says("is required") || says("`$` begins no variable") => "masked-error",
        () if path.contains("depends_on") => "depends-on-nothing",
        () if says("is negative") || says("cannot be negative") => "negative",
        () if says("second YAML document") => "second-document",
        () if says("the service has no image") => "config",
        () if says("`/HOME/") && says("cannot be read") => "home",
        () if says("does not go with `external: true`") => "external-and-more",
        () if path.contains(".volumes[") && says("there is no volume") => "drive-letter",
        () if says("is not known") => "unknown-words",
        () if [
            "is not a mount",
            "is not a number of CPUs",
            "bytes are too few",
            "is not absolute",
            "nothing can be mounted on",
            "less than a millisecond",
            "compares nothing",
            "is no ratio",
            "is reserved than the limit",
            "a test cannot begin with",
            "has no address",
            "is not a subnet",
            "`target` is missing",
            "has no `target`",
            "is not a port",
            "is not an IP address",
            "soft limit",
            "out of range",
            "is mounted at",
            "publishes port",
            "needs the endpoint mode",
            "is not a property of nodes",
            "does not go with the mode",
            "characters",
        ]
        .iter()
        .any(|part| says(part)) =>
        {
            "engine-refusals"
        }
        _ => return None,
    })
}

/// Our document doubles every `$` so that it reads back; the CLI's does not.
fn unescape(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("$$", "$")),
        Value::Array(items) => items.into_iter().map(unescape).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, unescape(v))).collect(),
        other => other,
    }
}

/// The version means nothing.
fn without_version(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.remove("version");
    }
    value
}
