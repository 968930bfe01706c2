use std::{error::Error, fmt};

use crate::error::BoxError;

/// A record should have been dead-lettered, and was not. Its source is what the record failed with.
///
/// Consuming, its offset is not committed. It is marked as [`Unavailable`](crate::ErrorClass::Unavailable)
/// where a later write may succeed, and as [`Fatal`](crate::ErrorClass::Fatal) otherwise; so no layer
/// above takes it for the record's fault. Publishing, a record that is itself why it can't be written, too
/// large for instance, stays [`NonRetriable`](crate::ErrorClass::NonRetriable).
#[derive(Debug)]
pub struct DeadLetterError {
    reason: String,
    cause: BoxError,
}

impl DeadLetterError {
    pub(super) fn new(reason: String, cause: BoxError) -> Self {
        Self { reason, cause }
    }
}

impl fmt::Display for DeadLetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a record that failed was not dead-lettered: {}",
            self.reason
        )
    }
}

impl Error for DeadLetterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// The service asked for a dead letter.
#[derive(Debug)]
pub(super) struct AskedFor(pub(super) String);

impl fmt::Display for AskedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AskedFor {}

/// So many attempts were begun, and nobody has seen the end of them.
#[derive(Debug)]
pub(super) struct TooOften(pub(super) u32);

impl fmt::Display for TooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it was begun {} times and is not complete; it may be what ended the process",
            self.0
        )
    }
}

impl Error for TooOften {}
