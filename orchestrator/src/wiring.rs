//! Puts the parts of a manager together: sessions, leader loop and API over the log.

use std::sync::Arc;

use model::Millis;
use model::spec::{DEFAULT_HEARTBEAT, HEARTBEAT_LIMIT};
use tokio::sync::watch;

use crate::api::Api;
use crate::cluster::LiveCluster;
use crate::forward;
use crate::leader::{Clock, LeaderLoop};
use crate::manager::{Manager, Routes};
use crate::metrics;
use crate::sessions::{self, Leadership, Sessions, Settings};

/// Starts what runs beside the log and gives what is to be served. Needs a multi-threaded runtime.
#[must_use]
pub fn start(manager: &Manager) -> Routes {
    let log = manager.log.clone();
    let clock = Arc::new(Clock::default());
    let (leadership, told) = watch::channel(Leadership::default());
    let silence = Millis(DEFAULT_HEARTBEAT.0 * HEARTBEAT_LIMIT);
    let (settings, known) = watch::channel(Settings { heartbeat: DEFAULT_HEARTBEAT, silence });
    let (sessions, events) = Sessions::new(told, known);
    let cluster = LiveCluster {
        log: log.clone(),
        sessions: sessions.clone(),
        clock: clock.clone(),
        pool: manager.pool.clone(),
    };
    let api = Api::new(Arc::new(cluster)).router();
    let measured = sessions.clone();
    let leader = LeaderLoop { log: log.clone(), events, leadership, settings, clock };
    tokio::spawn(leader.run());
    Routes {
        managers: forward::managers(log.clone(), api.clone())
            .merge(sessions::for_managers(sessions.clone())),
        nodes: sessions::routes(sessions),
        // Of this manager, whoever leads.
        local: metrics::routes(log.clone(), measured).fallback_service(forward::local(
            log,
            manager.pool.clone(),
            api,
        )),
    }
}
