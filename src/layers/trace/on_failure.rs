use std::{error::Error, time::Duration};

use tracing::{Span, field::display};

use crate::{
    error::{BoxError, PublishError, RetryError, find_error, message},
    record::{ConsumerRecord, ProducerRecord, Record},
    telemetry::{error_type, semconv::attribute},
};

/// What is done with a service's error.
///
/// Implemented for functions that take the same, and for `()`, which does nothing.
pub trait OnFailure<R: Record> {
    /// Is called inside of the record's span, with what the service failed with and how long it took.
    fn on_failure(&self, error: &R::Error, latency: Duration, span: &Span);

    /// Whether it is to be called for this span. By default it always is; where nobody wants to be called,
    /// the time isn't taken.
    fn is_wanted(&self, span: &Span) -> bool {
        let _ = span;
        true
    }
}

impl<R: Record> OnFailure<R> for () {
    fn on_failure(&self, _: &R::Error, _: Duration, _: &Span) {}

    fn is_wanted(&self, _: &Span) -> bool {
        false
    }
}

impl<R: Record, F: Fn(&R::Error, Duration, &Span)> OnFailure<R> for F {
    fn on_failure(&self, error: &R::Error, latency: Duration, span: &Span) {
        self(error, latency, span);
    }
}

/// Makes the span an error of a kind (`error.type`): Kafka's name for it (`UnknownTopicOrPartition`), `panic`,
/// `timeout`, or the [class](crate::ErrorClass). Whatever fails here has failed for good, also when it is
/// unavailable: the layers inside have done what they could.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultOnFailure {
    messages: bool,
}

impl DefaultOnFailure {
    /// Without the errors' messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the message of the error, with its causes, the description of the span's status. Not by
    /// default: the message of a handler's error may quote what it has read.
    #[must_use]
    pub fn include_messages(mut self, include: bool) -> Self {
        self.messages = include;
        self
    }

    fn record(self, error: &(dyn Error + 'static), span: &Span) {
        span.record(attribute::ERROR_TYPE, &*error_type(error));
        span.record("otel.status_code", "ERROR");
        if self.messages {
            span.record("otel.status_description", message(error));
        }
    }
}

impl OnFailure<ProducerRecord> for DefaultOnFailure {
    fn on_failure(&self, error: &PublishError, _: Duration, span: &Span) {
        self.record(error, span);
        let record = error.record();
        if let Some(id) = record.and_then(|record| record.message_id.as_ref()) {
            span.record(attribute::MESSAGE_ID, display(id));
        }
        if let Some(partition) = record.and_then(|record| record.partition) {
            span.record(attribute::DESTINATION_PARTITION_ID, display(partition));
        }
        let attempts = find_error(error).map_or(1, RetryError::attempts);
        span.record(attribute::ATTEMPT, i64::from(attempts));
        let outcome = match error.dead_letter() {
            Some(_) => "moved",
            None => "failed",
        };
        span.record(attribute::OUTCOME, outcome);
    }

    fn is_wanted(&self, span: &Span) -> bool {
        !span.is_disabled()
    }
}

impl OnFailure<ConsumerRecord> for DefaultOnFailure {
    fn on_failure(&self, error: &BoxError, _: Duration, span: &Span) {
        self.record(&**error, span);
        span.record(attribute::OUTCOME, "failed");
    }

    fn is_wanted(&self, span: &Span) -> bool {
        !span.is_disabled()
    }
}
