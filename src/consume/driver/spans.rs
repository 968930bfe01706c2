//! The spans of the poll thread, for the records that it reads and the offsets that it commits.

use rdkafka::ClientConfig;
use tracing::{
    Level, Span,
    field::{self, Empty},
    level_filters::LevelFilter,
    span,
};

use crate::{
    record::{ConsumerRecord, chunk::Origin},
    telemetry::{
        semconv::{SYSTEM_KAFKA, SemConv, attribute, operation, operation_type},
        target,
    },
};

/// How many spans one of ours is linked to at the most: more are dropped by OpenTelemetry's default.
#[cfg(feature = "otel")]
const LINKS: usize = 128;

/// What the spans say of the client.
#[derive(Debug)]
pub(super) struct Spans {
    version: SemConv,
    group: Option<String>,
    client_id: Option<String>,
}

/// Macros, since level, names and parent of a span have to be constants.
macro_rules! span_of {
    ($spans:ident, $origin:ident, $version:expr, $target:expr, $name:expr, $type:expr) => {
        span!(
            target: $target, parent: None, Level::DEBUG, $name,
            otel.name = format_args!("{} {}", $name, $origin.topic),
            otel.kind = "client",
            otel.status_code = Empty,
            { $version.system() } = SYSTEM_KAFKA,
            { attribute::OPERATION_NAME } = $name,
            { attribute::OPERATION_TYPE } = $type,
            { attribute::DESTINATION_NAME } = &*$origin.topic,
            { attribute::DESTINATION_PARTITION_ID } = field::display($origin.partition),
            { attribute::CONSUMER_GROUP_NAME } = $spans.group.as_deref(),
            { attribute::CLIENT_ID } = $spans.client_id.as_deref(),
            { attribute::BATCH_MESSAGE_COUNT } = Empty,
            { $version.kafka_offset() } = Empty,
            { attribute::ERROR_TYPE } = Empty,
        )
    };
    ($spans:ident, $origin:ident, $target:expr, $name:expr, $type:expr) => {
        match $spans.version {
            // Without a subscriber, `tracing` may go through all fields for the crate `log`.
            _ if Level::DEBUG > LevelFilter::current() => Span::none(),
            SemConv::V1_44 => span_of!($spans, $origin, SemConv::V1_44, $target, $name, $type),
            SemConv::V1_45 => span_of!($spans, $origin, SemConv::V1_45, $target, $name, $type),
        }
    };
}

impl Spans {
    pub(super) fn new(config: &ClientConfig, version: SemConv) -> Self {
        let value = |name| config.get(name).map(str::to_owned);
        Self {
            version,
            group: value("group.id"),
            client_id: value("client.id"),
        }
    }

    /// A span for what is about to be read from a partition.
    pub(super) fn poll(&self, origin: &Origin) -> PollSpan {
        PollSpan {
            span: span_of!(
                self,
                origin,
                target::POLL,
                operation::POLL,
                operation_type::RECEIVE
            ),
            records: 0,
        }
    }

    /// A span for a commit of what a lane has completed. It lasts until the answer.
    pub(super) fn commit(&self, origin: &Origin, from: Option<i64>, offset: i64) -> Span {
        let span = span_of!(
            self,
            origin,
            target::COMMIT,
            operation::COMMIT,
            operation_type::SETTLE
        );
        if !span.is_disabled() {
            span.record(self.version.kafka_offset(), offset);
            #[cfg(feature = "otel")]
            otel::settle(&span, origin, from, offset);
        }
        #[cfg(not(feature = "otel"))]
        let _ = from;
        span
    }
}

/// Makes a commit's span an error.
pub(super) fn refused(span: &Span, name: &str) {
    span.record(attribute::ERROR_TYPE, name);
    span.record("otel.status_code", "ERROR");
}

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct PollSpan {
    span: Span,
    records: usize,
}

impl PollSpan {
    pub(super) fn add(&mut self, records: &[ConsumerRecord]) {
        if self.span.is_disabled() {
            return;
        }
        #[cfg(feature = "otel")]
        otel::link(&self.span, records, LINKS.saturating_sub(self.records));
        self.records += records.len();
        let count = i64::try_from(self.records).unwrap_or(i64::MAX);
        self.span.record(attribute::BATCH_MESSAGE_COUNT, count);
    }
}

#[cfg(feature = "otel")]
mod otel {
    use opentelemetry::{Context, trace::TraceContextExt};
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    use crate::{
        record::{ConsumerRecord, chunk::Origin},
        telemetry::propagation::{extract, span_of},
    };

    /// Links to the spans that the records were sent in.
    pub(super) fn link(span: &Span, records: &[ConsumerRecord], most: usize) {
        for record in records.iter().take(most) {
            if let Some(sent) = span_of(&extract(record.headers())) {
                span.add_link(sent);
            }
        }
    }

    /// The child of the span in which the record was handled, where it is one record; with links to all
    /// that are known otherwise.
    pub(super) fn settle(span: &Span, origin: &Origin, from: Option<i64>, offset: i64) {
        let mut handled = origin.process_spans.take_below(offset);
        let is_all = |first: i64| from == Some(first) && first + 1 == offset;
        if let Some(one) = handled.first_entry().filter(|one| is_all(*one.key())) {
            let parent = Context::new().with_remote_span_context(one.remove());
            // Without OpenTelemetry's layer there is nothing to be a child of.
            let _ = span.set_parent(parent);
            return;
        }
        for (_, one) in handled {
            span.add_link(one);
        }
    }
}
