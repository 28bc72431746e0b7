//! Keeps documents in Redis: each written whole or not at all, listed newest first.
//!
//! Layout for the kind `customers`: hash `customers` (id -> document), sorted set `customers:order`
//! (id by number), counter `customers:seq`. One transaction writes the document and its place in
//! every list, so no reader ever sees half of it. Writing the same id again changes nothing, so a
//! write whose answer got lost may be repeated.
//!
//! The connection is opened when first needed and again whenever it fails: services start in any
//! order and outlive their Redis. One connection serves all requests (they are pipelined).

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Connecting, name look-up included.
const CONNECT: Duration = Duration::from_millis(800);

/// One command's answer; Redis answers in well under a millisecond.
const ANSWER: Duration = Duration::from_millis(800);

/// Attempts for one operation: the second is for a connection that broke while idle.
const ATTEMPTS: u32 = 2;

pub struct Store {
    client: Client,
    address: String,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    /// Which connection this is, so that only the first to see it fail drops it.
    number: u64,
    last_failure: Option<(Instant, String)>,
}

/// Redis did not help. Nothing is half written; the operation may be tried again.
#[derive(Debug, thiserror::Error)]
#[error("redis at {address}: {reason}")]
pub struct StoreError {
    pub address: String,
    pub reason: String,
}

/// A stretch of a list, newest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub documents: Vec<String>,
    /// How many documents the whole list has.
    pub total: u64,
    /// Where the next page starts, if there is one.
    pub next: Option<u64>,
}

impl Store {
    /// Does not connect yet.
    ///
    /// # Errors
    /// When the host name cannot be one.
    pub fn new(host: &str, port: u16) -> Result<Self, RedisError> {
        let client = Client::open((host, port))?;
        Ok(Self { client, address: format!("{host}:{port}"), link: Mutex::default() })
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut ping = redis::pipe();
        ping.cmd("PING").ignore();
        self.run(&ping).await
    }

    /// Writes the document under `id` and into the list of all and the `lists` named.
    pub async fn put(
        &self,
        kind: &str,
        id: Uuid,
        document: &str,
        lists: &[String],
    ) -> Result<(), StoreError> {
        let mut next = redis::pipe();
        next.cmd("INCR").arg(format!("{kind}:seq"));
        let (number,): (u64,) = self.run(&next).await?;
        let id = id.to_string();
        let mut write = redis::pipe();
        write.atomic().cmd("HSET").arg(kind).arg(&id).arg(document).ignore();
        for list in std::iter::once(&format!("{kind}:order")).chain(lists) {
            write.cmd("ZADD").arg(list).arg(number).arg(&id).ignore();
        }
        self.run(&write).await
    }

    pub async fn get(&self, kind: &str, id: Uuid) -> Result<Option<String>, StoreError> {
        let mut read = redis::pipe();
        read.cmd("HGET").arg(kind).arg(id.to_string());
        let (document,): (Option<String>,) = self.run(&read).await?;
        Ok(document)
    }

    /// At most `limit` documents of `list` (default: all of the kind), older than `before`.
    pub async fn page(
        &self,
        kind: &str,
        list: Option<&str>,
        limit: u64,
        before: Option<u64>,
    ) -> Result<Page, StoreError> {
        let list = list.map_or_else(|| format!("{kind}:order"), str::to_owned);
        let start = before.map_or_else(|| "+inf".to_owned(), |number| format!("({number}"));
        let mut read = redis::pipe();
        // One more than asked for tells whether there is a next page.
        read.atomic().cmd("ZCARD").arg(&list);
        read.cmd("ZREVRANGEBYSCORE").arg(&list).arg(start).arg("-inf").arg("WITHSCORES");
        read.arg("LIMIT").arg(0).arg(limit + 1);
        let (total, mut found): (u64, Vec<(String, u64)>) = self.run(&read).await?;
        let more = found.len() as u64 > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = if more { found.last().map(|(_, number)| *number) } else { None };
        if found.is_empty() {
            return Ok(Page { documents: Vec::new(), total, next: None });
        }
        let mut read = redis::pipe();
        read.cmd("HMGET").arg(kind);
        for (id, _) in &found {
            read.arg(id);
        }
        let (documents,): (Vec<Option<String>>,) = self.run(&read).await?;
        Ok(Page { documents: documents.into_iter().flatten().collect(), total, next })
    }

    /// Runs the commands, once more on a new connection when the old one turns out broken.
    async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreError> {
        let mut attempt = 1;
        loop {
            let (number, mut connection) = self.connection().await?;
            let error = match commands.query_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let reason = describe(&error);
            if error.is_io_error() || error.is_unrecoverable_error() || error.is_timeout() {
                self.drop_connection(number).await;
                if attempt < ATTEMPTS {
                    attempt += 1;
                    continue;
                }
            }
            return Err(self.failed(reason));
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        let asked = Instant::now();
        let mut link = self.link.lock().await;
        if let Some(connection) = &link.connection {
            return Ok((link.number, connection.clone()));
        }
        // Whoever waited here while another tried in vain shares that outcome: otherwise a burst of
        // requests to a silent address would wait for it one after the other.
        if let Some((at, reason)) = &link.last_failure
            && *at >= asked
        {
            return Err(self.failed(reason.clone()));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                link.number += 1;
                link.connection = Some(connection.clone());
                tracing::info!(redis = self.address, "connected");
                Ok((link.number, connection))
            }
            Err(error) => {
                let reason = describe(&error);
                link.last_failure = Some((Instant::now(), reason.clone()));
                Err(self.failed(reason))
            }
        }
    }

    async fn drop_connection(&self, number: u64) {
        let mut link = self.link.lock().await;
        if link.number == number {
            link.connection = None;
        }
    }

    fn failed(&self, reason: String) -> StoreError {
        StoreError { address: self.address.clone(), reason }
    }
}

fn describe(error: &RedisError) -> String {
    let text = match error.is_timeout() {
        true => "no answer in time".to_owned(),
        false => error.to_string(),
    };
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
