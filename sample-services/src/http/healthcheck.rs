//! `healthcheck`: asks the service in the same container whether it is alive, for images that have
//! no shell to ask with.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;

use super::client::{self, Base};
use crate::settings;

/// Less than the time limit that the images give a health check.
const LIMIT: Duration = Duration::from_millis(1500);

/// `GET /health` on `PORT`; fails unless the answer is 200.
pub async fn run() -> anyhow::Result<()> {
    let base = Base { host: "127.0.0.1".to_owned(), port: settings::port("PORT", 80)? };
    let request =
        Request::get("/health").body(Empty::<Bytes>::new()).context("make the request")?;
    let answer = client::fetch(&base, request, LIMIT).await?;
    let text = String::from_utf8_lossy(answer.body());
    ensure!(answer.status() == 200, "{} {text}", answer.status());
    println!("{text}");
    Ok(())
}
