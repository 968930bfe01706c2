use std::{error::Error, fmt};

use super::Summary;
use crate::{
    client::{codes, tls},
    error::{BoxError, ConfigError, ErrorClass},
};

/// Why a consumer ended before it was told to.
///
/// Whatever was complete by then is committed as far as Kafka could be reached; the [`Summary`]
/// says how far. No message shows a key, a payload or a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// Neither the settings nor the app name a topic.
    NoTopics,
    /// A topic or a prefix that the app names can't be subscribed to, or librdkafka refused a setting.
    Config(ConfigError),
    /// A record failed and no layer handled that. Nothing is skipped silently: the record is not
    /// committed and is read again at the next start.
    #[non_exhaustive]
    Unhandled {
        /// The record's topic.
        topic: String,
        /// The record's partition.
        partition: i32,
        /// The record's offset; 0 where the source says that a dispatcher ended, and no record did.
        offset: i64,
        /// The error of the service, or its panic. Or what ended a dispatcher: its runtime, or a
        /// destructor that panicked.
        source: BoxError,
        /// What was done until then.
        summary: Box<Summary>,
    },
    /// `poll_ready` failed: by tower's contract the service can't be called again.
    #[non_exhaustive]
    ServiceEnded {
        /// The topic of the lane whose service ended.
        topic: String,
        /// The partition of that lane.
        partition: i32,
        /// The offset of the record that the service was to get.
        offset: i64,
        /// The error of `poll_ready`.
        source: BoxError,
        /// What was done until then.
        summary: Box<Summary>,
    },
    /// The client can't go on: wrong credentials, a missing right, records that are gone, a fenced
    /// identity. Kafka being unreachable is none of these; the consumer keeps trying then.
    #[non_exhaustive]
    Client {
        /// librdkafka's error code: positive ones are the Kafka protocol's, negative ones its own.
        code: Option<i32>,
        /// What happened.
        reason: String,
        /// What it means; `Fatal` unless starting again may help.
        class: ErrorClass,
        /// What was done until then.
        summary: Box<Summary>,
    },
}

impl ServeError {
    /// What was done until the error; `None` where nothing was begun.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        match self {
            Self::NoTopics | Self::Config(_) => None,
            Self::Unhandled { summary, .. }
            | Self::ServiceEnded { summary, .. }
            | Self::Client { summary, .. } => Some(summary),
        }
    }

    pub(super) fn with_summary(mut self, filled: Summary) -> Self {
        match &mut self {
            Self::NoTopics | Self::Config(_) => {}
            Self::Unhandled { summary, .. }
            | Self::ServiceEnded { summary, .. }
            | Self::Client { summary, .. } => **summary = filled,
        }
        self
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTopics => f.write_str(
                "no topic to consume: name topics with `ConsumerSettings::topics`, or serve an app \
                 that names its own",
            ),
            Self::Config(error) => error.fmt(f),
            Self::Unhandled {
                topic,
                partition,
                offset,
                ..
            } => write!(
                f,
                "the record at topic `{topic}` partition {partition} offset {offset} failed and no \
                 layer handled that; it is not committed and will be read again: fix the cause, \
                 which is this error's source, add a dead-letter layer, or choose another \
                 `on_unhandled`"
            ),
            Self::ServiceEnded {
                topic,
                partition,
                offset,
                ..
            } => write!(
                f,
                "the service for topic `{topic}` partition {partition} ended before offset \
                 {offset}: its `poll_ready` failed, so it can't be called again; a service that \
                 is only busy answers `Pending`"
            ),
            Self::Client { code, reason, .. } => {
                write!(f, "the consumer can't go on: {reason}")?;
                if let Some(name) = code.and_then(codes::name) {
                    write!(f, " ({name})")?;
                }
                match code.and_then(|code| advice(code, reason)) {
                    Some(advice) => write!(f, "; {advice}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unhandled { source, .. } | Self::ServiceEnded { source, .. } => Some(&**source),
            Self::Config(error) => error.source(),
            Self::NoTopics | Self::Client { .. } => None,
        }
    }
}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// What to do about a client error.
fn advice(code: i32, reason: &str) -> Option<&'static str> {
    use rdkafka::types::RDKafkaErrorCode as Code;
    let is = |candidates: &[Code]| candidates.iter().any(|known| *known as i32 == code);
    if is(&[Code::Authentication, Code::SaslAuthenticationFailed]) {
        Some("check sasl.username, sasl.password and sasl.mechanism, and the user on the broker")
    } else if is(&[Code::GroupAuthorizationFailed]) {
        Some("grant this user Read on the consumer group")
    } else if is(&[Code::TopicAuthorizationFailed]) {
        Some("grant this user Read and Describe on the topic")
    } else if is(&[Code::SSL]) {
        Some(tls::advice(reason))
    } else if is(&[Code::AutoOffsetReset, Code::OffsetOutOfRange]) {
        Some(
            "the records after the committed offset are gone or nothing was ever committed: set \
             the group's offset by hand, or choose another `OffsetReset`",
        )
    } else if is(&[Code::FencedInstanceId, Code::UnreleasedInstanceId]) {
        Some("another member has the same group.instance.id: give each its own")
    } else if is(&[Code::InconsistentGroupProtocol]) {
        Some(
            "all members of a group need the same `assignment_strategy` and `group.protocol`: stop \
             those that have another before this one starts",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let error = ServeError::Unhandled {
            topic: "orders".into(),
            partition: 3,
            offset: 42,
            source: "boom".into(),
            summary: Box::default(),
        };
        let shown = error.to_string();
        assert!(
            shown.contains("topic `orders` partition 3 offset 42"),
            "{shown}"
        );
        assert_eq!(error.source().unwrap().to_string(), "boom");
        assert_eq!(error.summary(), Some(&Summary::default()));

        let error = ServeError::Client {
            code: Some(-169),
            reason: "SASL handshake failed".into(),
            class: ErrorClass::Fatal,
            summary: Box::default(),
        };
        let shown = error.to_string();
        assert!(
            shown.contains("SASL handshake failed (Authentication); check"),
            "{shown}"
        );
    }
}
