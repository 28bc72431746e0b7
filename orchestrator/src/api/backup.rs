//! `/backup`: what clients have written, as one document, and the way back.
//!
//! A backup is what was asked for, not what became of it: specs with names instead of ids. To restore
//! is to ask for it again, by the commands that any client's requests become, so everything is checked
//! as usual. Like a stack's deployment it is tried on a copy of the state first.
//!
//! Deliberately absent: tasks, the certificate authority, join tokens, node ids. A new cluster has its
//! own; hosts join it anew. (The whole of a manager's disk is another kind of backup, see the
//! operations page.)

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use model::api::{
    BACKUP_FORMAT, Backup, BackupNode, BackupService, Moment, RestoreReply, StackAction,
};
use model::object::Service;
use model::spec::{Availability, ModeKind, ServiceSpec};
use model::{ConfigId, Id, NetworkId, SecretId};
use orchestrator_core::command::{Batch, Command, Kind, Refusal, Response as Done};
use orchestrator_core::state;

use super::Api;
use super::error::{ApiError, json};
use super::request::{Body, Params};
use super::stacks::plan::{Trial, write_ids};

/// Bytes of commands in one entry of the log, about: half of what it takes.
const CHUNK: usize = 4 << 20;

pub(super) async fn take(State(api): State<Api>) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let mut answer = json(StatusCode::OK, &backup(&state));
    // It holds secrets: nothing between here and there should keep it.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// What a restoration does with what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    /// Nothing may be there.
    Refuse,
    /// It becomes what the backup says; what the backup has not is removed.
    Replace,
}

/// Whether jobs are restored, which runs them again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Jobs {
    Leave,
    Run,
}

pub(super) async fn restore(
    State(api): State<Api>,
    params: Params,
    Body(backup): Body<Backup>,
) -> Result<Response, ApiError> {
    if backup.format != BACKUP_FORMAT {
        return Err(ApiError::bad_request(format!(
            "this is no backup that can be read: its format is {}, this program reads {BACKUP_FORMAT}",
            backup.format
        )));
    }
    let there = if params.flag("replace") { There::Replace } else { There::Refuse };
    let jobs = if params.flag("jobs") { Jobs::Run } else { Jobs::Leave };
    let state = api.read().await?;
    let trial = plan(&state, &backup, there, jobs)?;
    let dry_run = params.flag("dryRun");
    let mut reply = RestoreReply { dry_run, changes: trial.changes, warnings: trial.warnings };
    if dry_run {
        let made = |c: &&mut model::api::StackChange| c.action == StackAction::Create;
        reply.changes.iter_mut().filter(made).for_each(|change| change.id.clear());
        return Ok(json(StatusCode::OK, &reply));
    }
    let responses = propose(&api, trial.commands, state.revision()).await?;
    write_ids(&mut reply.changes, &responses);
    Ok(json(StatusCode::OK, &reply))
}

/// Proposes everything; whole or not at all if one entry of the log can hold it.
async fn propose(
    api: &Api,
    commands: Vec<Command>,
    base: model::object::Revision,
) -> Result<Vec<Result<Done, Refusal>>, ApiError> {
    let all = commands.len();
    let chunks = chunks(commands);
    let base = (chunks.len() == 1).then_some(base);
    let mut responses = Vec::with_capacity(all);
    for commands in chunks {
        let applied = api.0.cluster.propose(Batch { commands, base }).await?;
        responses.extend(applied.responses.iter().cloned());
        let refused = applied.responses.iter().find_map(|r| r.as_ref().err());
        let Some(refused) = refused else { continue };
        let mut error = ApiError::from(refused.clone());
        if base.is_none() {
            let done = responses.iter().filter(|r| r.is_ok()).count();
            error.message = format!(
                "{}; {done} of {all} changes were made: restore once more, replacing what is there",
                error.message
            );
        }
        return Err(error);
    }
    Ok(responses)
}

fn chunks(commands: Vec<Command>) -> Vec<Vec<Command>> {
    let mut chunks: Vec<Vec<Command>> = Vec::new();
    let mut bytes = CHUNK;
    for command in commands {
        // What cannot be written will be refused by the log.
        let size = serde_json::to_vec(&command).map_or(0, |text| text.len());
        if bytes + size > CHUNK {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = chunks.last_mut() {
            last.push(command);
        }
    }
    chunks
}

/// Everything that clients have written.
fn backup(state: &state::State) -> Backup {
    let networks = state.networks().filter(|n| n.removed.is_none() && !n.spec.ingress);
    let services = state.services().filter(|s| s.removed.is_none());
    Backup {
        format: BACKUP_FORMAT,
        cluster_id: state.cluster().map(|c| c.id.to_string()).unwrap_or_default(),
        created_at: Moment(state.clock()),
        revision: state.revision().0,
        program: concat!("swarmctl ", env!("CARGO_PKG_VERSION")).to_owned(),
        spec: state.cluster().map(|c| c.spec.clone()).unwrap_or_default(),
        nodes: state
            .nodes()
            .map(|node| BackupNode {
                hostname: node.description.hostname.clone(),
                role: node.spec.role,
                availability: node.spec.availability,
                labels: node.spec.labels.clone(),
            })
            .collect(),
        networks: networks.map(|n| (*n.spec).clone()).collect(),
        secrets: state.secrets().map(|s| (*s.spec).clone()).collect(),
        configs: state.configs().map(|c| (*c.spec).clone()).collect(),
        services: services
            .map(|service| BackupService {
                spec: by_names(state, service),
                registry_auth: service.registry_auth.clone(),
            })
            .collect(),
        stacks: state.stacks().map(|stack| (**stack).clone()).collect(),
    }
}

/// The spec with names where it has ids.
fn by_names(state: &state::State, service: &Service) -> ServiceSpec {
    let mut spec = (*service.spec).clone();
    let networks = spec.task_template.networks.iter_mut().chain(&mut spec.networks);
    for network in networks {
        let known = network.target.parse::<Id>().ok().and_then(|id| state.network(NetworkId(id)));
        if let Some(known) = known {
            network.target.clone_from(&known.spec.name);
        }
    }
    let Some(container) = &mut spec.task_template.container_spec else { return spec };
    for secret in &mut container.secrets {
        let known = secret.secret_id.parse::<Id>().ok().and_then(|id| state.secret(SecretId(id)));
        if let Some(known) = known {
            secret.secret_id.clone_from(&known.spec.name);
            secret.secret_name.clone_from(&known.spec.name);
        }
    }
    for config in &mut container.configs {
        let known = config.config_id.parse::<Id>().ok().and_then(|id| state.config(ConfigId(id)));
        if let Some(known) = known {
            config.config_id.clone_from(&known.spec.name);
            config.config_name.clone_from(&known.spec.name);
        }
    }
    spec
}

fn plan(
    state: &state::State,
    backup: &Backup,
    there: There,
    jobs: Jobs,
) -> Result<Trial, ApiError> {
    if let (There::Refuse, Some(what)) = (there, content(state)) {
        let message = format!(
            "the cluster is not empty: it has {what}. Restore into a new cluster, or say that what is \
             there is to be replaced (swarmctl restore --replace): what the backup has not is removed"
        );
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    let mut trial = Trial::of_everything(state);
    let is_job = |spec: &ServiceSpec| {
        matches!(spec.mode.kind(), ModeKind::ReplicatedJob { .. } | ModeKind::GlobalJob)
    };
    let known = |name: &str| backup.services.iter().any(|s| s.spec.name == name);
    trial.remove_services_but(known);
    backup.networks.iter().for_each(|spec| trial.network(spec));
    backup.secrets.iter().for_each(|spec| trial.secret(spec));
    backup.configs.iter().for_each(|spec| trial.config(spec));
    for service in &backup.services {
        if is_job(&service.spec) && jobs == Jobs::Leave {
            let name = &service.spec.name;
            trial.warnings.push(format!(
                "job {name} is left out, because it would run again (swarmctl restore --jobs)"
            ));
            continue;
        }
        trial.service(&service.spec, service.registry_auth.as_deref());
    }
    trial.remove_unnamed(backup);
    hosts(&mut trial, backup);
    settings(&mut trial, backup);
    histories(&mut trial, backup);
    if trial.problems.is_empty() {
        return Ok(trial);
    }
    Err(ApiError::bad_request(trial.problems.join("\n")))
}

/// What clients have made; None when there is nothing.
fn content(state: &state::State) -> Option<String> {
    let networks = state.networks().filter(|n| n.removed.is_none() && !n.spec.ingress);
    let found: Vec<String> = [
        (state.services().filter(|s| s.removed.is_none()).count(), "service"),
        (networks.count(), "network"),
        (state.secrets().len(), "secret"),
        (state.configs().len(), "config"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}{}", if number == 1 { "" } else { "s" }))
    .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// Hosts of the same name get their labels and availability back.
fn hosts(trial: &mut Trial, backup: &Backup) {
    for wanted in &backup.nodes {
        let found = trial.state().find_node(&wanted.hostname).one().cloned();
        let Some(node) = found else {
            if !wanted.labels.is_empty() || wanted.availability != Availability::Active {
                let labels: Vec<String> =
                    wanted.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                trial.warnings.push(format!(
                    "host {} is not in this cluster: its labels ({}) and availability ({}) come back \
                     with swarmctl node update once it has joined",
                    wanted.hostname,
                    labels.join(", "),
                    wanted.availability.name()
                ));
            }
            continue;
        };
        let mut spec = node.spec.clone();
        spec.labels.clone_from(&wanted.labels);
        spec.availability = wanted.availability;
        if spec != node.spec {
            let (id, version) = (node.id, node.meta.version);
            let command = Command::UpdateNode { id, version, spec: Box::new(spec) };
            trial.try_one(StackAction::Update, Kind::Node, &wanted.hostname, command);
        }
    }
}

fn settings(trial: &mut Trial, backup: &Backup) {
    let Some(cluster) = trial.state().cluster().cloned() else { return };
    let mut spec = backup.spec.clone();
    // Locking draws a key, which somebody has to be told.
    if spec.encryption_config.auto_lock_managers
        && !cluster.spec.encryption_config.auto_lock_managers
    {
        let how = "lock them with swarm update --autolock=true";
        trial.warnings.push(format!("managers were locked by a key and are not any more: {how}"));
    }
    spec.encryption_config = cluster.spec.encryption_config.clone();
    // How often the other cluster's authority was rotated says nothing of this one's.
    spec.ca_config.force_rotate = cluster.spec.ca_config.force_rotate;
    if cluster.spec != spec {
        let command = Command::update_cluster(cluster.meta.version, spec);
        trial.try_one(StackAction::Update, Kind::Cluster, &backup.spec.name, command);
    }
}

fn histories(trial: &mut Trial, backup: &Backup) {
    for stack in trial.state().stacks().map(|s| s.name.clone()).collect::<Vec<_>>() {
        trial.commands.push(Command::ForgetStack { name: stack });
    }
    for stack in &backup.stacks {
        for revision in &stack.revisions {
            trial.commands.push(Command::RecordStack {
                name: stack.name.clone(),
                number: revision.number,
                at: Some(revision.at),
                rollback_to: revision.rollback_to,
                request: Box::new(revision.request.clone()),
            });
        }
    }
}
