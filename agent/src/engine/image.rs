//! When an image is pulled and when the one that is here will do.
//!
//! A reference with a digest, or the policy `missing`: pulled only when it is not here. A tag without a
//! policy: its registry is asked, but a host without a way to it must not wait for that with every
//! container, so a registry that did not answer is left alone for [`LEAVE_ALONE`], and the image that is
//! here is used meanwhile. Pulls of one image at the same time are one pull.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::EngineError;

/// How long a registry that did not answer is not asked again for an image that is here.
pub const LEAVE_ALONE: Duration = Duration::from_secs(300);

/// How long a freshly pulled tag counts as fresh: one roll-out starts many tasks of one image.
pub const FRESH: Duration = Duration::from_secs(30);

/// How long a registry may take to accept a connection before the image that is here is used.
pub const REACH: Duration = Duration::from_millis(700);

/// An image that a container needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageWish {
    pub image: String,
    /// As `EngineOptions::pull_policy` has it.
    pub policy: String,
    /// `os/arch`, or empty.
    pub platform: String,
    /// The client's `X-Registry-Auth`.
    pub auth: Option<String>,
}

/// What to do about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Pull, whatever is here; a failure is one.
    Pull,
    /// Pull unless it is here.
    PullIfMissing,
    /// Pull; when that fails and it is here, use what is here.
    TryPull,
    /// Use what is here; a failure when it is not.
    Local,
}

impl ImageWish {
    /// What the policy means for this reference.
    #[must_use]
    pub fn need(&self) -> Need {
        match self.policy.as_str() {
            "always" => Need::Pull,
            "never" | "build" => Need::Local,
            "missing" | "if_not_present" => Need::PullIfMissing,
            _ if self.image.contains('@') || is_image_id(&self.image) => Need::PullIfMissing,
            // A tag; also Compose's `daily`, `weekly`, `every_…`: asking more often is right too.
            _ => Need::TryPull,
        }
    }

    /// `host:port` of the registry.
    #[must_use]
    pub fn registry(&self) -> String {
        let first = self.image.split_once('/').map_or("", |(first, _)| first);
        if first.contains('.') || first == "localhost" || first.contains(':') {
            if first.contains(':') { first.to_owned() } else { format!("{first}:443") }
        } else {
            String::from("registry-1.docker.io:443")
        }
    }
}

/// `sha256:…`: an image of this host, which no registry knows.
fn is_image_id(image: &str) -> bool {
    image.starts_with("sha256:")
}

type Pull = Shared<BoxFuture<'static, Result<(), EngineError>>>;

/// Pulls under way and what is known of registries.
#[derive(Default)]
pub struct Images {
    pulls: Mutex<BTreeMap<ImageWish, Pull>>,
    unreachable: Mutex<BTreeMap<String, Instant>>,
    fresh: Mutex<BTreeMap<ImageWish, Instant>>,
}

impl Images {
    /// Joins the pull of `wish` that is under way, or starts one. It ends when nobody waits for it.
    pub async fn pull(
        &self,
        wish: &ImageWish,
        start: impl FnOnce() -> BoxFuture<'static, Result<(), EngineError>>,
    ) -> Result<(), EngineError> {
        let pull = {
            let mut pulls = self.pulls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // A pull that every task has given up is dropped with its last waiter.
            pulls.retain(|_, p| p.peek().is_none() && p.strong_count() != Some(1));
            pulls.entry(wish.clone()).or_insert_with(|| start().shared()).clone()
        };
        let result = pull.await;
        let mut pulls = self.pulls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pulls.remove(wish);
        if result.is_ok() {
            note(&self.fresh, wish.clone());
        }
        result
    }

    /// Whether this very wish was pulled a moment ago.
    #[must_use]
    pub fn is_fresh(&self, wish: &ImageWish) -> bool {
        noted_within(&self.fresh, wish, FRESH)
    }

    /// Whether the registry takes connections, as far as is known; asks it when that was long ago.
    pub async fn reaches(&self, registry: &str) -> bool {
        if noted_within(&self.unreachable, &registry.to_owned(), LEAVE_ALONE) {
            return false;
        }
        let connect = crate::transport::resolve::connect(registry);
        let reached = matches!(tokio::time::timeout(REACH, connect).await, Ok(Ok(_)));
        if !reached {
            self.leave_alone(registry);
        }
        reached
    }

    /// The registry did not serve: use what is here for a while.
    pub fn leave_alone(&self, registry: &str) {
        note(&self.unreachable, registry.to_owned());
    }
}

fn note<K: Ord>(times: &Mutex<BTreeMap<K, Instant>>, key: K) {
    let mut times = times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    times.insert(key, Instant::now());
}

fn noted_within<K: Ord>(times: &Mutex<BTreeMap<K, Instant>>, key: &K, span: Duration) -> bool {
    let mut times = times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    times.retain(|_, at| at.elapsed() < LEAVE_ALONE);
    times.get(key).is_some_and(|at| at.elapsed() < span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(image: &str, policy: &str) -> ImageWish {
        ImageWish { image: image.into(), policy: policy.into(), ..ImageWish::default() }
    }

    #[test]
    fn the_policy_says_what_a_reference_needs() {
        for (image, policy, need) in [
            ("web:1", "", Need::TryPull),
            ("web@sha256:0", "", Need::PullIfMissing),
            ("sha256:0", "", Need::PullIfMissing),
            ("web@sha256:0", "always", Need::Pull),
            ("web:1", "missing", Need::PullIfMissing),
            ("web:1", "never", Need::Local),
            ("web:1", "every_12h", Need::TryPull),
        ] {
            assert_eq!(wish(image, policy).need(), need, "{image} {policy}");
        }
    }

    #[test]
    fn the_registry_is_the_part_before_the_first_slash_if_it_looks_like_a_host() {
        for (image, registry) in [
            ("web:1", "registry-1.docker.io:443"),
            ("team/web:1", "registry-1.docker.io:443"),
            ("registry.example/web:1", "registry.example:443"),
            ("registry.example:5000/web", "registry.example:5000"),
            ("localhost/web", "localhost:443"),
        ] {
            assert_eq!(wish(image, "").registry(), registry);
        }
    }

    #[tokio::test]
    async fn pulls_of_one_image_at_once_are_one_pull() {
        let images = Images::default();
        let (release, wait) = tokio::sync::oneshot::channel::<()>();
        let a = wish("a", "");
        let first = images.pull(&a, || {
            async move {
                let _ = wait.await;
                Ok(())
            }
            .boxed()
        });
        let second = images.pull(&a, || panic!("a second pull was started"));
        let release = async { release.send(()).expect("the first pull waits") };
        let (first, second, ()) = tokio::join!(biased; first, second, release);
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert!(images.is_fresh(&a));
    }
}
