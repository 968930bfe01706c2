use std::sync::Arc;

use tracing::{
    Level, Span,
    field::{self, Empty},
    level_filters::LevelFilter,
    span,
};

use crate::{
    record::{MatchedRoute, Record, RecordView, Side},
    telemetry::{
        semconv::{SYSTEM_KAFKA, SemConv, attribute, operation, operation_type},
        target,
    },
};

/// The header that the publisher's presets send ids in.
const MESSAGE_ID_HEADER: &str = "message-id";
/// What is longer is no id.
const MESSAGE_ID_BYTES: usize = 256;

/// Makes the span of a record.
///
/// Implemented for functions that take the same. A span for a consumed record is to be made with
/// `parent: None`, and not entered: the layer sets the parent that the record's headers name.
pub trait MakeSpan<R: Record> {
    /// Makes the span; [`Span::none`] for a record that is not to be traced.
    fn make_span(&self, record: &R) -> Span;
}

impl<R: Record, F: Fn(&R) -> Span> MakeSpan<R> for F {
    fn make_span(&self, record: &R) -> Span {
        self(record)
    }
}

/// Makes spans with the names and attributes of OpenTelemetry's conventions, see
/// [`layers::trace`](super#the-spans).
#[derive(Debug, Clone)]
#[must_use = "it has an effect only when a layer is given it"]
pub struct DefaultMakeSpan {
    level: Level,
    version: SemConv,
    group: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
    server: Option<(Arc<str>, u16)>,
    key: bool,
    body_size: bool,
}

impl DefaultMakeSpan {
    /// Spans at `INFO` without keys and sizes.
    pub fn new() -> Self {
        Self {
            level: Level::INFO,
            version: SemConv::default(),
            group: None,
            client_id: None,
            server: None,
            key: false,
            body_size: false,
        }
    }

    /// The level of the spans; `INFO` by default.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The version of the conventions whose names the attributes have.
    pub fn semconv(mut self, version: SemConv) -> Self {
        self.version = version;
        self
    }

    /// The consumer group, for process spans (`messaging.consumer.group.name`).
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The client's name (`messaging.client.id`).
    pub fn client_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// The cluster's address (`server.address`, `server.port`): a record doesn't know its broker.
    pub fn server(mut self, host: impl Into<Arc<str>>, port: u16) -> Self {
        self.server = Some((host.into(), port));
        self
    }

    /// Shows the records' keys, where they are text. Keys are often personal data.
    pub fn include_key(mut self, include: bool) -> Self {
        self.key = include;
        self
    }

    /// Shows the payloads' sizes in bytes.
    pub fn include_body_size(mut self, include: bool) -> Self {
        self.body_size = include;
        self
    }

    fn key<'a>(&self, record: &RecordView<'a>) -> Option<&'a str> {
        std::str::from_utf8(record.key.filter(|_| self.key)?).ok()
    }

    fn body_size(&self, record: &RecordView<'_>) -> Option<i64> {
        let size = record.payload.filter(|_| self.body_size)?.len();
        i64::try_from(size).ok()
    }
}

impl Default for DefaultMakeSpan {
    fn default() -> Self {
        Self::new()
    }
}

/// A span with all attributes. Macros, since level, names and parent of a span have to be constants.
macro_rules! record_span {
    (
        $maker:ident, $record:ident, $level:expr, $version:expr,
        $target:expr, [$($parent:tt)*], $name:expr, $kind:literal, $type:expr,
        $partition:expr, $id:expr, $group:expr, $attempt:expr
    ) => {{
        let view = $record.view();
        let route = $record.extensions().get::<MatchedRoute>().map(MatchedRoute::as_str);
        span!(
            target: $target, $($parent)* $level, $name,
            otel.name = format_args!("{} {}", $name, route.unwrap_or(view.topic)),
            otel.kind = $kind,
            otel.status_code = Empty,
            otel.status_description = Empty,
            { $version.system() } = SYSTEM_KAFKA,
            { attribute::OPERATION_NAME } = $name,
            { attribute::OPERATION_TYPE } = $type,
            { attribute::DESTINATION_NAME } = view.topic,
            { attribute::DESTINATION_TEMPLATE } = route,
            { attribute::DESTINATION_PARTITION_ID } = $partition,
            { attribute::CONSUMER_GROUP_NAME } = $group,
            { attribute::CLIENT_ID } = $maker.client_id.as_deref(),
            { attribute::SERVER_ADDRESS } = $maker.server.as_ref().map(|(host, _)| &**host),
            { attribute::SERVER_PORT } = $maker.server.as_ref().map(|(_, port)| i64::from(*port)),
            { $version.kafka_offset() } = view.offset,
            { $version.kafka_message_key() } = $maker.key(&view),
            { $version.kafka_message_tombstone() } = view.payload.is_none().then_some(true),
            { attribute::MESSAGE_ID } = $id,
            { attribute::MESSAGE_BODY_SIZE } = $maker.body_size(&view),
            { attribute::ATTEMPT } = $attempt,
            { attribute::OUTCOME } = Empty,
            { attribute::ERROR_TYPE } = Empty,
        )
    }};
}

macro_rules! span_at {
    ($maker:ident, $record:ident, $level:expr, $version:expr) => {
        match R::SIDE {
            Side::Publish => record_span!(
                $maker, $record, $level, $version, target::SEND, [],
                operation::SEND, "producer", operation_type::SEND,
                // Partition and id are known for sure at the end, and what is recorded again is exported twice.
                Empty, Empty, None::<&str>, Empty
            ),
            Side::Consume => record_span!(
                $maker, $record, $level, $version, target::PROCESS, [parent: None,],
                operation::PROCESS, "consumer", operation_type::PROCESS,
                $record.view().partition.map(field::display),
                message_id(&$record.view()).map(field::display),
                $maker.group.as_deref(), i64::from($record.view().attempt)
            ),
        }
    };
    ($maker:ident, $record:ident, $level:expr) => {
        match $maker.version {
            SemConv::V1_44 => span_at!($maker, $record, $level, SemConv::V1_44),
            SemConv::V1_45 => span_at!($maker, $record, $level, SemConv::V1_45),
        }
    };
}

impl<R: Record> MakeSpan<R> for DefaultMakeSpan {
    fn make_span(&self, record: &R) -> Span {
        // Where `tracing` is built to log to the crate `log`, as `axum` builds it, it would go through all
        // fields for want of a subscriber.
        if self.level > LevelFilter::current() {
            return Span::none();
        }
        match self.level {
            Level::ERROR => span_at!(self, record, Level::ERROR),
            Level::WARN => span_at!(self, record, Level::WARN),
            Level::INFO => span_at!(self, record, Level::INFO),
            Level::DEBUG => span_at!(self, record, Level::DEBUG),
            Level::TRACE => span_at!(self, record, Level::TRACE),
        }
    }
}

/// The id that a consumed record has in its headers.
fn message_id<'a>(record: &RecordView<'a>) -> Option<&'a str> {
    let id = record.headers.get(MESSAGE_ID_HEADER)?;
    let id = Some(id).filter(|id| id.len() <= MESSAGE_ID_BYTES)?;
    std::str::from_utf8(id).ok()
}
