use std::time::Duration;

use tracing::{Span, field::display};

use crate::{
    record::{ConsumerRecord, Delivery, Outcome, ProducerRecord, Record},
    telemetry::semconv::{SemConv, attribute},
};

/// What is done with a service's answer.
///
/// Implemented for functions that take the same, and for `()`, which does nothing.
pub trait OnOutcome<R: Record> {
    /// Is called inside of the record's span, with what the service answered and how long it took.
    fn on_outcome(&self, done: &R::Done, latency: Duration, span: &Span);

    /// Whether it is to be called for this span. By default it always is; where nobody wants to be called,
    /// the time isn't taken.
    fn is_wanted(&self, span: &Span) -> bool {
        let _ = span;
        true
    }
}

impl<R: Record> OnOutcome<R> for () {
    fn on_outcome(&self, _: &R::Done, _: Duration, _: &Span) {}

    fn is_wanted(&self, _: &Span) -> bool {
        false
    }
}

impl<R: Record, F: Fn(&R::Done, Duration, &Span)> OnOutcome<R> for F {
    fn on_outcome(&self, done: &R::Done, latency: Duration, span: &Span) {
        self(done, latency, span);
    }
}

/// Records in the span what became of the record: where it landed, or the outcome's name. The span
/// of a delivered record has its partition, its offset and its message id from here alone.
///
/// No outcome is an error of the span, but [`Outcome::DeadLetter`]: where that comes this far, no layer took
/// it up, and it is an unhandled failure. `Retry` and `Defer` are answers; the attempt that is the last
/// fails, or is moved.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct DefaultOnOutcome;

impl DefaultOnOutcome {
    /// There is nothing to set.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl OnOutcome<ProducerRecord> for DefaultOnOutcome {
    fn on_outcome(&self, delivery: &Delivery, _: Duration, span: &Span) {
        span.record(
            attribute::DESTINATION_PARTITION_ID,
            display(delivery.partition),
        );
        if let Some(offset) = delivery.offset {
            // The span has the one of both that is of its version.
            span.record(SemConv::V1_44.kafka_offset(), offset);
            span.record(SemConv::V1_45.kafka_offset(), offset);
        }
        span.record(attribute::MESSAGE_ID, display(&delivery.message_id));
        span.record(attribute::ATTEMPT, i64::from(delivery.attempts));
        span.record(attribute::OUTCOME, "delivered");
    }

    fn is_wanted(&self, span: &Span) -> bool {
        !span.is_disabled()
    }
}

impl OnOutcome<ConsumerRecord> for DefaultOnOutcome {
    fn on_outcome(&self, outcome: &Outcome, _: Duration, span: &Span) {
        let name = match outcome {
            Outcome::Ack => "acked",
            Outcome::Skip => "skipped",
            Outcome::Moved { .. } => "moved",
            Outcome::Retry { .. } => "retried",
            Outcome::Defer { .. } => "deferred",
            Outcome::DeadLetter { .. } => "dead_letter",
            Outcome::Stop => "stopped",
        };
        span.record(attribute::OUTCOME, name);
        if matches!(outcome, Outcome::DeadLetter { .. }) {
            span.record(attribute::ERROR_TYPE, name);
            span.record("otel.status_code", "ERROR");
        }
    }

    fn is_wanted(&self, span: &Span) -> bool {
        !span.is_disabled()
    }
}
