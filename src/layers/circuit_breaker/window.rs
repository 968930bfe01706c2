use std::time::Duration;

use tokio::time::Instant;

const SLOTS: usize = 10;

/// How many calls succeeded and failed of late.
#[derive(Debug)]
pub(super) struct Window {
    slots: [Tally; SLOTS],
    /// The slot of the present, and when it began.
    now: usize,
    since: Instant,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            slots: [Tally::default(); SLOTS],
            now: 0,
            since: Instant::now(),
        }
    }

    /// Counts a call, and tells those of the latest `length`.
    pub(super) fn count(&mut self, failed: bool, length: Duration) -> Tally {
        self.turn(length);
        let slot = &mut self.slots[self.now];
        slot.calls = slot.calls.saturating_add(1);
        slot.failures = slot.failures.saturating_add(u32::from(failed));
        self.sum()
    }

    fn sum(&self) -> Tally {
        self.slots.iter().fold(Tally::default(), |sum, slot| Tally {
            calls: sum.calls.saturating_add(slot.calls),
            failures: sum.failures.saturating_add(slot.failures),
        })
    }

    fn turn(&mut self, length: Duration) {
        let slot = (length / SLOTS as u32).max(Duration::from_nanos(1));
        let passed = self.since.elapsed().as_nanos() / slot.as_nanos();
        if passed >= SLOTS as u128 {
            *self = Self::new();
            return;
        }
        for _ in 0..passed {
            self.now = (self.now + 1) % SLOTS;
            self.slots[self.now] = Tally::default();
            self.since += slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_is_forgotten() {
        let mut window = Window::new();
        window.count(true, LENGTH);
        advance(Duration::from_secs(5)).await;
        let sum = window.count(false, LENGTH);
        assert_eq!((sum.calls, sum.failures), (2, 1));
        advance(Duration::from_secs(5)).await;
        let sum = window.count(true, LENGTH);
        assert_eq!((sum.calls, sum.failures), (2, 1));
        advance(Duration::from_secs(100)).await;
        let sum = window.count(false, LENGTH);
        assert_eq!((sum.calls, sum.failures), (1, 0));
    }
}
