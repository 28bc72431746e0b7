//! The REST API: Docker's swarm part, and what Docker lacks, over the replicated state.
//!
//! A request becomes a read of the state or a command that is proposed; nothing is decided here
//! (`State::apply` judges specs), so every manager answers alike. [`Api::router`] serves paths with
//! and without a version in front. Whoever mounts it has authenticated the client.
//!
//! Read in this order: [`cluster`] (what is needed below), `front` (what every request passes),
//! `request` and `filter` (what clients send), `render` (what they get), then a file for each
//! kind of object.
//!
//! Deliberately absent: `/_ping`, `/info` and everything that a single engine answers, but for
//! [`containers`] of other nodes. The agent's socket serves those and puts [`/_swarm/info`](swarm) into the engine's `/info`.

mod backup;
pub mod cluster;
mod configs;
pub(crate) mod containers;
mod dashboard;
mod encode;
mod error;
mod events;
mod explain;
mod filter;
mod front;
mod journal;
mod logs;
mod lookup;
mod networks;
mod nodes;
mod openapi;
mod page;
mod progress;
mod rebalance;
mod render;
mod request;
mod secrets;
mod services;
mod stacks;
mod swarm;
mod tasks;
mod watch;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use orchestrator_core::command::{Batch, Command, Response};
use orchestrator_core::state::State;

pub use cluster::Cluster;
pub use error::ApiError;

use journal::Journal;

/// The API of one manager. Clones share it.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    cluster: Arc<dyn Cluster>,
    journal: Arc<Journal>,
    /// Feeds the journal.
    feeder: tokio::task::JoinHandle<()>,
    /// What was read of the CA's certificate, by its text: reading it costs more than a request.
    authorities: Mutex<Arc<render::Authorities>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.feeder.abort();
    }
}

impl Api {
    /// The API over a cluster. Begins to follow its changes, so it needs a Tokio runtime.
    #[must_use]
    pub fn new(cluster: Arc<dyn Cluster>) -> Api {
        let (journal, feeder) = Journal::follow(&cluster);
        Api(Arc::new(Inner { cluster, journal, feeder, authorities: Mutex::default() }))
    }

    /// Every path. To be mounted anywhere; on TCP only behind authentication.
    pub fn router(&self) -> Router {
        let routes = Router::new()
            .route("/services", get(services::list))
            .route("/services/create", post(services::create))
            .route("/services/{id}", get(services::inspect).delete(services::remove))
            .route("/services/{id}/update", post(services::update))
            .route("/services/{id}/logs", get(logs::of_service))
            .route("/services/{id}/progress", get(progress::of_service))
            .route("/tasks", get(tasks::list))
            .route("/tasks/{id}", get(tasks::inspect))
            .route("/tasks/{id}/logs", get(logs::of_task))
            .route("/nodes", get(nodes::list))
            .route("/nodes/{id}", get(nodes::inspect).delete(nodes::remove))
            .route("/nodes/{id}/update", post(nodes::update))
            .route("/networks", get(networks::list))
            .route("/networks/create", post(networks::create))
            .route("/networks/{id}", get(networks::inspect).delete(networks::remove))
            .route("/secrets", get(secrets::list))
            .route("/secrets/create", post(secrets::create))
            .route("/secrets/{id}", get(secrets::inspect).delete(secrets::remove))
            .route("/secrets/{id}/update", post(secrets::update))
            .route("/configs", get(configs::list))
            .route("/configs/create", post(configs::create))
            .route("/configs/{id}", get(configs::inspect).delete(configs::remove))
            .route("/configs/{id}/update", post(configs::update))
            .route("/swarm", get(swarm::inspect))
            .route("/swarm/update", post(swarm::update))
            .route("/swarm/unlockkey", get(swarm::unlock_key))
            .route("/swarm/unlock", post(swarm::unlock))
            .route("/swarm/init", post(swarm::already_part))
            .route("/swarm/join", post(swarm::already_part))
            .route("/_swarm/info", get(swarm::info))
            .route("/containers/{id}", any(containers::of_container))
            .route("/containers/{id}/{*rest}", any(containers::of_container_below))
            .route("/exec/{id}/{*rest}", any(containers::of_exec))
            .route("/events", get(events::list))
            .route("/watch", get(watch::list))
            .route("/explain/{kind}/{id}", get(explain::any))
            .route("/rebalance", post(rebalance::run))
            .route("/backup", get(backup::take).post(backup::restore))
            .route("/stacks", get(stacks::list))
            .route("/stacks/{name}", post(stacks::deploy).delete(stacks::remove))
            .route("/stacks/{name}/services", get(stacks::services))
            .route("/stacks/{name}/revisions", get(stacks::history))
            .route("/stacks/{name}/revisions/{number}", get(stacks::revision))
            .route("/stacks/{name}/rollback", post(stacks::rollback))
            .route("/openapi.json", get(openapi::show))
            .route("/dashboard", get(dashboard::to_page))
            .route("/dashboard/", get(dashboard::index))
            .route("/dashboard/settings.json", get(dashboard::settings))
            .route("/dashboard/{*path}", get(dashboard::asset))
            .fallback(no_such_page)
            .method_not_allowed_fallback(no_such_page)
            .with_state(self.clone());
        front::serve(routes)
    }

    /// The state, containing everything acknowledged before this call.
    async fn read(&self) -> Result<Arc<State>, ApiError> {
        Ok(self.0.cluster.read().await?)
    }

    /// The journal, containing everything acknowledged before this call.
    async fn journal(&self) -> Result<&Journal, ApiError> {
        let state = self.read().await?;
        self.0.journal.has_reached(state.revision().0).await;
        Ok(&self.0.journal)
    }

    /// Proposes one command.
    async fn propose(&self, command: Command) -> Result<Response, ApiError> {
        let batch = Batch { commands: vec![command], base: None };
        let applied = self.0.cluster.propose(batch).await?;
        match applied.responses.first() {
            Some(Ok(response)) => Ok(response.clone()),
            Some(Err(refusal)) => Err(refusal.clone().into()),
            None => Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the log answered nothing; read before trying again",
            )),
        }
    }

    /// Whom the cluster's nodes trust, read again when it changes.
    fn authorities(&self, state: &State) -> Arc<render::Authorities> {
        let Some(cluster) = state.cluster() else { return Arc::default() };
        let mut known =
            self.0.authorities.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !known.are_of(cluster) {
            *known = Arc::new(render::Authorities::of(cluster));
        }
        known.clone()
    }
}

async fn no_such_page() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "page not found")
}
