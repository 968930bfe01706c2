//! OpenTelemetry's names, and trace context in the headers of records: for layers and for the consumer.

mod error_type;
#[cfg(feature = "otel")]
pub mod propagation;
pub mod semconv;

pub(crate) use self::error_type::error_type;

/// The targets of the spans, for filters.
pub(crate) mod target {
    pub(crate) const SEND: &str = "kafka_tower::send";
    pub(crate) const POLL: &str = "kafka_tower::poll";
    pub(crate) const PROCESS: &str = "kafka_tower::process";
    pub(crate) const COMMIT: &str = "kafka_tower::commit";
}
