use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{BoxError, ErrorClass, chain};

/// Of a message, more than this many bytes are not kept.
const MESSAGE_BYTES: usize = 256;
/// The first failure and the latest ones.
const KEPT: usize = 8;

/// A record is given up: no further attempt is made. It says how many there were and for how long,
/// and its source is the last cause.
///
/// A retry layer answers with it for every error that it doesn't repeat. On the publish side it is
/// the source of the [`PublishError`](crate::PublishError), unless there was one attempt only.
pub struct RetryError {
    attempts: u32,
    elapsed: Duration,
    class: ErrorClass,
    reason: GaveUp,
    possibly_persisted: bool,
    failures: Failures,
    cause: BoxError,
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUp {
    /// The last cause is not to be repeated: its class is
    /// [`NonRetriable`](ErrorClass::NonRetriable) or [`Fatal`](ErrorClass::Fatal).
    NotRetriable,
    /// Kafka may have written the record: sending it again may duplicate it.
    PossiblyPersisted,
    /// All attempts that the backoff allows were made.
    NoAttemptsLeft,
    /// The next attempt would begin after the time that the backoff allows.
    NoTimeLeft,
    /// Too many other records are being retried.
    BudgetIsEmpty,
}

impl RetryError {
    pub(crate) fn new(
        class: ErrorClass,
        reason: GaveUp,
        attempts: u32,
        failures: Failures,
        cause: BoxError,
    ) -> Self {
        Self {
            attempts,
            elapsed: failures.elapsed(),
            class,
            reason,
            possibly_persisted: false,
            failures,
            cause,
        }
    }

    pub(crate) fn with_possibly_persisted(mut self, possibly_persisted: bool) -> Self {
        self.possibly_persisted = possibly_persisted;
        self
    }

    /// How many attempts were made.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The time from the first failure to the last.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The class of the last cause, as the retry layer's classifier found it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Why there is no further attempt.
    #[must_use]
    pub fn reason(&self) -> GaveUp {
        self.reason
    }

    /// The failures, oldest first: the very first one, and the seven latest of the others.
    #[must_use]
    pub fn failures(&self) -> impl ExactSizeIterator<Item = &Failure> {
        self.failures.kept.iter()
    }

    /// The last cause.
    #[must_use]
    pub fn into_cause(self) -> BoxError {
        self.cause
    }

    /// Whether any of the attempts may have been written by Kafka.
    pub(crate) fn possibly_persisted(&self) -> bool {
        self.possibly_persisted
    }
}

impl fmt::Display for RetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(f, "gave up after {} attempt{plural}", self.attempts)?;
        if self.attempts > 1 {
            write!(f, " in {:.1} s", self.elapsed.as_secs_f64())?;
        }
        f.write_str(match self.reason {
            GaveUp::NotRetriable => ", since this failure is not to be repeated",
            GaveUp::PossiblyPersisted => ", since Kafka may have written the record",
            GaveUp::NoAttemptsLeft => "",
            GaveUp::NoTimeLeft => ", when the time for retries was over",
            GaveUp::BudgetIsEmpty => ", since too many others are being retried",
        })
    }
}

impl fmt::Debug for RetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryError")
            .field("attempts", &self.attempts)
            .field("elapsed", &self.elapsed)
            .field("class", &self.class)
            .field("reason", &self.reason)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl Error for RetryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// When it failed.
    pub at: SystemTime,
    /// The class of its error.
    pub class: ErrorClass,
    /// The message of the error and its causes, the first 256 bytes of it.
    pub message: Box<str>,
}

impl Failure {
    pub(crate) fn now(class: ErrorClass, error: &(dyn Error + 'static)) -> Self {
        let mut message = chain::message(error);
        chain::cut(&mut message, MESSAGE_BYTES);
        Self {
            at: SystemTime::now(),
            class,
            message: message.into(),
        }
    }
}

/// The failures of one record: the first one and the latest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    kept: VecDeque<Failure>,
    /// When the first and the last came, by a clock that nobody sets back.
    span: Option<(Instant, Instant)>,
}

impl Failures {
    pub(crate) fn push(&mut self, failure: Failure) {
        if self.kept.len() == KEPT {
            self.kept.remove(1);
        }
        self.kept.push_back(failure);
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    /// From the first failure to the last.
    pub(crate) fn elapsed(&self) -> Duration {
        self.span
            .map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_and_the_latest_are_kept() {
        let mut failures = Failures::default();
        for n in 1..=20 {
            let error: BoxError = n.to_string().into();
            failures.push(Failure::now(ErrorClass::Retriable, &*error));
        }
        let cause = "20".into();
        let error = RetryError::new(
            ErrorClass::Retriable,
            GaveUp::NoAttemptsLeft,
            20,
            failures,
            cause,
        );
        let kept: Vec<_> = error.failures().map(|one| &*one.message).collect();
        assert_eq!(kept, ["1", "14", "15", "16", "17", "18", "19", "20"]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let error: BoxError = format!("x{}", "ä".repeat(1000)).into();
        let failure = Failure::now(ErrorClass::Retriable, &*error);
        assert_eq!(failure.message.len(), MESSAGE_BYTES - 1);
    }

    #[test]
    fn it_says_how_many_and_why() {
        let show = |reason, attempts| {
            let failures = Failures::default();
            let class = ErrorClass::Retriable;
            RetryError::new(class, reason, attempts, failures, "no".into()).to_string()
        };
        assert_eq!(
            show(GaveUp::NotRetriable, 1),
            "gave up after 1 attempt, since this failure is not to be repeated"
        );
        assert_eq!(
            show(GaveUp::NoAttemptsLeft, 4),
            "gave up after 4 attempts in 0.0 s"
        );
    }
}
