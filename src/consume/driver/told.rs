use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long after an error of the client another of its kind is worth a line.
const AGAIN: Duration = Duration::from_secs(60);

/// When errors of the client were logged last, by their code: in one outage they take turns.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<i32, Instant>);

impl Told {
    /// Whether an error is worth a line; then it is told.
    pub(super) fn is_news(&mut self, code: i32, now: Instant) -> bool {
        let last = self.0.get(&code);
        let news = last.is_none_or(|at| now.saturating_duration_since(*at) >= AGAIN);
        if news {
            self.0.insert(code, now);
        }
        news
    }

    /// It is over: what comes next is news.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// How long an assigned partition may yield nothing, not even its end, without a word about it.
const SILENCE: Duration = Duration::from_secs(30);

/// Whether anything was fetched of a partition since it was assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing was, and until then that is no news.
    Until(Instant),
    Told,
    Over,
}

impl Silence {
    /// `wait` is how long a broker may wait with the answer to a fetch.
    pub(super) fn new(now: Instant, wait: Duration) -> Self {
        // One that was under way may have to end first.
        Self::Until(now + SILENCE + 2 * wait)
    }

    /// For now it isn't news: the time begins anew.
    pub(super) fn put_off(&mut self, now: Instant) {
        if let Self::Until(until) = self {
            *until = (*until).max(now + SILENCE);
        }
    }

    /// Whether it is worth a line; then it is told.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
        match self {
            Self::Until(until) if *until <= now => {
                *self = Self::Told;
                true
            }
            Self::Until(_) | Self::Told | Self::Over => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_yields_nothing_for_long_is_told_once() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut silence = Silence::new(begin, Duration::ZERO);
        assert_eq!(
            [29, 30, 31].map(|seconds| silence.is_news(at(seconds))),
            [false, true, false]
        );
        assert_eq!(silence, Silence::Told);
        assert!(!Silence::Over.is_news(at(31)));
    }

    #[test]
    fn a_partition_that_can_yield_nothing_yet_is_not_told() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut silence = Silence::new(begin, Duration::from_secs(10));
        silence.put_off(at(5));
        assert_eq!(
            [49, 50].map(|seconds| { silence }.is_news(at(seconds))),
            [false, true]
        );
        silence.put_off(at(100));
        assert_eq!(
            [129, 130, 160].map(|seconds| silence.is_news(at(seconds))),
            [false, true, false]
        );
        for mut known in [Silence::Told, Silence::Over] {
            let before = known;
            known.put_off(at(200));
            assert_eq!(known, before);
        }
    }

    #[test]
    fn errors_that_take_turns_are_told_once_a_minute_each() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let mut at = |code, seconds| told.is_news(code, begin + Duration::from_secs(seconds));
        assert_eq!(
            [1, 2, 1, 2].map(|code| at(code, 59)),
            [true, true, false, false]
        );
        assert_eq!([1, 2, 1].map(|code| at(code, 119)), [true, true, false]);
        told.forget();
        assert!(told.is_news(1, begin + Duration::from_secs(119)));
    }
}
