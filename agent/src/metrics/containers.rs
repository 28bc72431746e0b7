//! What the engine says of our containers' use of processor, memory and network.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use http::Method;
use model::metrics::{Family, Page};
use serde_json::Value;

use super::{
    CONTAINER_CPU, CONTAINER_LIMIT, CONTAINER_MEMORY, CONTAINER_RECEIVED, CONTAINER_SENT, ENGINE_UP,
};
use crate::engine::http::Endpoint;

/// For one question. A scrape has ten seconds by default, and there is more to be asked.
const ASK: Duration = Duration::from_secs(3);
/// For all containers: those whose numbers are not here by then are left out of this page.
const ALL: Duration = Duration::from_secs(5);
/// Containers asked for at the same time.
const AT_ONCE: usize = 8;

/// Containers of ours that run: those with the label of our tasks (percent-encoded JSON).
const LIST: &str = "/containers/json?filters=%7B%22label%22%3A%5B%22swarmctl.task%22%5D%7D";

/// One container's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    pub cpu_seconds: f64,
    pub memory: f64,
    pub limit: f64,
    pub received: f64,
    pub sent: f64,
}

impl Use {
    /// From the engine's `GET /containers/{id}/stats`.
    #[must_use]
    pub fn read(stats: &Value) -> Use {
        let number = |place: &str| stats.pointer(place).and_then(Value::as_f64).unwrap_or(0.0);
        // As `docker stats` counts: version 2 of control groups, else version 1.
        let cache = stats
            .pointer("/memory_stats/stats/inactive_file")
            .or_else(|| stats.pointer("/memory_stats/stats/total_inactive_file"));
        let cache = cache.and_then(Value::as_f64).unwrap_or(0.0);
        let networks = || stats.get("networks").and_then(Value::as_object).into_iter().flatten();
        let sum = |key: &str| {
            networks().filter_map(|(_, network)| network.get(key)?.as_f64()).sum::<f64>()
        };
        Use {
            cpu_seconds: number("/cpu_stats/cpu_usage/total_usage") / 1e9,
            memory: (number("/memory_stats/usage") - cache).max(0.0),
            limit: number("/memory_stats/limit"),
            received: sum("rx_bytes"),
            sent: sum("tx_bytes"),
        }
    }
}

/// One of a container's numbers.
type ValueOf = fn(&Use) -> f64;

/// Service and task to what its container uses. None when the engine does not answer.
async fn ask(engine: &Endpoint) -> Option<BTreeMap<(String, String), Use>> {
    let list = engine.json(Method::GET, LIST, None, ASK).await.ok()?;
    let containers = list.as_array().cloned().unwrap_or_default();
    let asked = futures_util::stream::iter(containers)
        .map(|container| async move {
            let label = |key: &str| {
                let labels = container.get("Labels")?;
                labels.get(format!("com.docker.swarm.{key}"))?.as_str().map(str::to_owned)
            };
            let task = slot(&label("task.name")?).to_owned();
            let name = (label("service.name")?, task);
            let id = container.get("Id")?.as_str()?;
            let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
            let stats = engine.json(Method::GET, &path, None, ASK).await.ok()?;
            Some((name, Use::read(&stats)))
        })
        .buffer_unordered(AT_ONCE);
    let mut found = BTreeMap::new();
    let mut asked = std::pin::pin!(asked);
    let all = async {
        while let Some(one) = asked.next().await {
            found.extend(one);
        }
    };
    // Late ones are missing from this page and are in the next.
    let _ = tokio::time::timeout(ALL, all).await;
    Some(found)
}

/// `web.1` of `web.1.<id>`: a replacement goes on with its slot's series, so that there are no more
/// series than slots.
fn slot(task: &str) -> &str {
    task.rsplit_once('.').map_or(task, |(slot, _)| slot)
}

/// Asks and writes.
pub(super) async fn write(page: &mut Page, engine: &Endpoint) {
    let found = ask(engine).await;
    page.one(&ENGINE_UP, f64::from(u8::from(found.is_some())));
    let found = found.unwrap_or_default();
    let families: [(&Family, ValueOf); 5] = [
        (&CONTAINER_CPU, |u| u.cpu_seconds),
        (&CONTAINER_MEMORY, |u| u.memory),
        (&CONTAINER_LIMIT, |u| u.limit),
        (&CONTAINER_RECEIVED, |u| u.received),
        (&CONTAINER_SENT, |u| u.sent),
    ];
    for (family, value) in families {
        page.all(
            family,
            found.iter().map(|((service, task), used)| {
                (vec![service.as_str(), task.as_str()], value(used))
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn use_is_read_from_both_versions_of_control_groups() {
        let stats = |cache: &str| {
            json!({
                "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000u64}},
                "memory_stats": {"usage": 1000, "limit": 4096, "stats": {cache: 300}},
                "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
            })
        };
        let wanted =
            Use { cpu_seconds: 2.5, memory: 700.0, limit: 4096.0, received: 11.0, sent: 22.0 };
        assert_eq!(Use::read(&stats("inactive_file")), wanted);
        assert_eq!(Use::read(&stats("total_inactive_file")), wanted);
        assert_eq!(Use::read(&json!({})), Use::default());
    }

    #[test]
    fn a_series_belongs_to_the_slot() {
        assert_eq!(slot("shop_web.1.k2j3h4k5"), "shop_web.1");
        assert_eq!(slot("odd"), "odd");
    }
}
