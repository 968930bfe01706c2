use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// Tokens that fill up with time, and a queue of those who wait for one.
pub(super) struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>,
    /// Only who has the turn waits for a token, so that they come in order, and one token doesn't wake
    /// all.
    turn: Semaphore,
}

/// The runtime's clock, which tests can pause; as the time since the bucket was made.
#[derive(Clone)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Bucket {
    pub(super) fn new(records: u32, per: Duration, burst: u32) -> Self {
        let records = NonZeroU32::new(records).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let each = (per / records.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each).expect("a token takes some time");
        Self {
            limiter: RateLimiter::direct_with_clock(
                quota.allow_burst(burst),
                RuntimeClock(Instant::now()),
            ),
            turn: Semaphore::new(1),
        }
    }

    /// Takes a token if there is one and nobody waits for it.
    pub(super) fn try_take(&self) -> bool {
        self.turn.available_permits() > 0 && self.limiter.check().is_ok()
    }

    /// Waits for a token.
    pub(super) async fn take(self: Arc<Self>) {
        let _turn = self.turn.acquire().await.expect("it is never closed");
        while let Err(too_early) = self.limiter.check() {
            sleep(too_early.wait_time_from(self.limiter.clock().now())).await;
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_does_not_go_first() {
        let bucket = Arc::new(Bucket::new(1, Duration::from_secs(1), 1));
        assert!(bucket.try_take());
        let mut first = Box::pin(Arc::clone(&bucket).take());
        assert!(first.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        // The token is there, and it is another's.
        assert!(!bucket.try_take());
        first.await;
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_at_all_is_one_a_nanosecond() {
        let bucket = Arc::new(Bucket::new(0, Duration::ZERO, 0));
        for _ in 0..3 {
            Arc::clone(&bucket).take().await;
        }
    }
}
