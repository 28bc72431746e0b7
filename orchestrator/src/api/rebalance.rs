//! `/rebalance`: has tasks moved so that services are spread evenly again.
//!
//! What moves is the planner's answer (`orchestrator_core::plan::rebalance`); here it is asked for,
//! marked and shown. How fast is each service's own matter: a marked task is replaced as one on a
//! drained node is.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::NodeId;
use model::api::{LeftService, RebalanceReply, TaskMove};
use model::object::Slot;
use orchestrator_core::command::Command;
use orchestrator_core::plan::{Left, Rebalance, rebalance};
use orchestrator_core::state;

use super::error::{ApiError, json};
use super::request::Params;
use super::{Api, lookup};

/// `services=` names some, with commas between them; without it all are looked at.
pub(super) async fn run(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let state = api.read().await?;
    let mut only = BTreeSet::new();
    for name in params.text("services").split(',').map(str::trim).filter(|n| !n.is_empty()) {
        only.insert(lookup::service(&state, name)?.id);
    }
    let found = rebalance(&state, &only);
    let dry_run = params.flag("dryRun");
    if !dry_run && !found.moves.is_empty() {
        let tasks = found.moves.iter().map(|m| m.task).collect();
        api.propose(Command::MoveTasks { tasks }).await?;
    }
    Ok(json(StatusCode::OK, &shown(&state, &found, dry_run)))
}

fn shown(state: &state::State, found: &Rebalance, dry_run: bool) -> RebalanceReply {
    let host = |id: NodeId| {
        state.node(id).map(|n| n.description.hostname.clone()).unwrap_or_else(|| id.to_string())
    };
    let name_of = |id| state.service(id).map(|s| s.spec.name.clone()).unwrap_or_default();
    let moves = found.moves.iter().map(|it| TaskMove {
        name: match it.slot {
            Slot::Replica(number) => format!("{}.{number}", name_of(it.service)),
            Slot::Node(node) => format!("{}.{node}", name_of(it.service)),
        },
        task_id: it.task.to_string(),
        service_id: it.service.to_string(),
        from: host(it.from),
        to: host(it.to),
    });
    let left = found.left.iter().map(|(id, why)| LeftService {
        service: name_of(*id),
        reason: match why {
            Left::Changing => "an update or an earlier rebalancing is not done",
            Left::HasVolumes => {
                "its tasks have volumes on their hosts, which would stay behind (name the service to \
                 move them all the same)"
            }
        }
        .to_owned(),
    });
    RebalanceReply { dry_run, moves: moves.collect(), left: left.collect() }
}
