//! Watches the engine: tells the worker when it comes, when it goes, and what happens to containers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::Event;
use crate::engine::Containers;

/// After the engine went away or refused to be watched: it is asked again after this, which doubles up
/// to [`LONGEST`].
pub(super) const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Runs until `stop`.
pub(super) async fn run(
    engine: Arc<dyn Containers>,
    events: UnboundedSender<Event>,
    stop: CancellationToken,
) {
    let mut pause = PAUSE;
    loop {
        let round = async {
            let mut happened = match engine.watch().await {
                Ok(happened) => happened,
                Err(error) => return error.to_string(),
            };
            pause = PAUSE;
            if events.send(Event::EngineHere).is_err() {
                return String::new();
            }
            while let Some(one) = happened.next().await {
                if events.send(Event::Happened(one)).is_err() {
                    break;
                }
            }
            String::from("its stream of events ended")
        };
        let why = tokio::select! {
            () = stop.cancelled() => return,
            why = round => why,
        };
        if events.send(Event::EngineGone(why)).is_err() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST),
        }
    }
}
