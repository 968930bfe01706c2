use std::{ops::RangeInclusive, time::Duration};

const BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(30);
const MAX_ATTEMPTS: u32 = 4;
/// Far beyond any use, and near enough for arithmetic never to overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How long to wait between the attempts at a record, and when to give up.
///
/// The wait before the first retry is the base, before each further one twice as long, up to the
/// cap. It ends with the number of attempts, or with the time since the first failure, whichever
/// comes first.
///
/// | setting | default |
/// |---|---|
/// | base and cap | 1 s and 30 s |
/// | [`jitter`](Self::jitter) | [`Jitter::None`] |
/// | [`max_attempts`](Self::max_attempts) | 4: the first attempt and three retries |
/// | [`max_elapsed`](Self::max_elapsed) | none |
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use kafka_tower::{Backoff, Jitter};
///
/// let backoff = Backoff::exponential(Duration::from_millis(100)..=Duration::from_secs(5));
/// assert_eq!(backoff.delay(1), Duration::from_millis(100));
/// assert_eq!(backoff.delay(3), Duration::from_millis(400));
/// assert_eq!(backoff.delay(60), Duration::from_secs(5));
///
/// let backoff = backoff.jitter(Jitter::Full).max_attempts(5);
/// assert!(backoff.delay(3) <= Duration::from_millis(400));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a backoff does nothing by itself"]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    jitter: Jitter,
    max_attempts: Option<u32>,
    max_elapsed: Option<Duration>,
}

/// How chance is mixed into a wait, so that what failed together doesn't come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// The whole wait. The default.
    #[default]
    None,
    /// Anything between zero and the whole wait: spreads the most.
    Full,
    /// Half of the wait, and anything up to the other half.
    Equal,
}

impl Backoff {
    /// Waits that double, from the start of the range to its end.
    ///
    /// A range whose end lies before its start waits for its end each time.
    pub fn exponential(waits: RangeInclusive<Duration>) -> Self {
        let (base, cap) = waits.into_inner();
        Self {
            base,
            cap: cap.min(LONGEST),
            jitter: Jitter::None,
            max_attempts: Some(MAX_ATTEMPTS),
            max_elapsed: None,
        }
    }

    /// The same wait each time.
    pub fn constant(wait: Duration) -> Self {
        Self::exponential(wait..=wait)
    }

    /// Mixes chance into the waits.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// How many attempts there may be, the first one included; 0 counts as 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Sets no limit to the number of attempts; [`max_elapsed`](Self::max_elapsed) may set one to
    /// their time.
    pub fn unlimited_attempts(mut self) -> Self {
        self.max_attempts = None;
        self
    }

    /// No retry begins later than this after the first failure.
    pub fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.max_elapsed = Some(elapsed);
        self
    }

    /// The wait after `failures` failures, 1 or more, with chance mixed in.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        let factor = 1_u128.checked_shl(doublings).unwrap_or(u128::MAX);
        let whole = self.base.as_nanos().saturating_mul(factor);
        // The cap is below what 64 bits can hold.
        let whole = u64::try_from(whole).map_or(self.cap, Duration::from_nanos);
        let whole = whole.min(self.cap);
        match self.jitter {
            Jitter::None => whole,
            Jitter::Full => whole.mul_f64(rand::random()),
            Jitter::Equal => whole.mul_f64(0.5 + rand::random::<f64>() / 2.0),
        }
    }

    /// Whether another attempt may follow after `attempts` of them.
    pub(crate) fn allows_after(&self, attempts: u32) -> bool {
        self.max_attempts.is_none_or(|most| attempts < most)
    }

    /// Whether a retry may begin this long after the first failure.
    pub(crate) fn allows_at(&self, elapsed: Duration) -> bool {
        self.max_elapsed.is_none_or(|most| elapsed <= most)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(BASE..=CAP)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_is_three_retries_from_one_second_to_thirty() {
        let backoff = Backoff::default();
        let waits = [1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|failures| backoff.delay(failures));
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs));
        assert!(backoff.allows_after(3));
        assert!(!backoff.allows_after(4));
        assert!(backoff.allows_at(Duration::MAX));
    }

    #[test]
    fn its_ends_are_the_attempts_and_the_time() {
        let second = Duration::from_secs(1);
        let backoff = Backoff::constant(second).max_attempts(0);
        assert!(!backoff.allows_after(1));
        let backoff = backoff.unlimited_attempts().max_elapsed(second);
        assert!(backoff.allows_after(u32::MAX));
        assert!(backoff.allows_at(second));
        assert!(!backoff.allows_at(second + Duration::from_nanos(1)));
        assert_eq!(backoff.delay(9), second);
    }

    #[test]
    fn the_longest_wait_is_no_overflow() {
        let backoff = Backoff::constant(Duration::MAX).jitter(Jitter::Equal);
        for _ in 0..1000 {
            assert!(backoff.delay(u32::MAX) <= LONGEST);
        }
    }

    #[test]
    fn the_shortest_base_comes_to_the_cap_as_well() {
        let cap = Duration::from_secs(30);
        let backoff = Backoff::exponential(Duration::from_nanos(1)..=cap);
        assert_eq!(backoff.delay(3), Duration::from_nanos(4));
        assert_eq!(backoff.delay(34), Duration::from_nanos(1 << 33));
        assert_eq!(backoff.delay(u32::MAX), cap);
        let backoff = Backoff::exponential(Duration::ZERO..=cap);
        assert_eq!(backoff.delay(u32::MAX), Duration::ZERO);
    }

    #[test]
    fn a_range_the_wrong_way_round_waits_for_its_end() {
        let backoff = Backoff::exponential(Duration::from_secs(9)..=Duration::from_secs(3));
        assert_eq!(backoff.delay(1), Duration::from_secs(3));
    }

    proptest! {
        #[test]
        fn jitter_never_lengthens_a_wait(
            base in 0..10_000_u64, cap in 0..10_000_000_u64, failures: u32,
        ) {
            let waits = Duration::from_millis(base)..=Duration::from_millis(cap);
            let backoff = Backoff::exponential(waits);
            let whole = backoff.delay(failures);
            prop_assert!(whole <= Duration::from_millis(cap));
            prop_assert!(backoff.clone().jitter(Jitter::Full).delay(failures) <= whole);
            let equal = backoff.jitter(Jitter::Equal).delay(failures);
            prop_assert!(whole / 2 <= equal && equal <= whole);
        }
    }
}
