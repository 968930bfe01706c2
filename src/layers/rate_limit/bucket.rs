use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::backoff::LONGEST;

/// Tokens that fill up with time. Each has a time at which it is due, and may be used earlier by as much
/// as one burst takes.
///
/// Who has none yet is given the next one at once, and waits for it alone: nobody has to be polled for
/// others to go on.
#[derive(Debug)]
pub(super) struct Bucket {
    each: Duration,
    early: Duration,
    made: Instant,
    tokens: Mutex<Tokens>,
}

/// Times since the bucket was made.
#[derive(Debug, Default)]
struct Tokens {
    /// When the next one is due.
    next: Duration,
    /// When those are due that were given back.
    unused: BinaryHeap<Reverse<Duration>>,
}

impl Bucket {
    pub(super) fn new(records: u32, per: Duration, burst: u32) -> Self {
        let each = (per / records.max(1)).max(Duration::from_nanos(1));
        let each = each.min(LONGEST);
        Self {
            each,
            early: each.saturating_mul(burst.max(1) - 1).min(LONGEST),
            made: Instant::now(),
            tokens: Mutex::default(),
        }
    }

    /// The next token, which may have to be waited for.
    pub(super) fn take(self: &Arc<Self>) -> Token {
        let now = self.made.elapsed();
        let mut tokens = self.tokens();
        // With the time of one of these its right is gone: others have come since.
        while tokens.unused.peek().is_some_and(|Reverse(due)| *due < now) {
            tokens.unused.pop();
        }
        let due = match tokens.unused.pop() {
            Some(Reverse(due)) => due,
            None => {
                let due = tokens.next.max(now);
                tokens.next = due.saturating_add(self.each);
                due
            }
        };
        Token {
            bucket: Arc::clone(self),
            due: Some(due),
            wait: due.saturating_sub(self.early).saturating_sub(now),
        }
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that was taken; dropped unused, it is another's.
#[derive(Debug)]
pub(super) struct Token {
    bucket: Arc<Bucket>,
    /// `None` once it is used.
    due: Option<Duration>,
    /// How long it had to be waited for when it was taken.
    pub(super) wait: Duration,
}

impl Token {
    pub(super) fn spend(mut self) {
        self.due = None;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(due) = self.due {
            self.bucket.tokens().unused.push(Reverse(due));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(burst: u32) -> Arc<Bucket> {
        Arc::new(Bucket::new(1, SECOND, burst))
    }

    fn wait(bucket: &Arc<Bucket>) -> u64 {
        let token = bucket.take();
        let wait = token.wait.as_secs();
        token.spend();
        wait
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_does_not_go_first() {
        let bucket = bucket(1);
        assert_eq!(wait(&bucket), 0);
        let first = bucket.take();
        assert_eq!(first.wait, SECOND);
        advance(SECOND).await;
        // The token is there, and it is another's.
        assert_eq!(wait(&bucket), 1);
        first.spend();
        assert_eq!(wait(&bucket), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_used_by_others_but_not_in_addition() {
        let bucket = bucket(1);
        let [first, second, third] = [(); 3].map(|()| bucket.take());
        first.spend();
        drop((second, third));
        assert_eq!([wait(&bucket), wait(&bucket), wait(&bucket)], [1, 2, 3]);
        let late = bucket.take();
        advance(10 * SECOND).await;
        drop(late);
        assert_eq!([wait(&bucket), wait(&bucket)], [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_fills_up_again_and_no_further() {
        let bucket = bucket(3);
        let waits = || [(); 4].map(|()| wait(&bucket));
        assert_eq!(waits(), [0, 0, 0, 1]);
        advance(100 * SECOND).await;
        assert_eq!(waits(), [0, 0, 0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_at_all_is_one_a_nanosecond() {
        let bucket = Arc::new(Bucket::new(0, Duration::ZERO, 0));
        for _ in 0..3 {
            assert_eq!(wait(&bucket), 0);
        }
    }
}
