//! The log's clock: the host's, or, on a thread that simulates, a virtual one.
//!
//! Virtual time stands still while anything is to be done and then goes on to the next moment at
//! which something is; what would block a thread is done at once, in place. So a simulation of
//! minutes takes as long as its work, and goes the same way each time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

type RealInstant = std::time::Instant;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(RealInstant);

impl Instant {
    pub(crate) fn now() -> Instant {
        let virtually = VIRTUAL.with_borrow(|v| v.as_ref().map(|v| v.now));
        virtually.unwrap_or_else(|| Instant(RealInstant::now()))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().0.saturating_duration_since(self.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, by: Duration) -> Instant {
        Instant(self.0 + by)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        self.0 += by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, by: Duration) -> Instant {
        Instant(self.0 - by)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.0 - earlier.0
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, by: Duration) {
        self.0 -= by;
    }
}

impl openraft::Instant for Instant {
    fn now() -> Self {
        Instant::now()
    }
}

/// It took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("not done in time")]
pub(crate) struct Elapsed;

pin_project! {
    /// Waits for a moment.
    #[project = Waiting]
    pub(crate) enum Sleep {
        Real { #[pin] sleep: tokio::time::Sleep },
        Virtual { timer: Timer },
    }
}

/// A moment that somebody waits for, in virtual time. Nobody is waked for one that was dropped.
pub(crate) struct Timer {
    until: Instant,
    /// Its number while it is waited for.
    number: Option<u64>,
}

impl Timer {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        VIRTUAL.with_borrow_mut(|virtually| {
            let Some(time) = virtually.as_mut().filter(|time| time.now < self.until) else {
                return Poll::Ready(());
            };
            let number = *self.number.get_or_insert_with(|| {
                time.count += 1;
                time.count
            });
            time.waiting.insert((self.until, number), context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // Dropped with its thread: then nobody waits any more. The waker goes outside of the borrow,
        // for with it a task may go, and its timers.
        let waker = VIRTUAL.try_with(|virtually| {
            let mut virtually = virtually.try_borrow_mut().ok()?;
            virtually.as_mut()?.waiting.remove(&(self.until, number))
        });
        drop(waker);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.project() {
            Waiting::Real { sleep } => sleep.poll(context),
            Waiting::Virtual { timer } => timer.poll(context),
        }
    }
}

/// Waits so long.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    if is_virtual() {
        // Far enough away for whoever says "never".
        let until = Instant::now() + duration.min(Duration::from_secs(1 << 30));
        return Sleep::Virtual { timer: Timer { until, number: None } };
    }
    Sleep::Real { sleep: tokio::time::sleep(duration) }
}

/// Waits until then.
pub(crate) fn sleep_until(until: Instant) -> Sleep {
    if is_virtual() {
        return Sleep::Virtual { timer: Timer { until, number: None } };
    }
    Sleep::Real { sleep: tokio::time::sleep_until(until.0.into()) }
}

pin_project! {
    /// Something that may take so long.
    pub(crate) struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        end: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        ready!(this.end.poll(context));
        Poll::Ready(Err(Elapsed))
    }
}

/// `future`, or [`Elapsed`] when it takes longer.
pub(crate) fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, end: sleep(duration) }
}

/// `future`, or [`Elapsed`] when it is not done by then.
pub(crate) fn timeout_at<F: Future>(end: Instant, future: F) -> Timeout<F> {
    Timeout { future, end: sleep_until(end) }
}

/// Does what blocks, away from the threads that must not be blocked.
///
/// # Errors
/// When it panics, or the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    if is_virtual() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)
}

struct Virtual {
    now: Instant,
    waiting: BTreeMap<(Instant, u64), Waker>,
    count: u64,
    /// Of the future that the simulation waits for: it is asked after every step of time, so that
    /// the thread never sleeps.
    #[cfg(test)]
    root: Waker,
}

thread_local! {
    static VIRTUAL: RefCell<Option<Virtual>> = const { RefCell::new(None) };
}

fn is_virtual() -> bool {
    VIRTUAL.with_borrow(Option::is_some)
}

/// Runs `root` on this thread, in virtual time. To be called on a thread of its own.
///
/// # Panics
/// When everything waits and nobody for a moment in time.
#[cfg(test)]
pub(super) fn simulate<T>(root: impl Future<Output = T>) -> T {
    let now = Instant(RealInstant::now());
    let begin = Virtual { now, waiting: BTreeMap::new(), count: 0, root: Waker::noop().clone() };
    VIRTUAL.set(Some(begin));
    let runtime = tokio::runtime::Builder::new_current_thread().on_thread_park(advance).build();
    let mut root = std::pin::pin!(root);
    let done = runtime.expect("a runtime").block_on(std::future::poll_fn(|context| {
        VIRTUAL.with_borrow_mut(|time| {
            if let Some(time) = time {
                time.root = context.waker().clone();
            }
        });
        root.as_mut().poll(context)
    }));
    VIRTUAL.set(None);
    done
}

/// Goes on to the next moment for which anybody waits: nothing else is to do.
#[cfg(test)]
fn advance() {
    let next = VIRTUAL.with_borrow_mut(|time| {
        let time = time.as_mut()?;
        let ((at, _), waker) = time.waiting.pop_first().expect("somebody waits for a moment");
        time.now = time.now.max(at);
        Some((waker, time.root.clone()))
    });
    if let Some((waker, root)) = next {
        waker.wake();
        root.wake();
    }
}
