//! librdkafka's log lines and errors, as `tracing` events.

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
};

use super::redact::escape;

/// The context of a client that does nothing but log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logging;

impl Logging {
    /// The least level that a subscriber wants, so that librdkafka doesn't format lines in vain.
    pub(crate) fn level() -> RDKafkaLogLevel {
        if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
            RDKafkaLogLevel::Debug
        } else if tracing::enabled!(target: "librdkafka", tracing::Level::INFO) {
            RDKafkaLogLevel::Info
        } else if tracing::enabled!(target: "librdkafka", tracing::Level::WARN) {
            RDKafkaLogLevel::Warning
        } else {
            RDKafkaLogLevel::Error
        }
    }

    /// Logs a line of librdkafka; `level` is syslog's.
    pub(crate) fn line(level: i32, facility: &str, line: &str) {
        let (facility, line) = (escape(facility), escape(line));
        match level {
            // The same comes as an error of the client, which is logged with what to do about it. Of a
            // lesser level, as for a connection that isn't set up in time, it doesn't.
            ..=3 if facility == "FAIL" => {
                tracing::debug!(target: "librdkafka", %facility, "{line}")
            }
            ..=3 => tracing::error!(target: "librdkafka", %facility, "{line}"),
            4 => tracing::warn!(target: "librdkafka", %facility, "{line}"),
            5 | 6 => tracing::info!(target: "librdkafka", %facility, "{line}"),
            _ => tracing::debug!(target: "librdkafka", %facility, "{line}"),
        }
    }
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Self::line(level as i32, facility, line);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "librdkafka", %error, "{}", escape(reason));
    }
}

impl ConsumerContext for Logging {}
