//! What connects a span with the trace of its record.

use std::{any::Any, sync::LazyLock, time::Duration};

use tracing::{Span, info};

use super::TraceRelation;
use crate::{
    record::{OnRetry, ProducerRecord, Record},
    telemetry::target,
};

/// One for all spans: it is called inside of the span that it is about, which so isn't kept alive by the
/// record, and a record that passes two layers is told of once.
static RETRIES: LazyLock<OnRetry> = LazyLock::new(|| OnRetry::new(tell_retry));

fn tell_retry(record: &ProducerRecord, attempt: u32, after: Duration) {
    info!(
        target: target::SEND,
        topic = &*record.topic,
        attempt = i64::from(attempt),
        after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        "a publish failed and is repeated"
    );
}

/// Connects a span, before it is entered, with the trace of its record.
pub(super) fn join<R: Record>(span: &Span, record: &mut R, relation: TraceRelation) {
    let any: &mut dyn Any = record;
    if let Some(record) = any.downcast_mut::<ProducerRecord>() {
        RETRIES.listen(record);
        #[cfg(feature = "otel")]
        crate::telemetry::propagation::inject(span, record);
    } else {
        #[cfg(feature = "otel")]
        otel::relate(span, record.view().headers, relation);
    }
    #[cfg(not(feature = "otel"))]
    let _ = (span, relation);
}

/// Leaves a note for the span in which the record is going to be committed.
pub(super) fn note<R: Record>(span: &Span, record: &R, done: &R::Done) {
    #[cfg(feature = "otel")]
    otel::note(span, record, done);
    #[cfg(not(feature = "otel"))]
    let _ = (span, record, done);
}

#[cfg(feature = "otel")]
mod otel {
    use std::any::Any;

    use tracing::{Level, Span, debug, span_enabled};
    use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError};

    use super::TraceRelation;
    use crate::{
        record::{ConsumerRecord, Headers, Outcome, Record},
        telemetry::{
            propagation::{extract, span_of, without_span},
            target,
        },
    };

    pub(super) fn relate(span: &Span, headers: &Headers, relation: TraceRelation) {
        if headers.is_empty() {
            return;
        }
        let context = extract(headers);
        let sent = span_of(&context);
        let (parent, mut linked) = match relation {
            TraceRelation::ParentAndLink => (context, true),
            TraceRelation::Parent => (context, false),
            TraceRelation::Link => (without_span(&context), true),
            TraceRelation::Unrelated => return,
        };
        match span.set_parent(parent) {
            // Without OpenTelemetry's layer there is nothing to be related.
            Ok(()) | Err(SetParentError::LayerNotFound | SetParentError::SpanDisabled) => {}
            Err(error @ SetParentError::AlreadyStarted) => {
                debug!(%error, "a record's span has no parent: `MakeSpan` has entered it");
                linked = true;
            }
        }
        if let Some(sent) = sent.filter(|_| linked) {
            span.add_link(sent);
        }
    }

    pub(super) fn note<R: Record>(span: &Span, record: &R, done: &R::Done) {
        if span.is_disabled() || !span_enabled!(target: target::COMMIT, Level::DEBUG) {
            return;
        }
        let (record, done): (&dyn Any, &dyn Any) = (record, done);
        let record = record.downcast_ref::<ConsumerRecord>();
        let complete = done
            .downcast_ref::<Outcome>()
            .is_some_and(Outcome::is_complete);
        if let Some(record) = record.filter(|_| complete)
            && let Some(context) = span_of(&span.context())
        {
            record.process_spans().add(record.offset(), context);
        }
    }
}
