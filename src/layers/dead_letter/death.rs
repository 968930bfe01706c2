//! What is known of a record's failure.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    error::{BoxError, ErrorClass, Failure, PublishError, RetryError, as_type, causes, find_error},
    record::Side,
};

pub(super) struct Death {
    pub(super) class: ErrorClass,
    pub(super) attempts: u32,
    pub(super) history: Vec<Failure>,
    pub(super) cause: BoxError,
}

impl Death {
    /// What a retry layer says of the attempts, or what is seen of the only one.
    pub(super) fn new(side: Side, class: ErrorClass, attempt: u32, cause: BoxError) -> Self {
        let retry = match side {
            Side::Publish => find_error::<RetryError>(&*cause),
            // Below are attempts at something else: what the handler published.
            Side::Consume => causes(&*cause)
                .take_while(|cause| as_type::<PublishError>(*cause).is_none())
                .find_map(as_type),
        };
        let attempts = retry.map_or(attempt, RetryError::attempts);
        let mut history: Vec<_> = retry
            .map(|retry| retry.failures().cloned().collect())
            .unwrap_or_default();
        if history.is_empty() {
            history.push(Failure::now(class, &*cause));
        }
        Self {
            class,
            attempts,
            history,
            cause,
        }
    }

    /// When it failed first and last, in milliseconds since the Unix epoch.
    pub(super) fn span(&self) -> (u128, u128) {
        let at = |failure: Option<&Failure>| failure.map_or(0, |failure| millis(failure.at));
        (at(self.history.first()), at(self.history.last()))
    }

    /// The attempts, one a line.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for failure in &self.history {
            let message = failure.message.replace(['\n', '\r'], " ");
            let at = millis(failure.at);
            let _ = writeln!(lines, "{at} {} {message}", failure.class);
        }
        lines.truncate(lines.trim_end().len());
        lines
    }
}

fn millis(at: SystemTime) -> u128 {
    // Before 1970 the clock is wrong, and any answer is as good.
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_one_line_of_the_history() {
        let death = Death::new(
            Side::Consume,
            ErrorClass::Retriable,
            3,
            "one\r\ntwo\n".into(),
        );
        assert_eq!(death.attempts, 3);
        let lines = death.lines();
        assert_eq!(lines.lines().count(), 1);
        assert!(lines.ends_with(" retriable one  two"), "{lines}");
        let (first, last) = death.span();
        assert!(first == last && first > 1_000_000_000_000);
    }
}
