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

/// Until when a partition may be silent; `None` once it has an end, or it was told.
#[derive(Debug)]
pub(super) struct Silence(Option<Instant>);

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self(Some(now + SILENCE))
    }

    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// Whether it is worth a line; then it is told.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
        self.0.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_yields_nothing_for_long_is_told_once() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut silence = Silence::new(begin);
        assert_eq!(
            [29, 30, 31].map(|seconds| silence.is_news(at(seconds))),
            [false, true, false]
        );
        let mut ended = Silence::new(begin);
        ended.end();
        assert!(!ended.is_news(at(31)));
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
