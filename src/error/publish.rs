use std::{borrow::Cow, error::Error, fmt};

use super::{BoxError, ErrorClass, Persistence};
use crate::record::{Delivery, ProducerRecord};

/// Publishing failed. The record comes back with the reason: nothing is lost by failing.
///
/// One pointer wide.
pub struct PublishError(Box<Inner>);

struct Inner {
    record: Option<ProducerRecord>,
    class: ErrorClass,
    persistence: Persistence,
    code: Option<i32>,
    dead_letter: Option<Delivery>,
    reason: Cow<'static, str>,
    source: Option<BoxError>,
}

impl PublishError {
    /// An error of one's own, for layers and fakes: `reason` says what happened and what to do.
    #[must_use]
    pub fn new(
        class: ErrorClass,
        persistence: Persistence,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            record: None,
            class,
            persistence,
            code: None,
            dead_letter: None,
            reason: reason.into(),
            source: None,
        }))
    }

    /// Gives the record back with the error.
    #[must_use]
    pub fn with_record(mut self, record: ProducerRecord) -> Self {
        self.0.record = Some(record);
        self
    }

    /// Adds librdkafka's error code.
    #[must_use]
    pub fn with_code(mut self, code: i32) -> Self {
        self.0.code = Some(code);
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_dead_letter(mut self, to: Delivery) -> Self {
        self.0.dead_letter = Some(to);
        self
    }

    pub(crate) fn with_class(mut self, class: ErrorClass) -> Self {
        self.0.class = class;
        self
    }

    pub(crate) fn with_optional_code(mut self, code: Option<i32>) -> Self {
        self.0.code = code.or(self.0.code);
        self
    }

    /// Gives the record back, unless the error holds it already.
    pub(crate) fn or_record(mut self, record: &ProducerRecord) -> Self {
        self.0.record.get_or_insert_with(|| record.clone());
        self
    }

    /// The record; `None` for an error of `poll_ready`, when there was none yet.
    #[must_use]
    pub fn record(&self) -> Option<&ProducerRecord> {
        self.0.record.as_ref()
    }

    /// Takes the record back, with its message id, to publish it again or elsewhere.
    #[must_use]
    pub fn into_record(self) -> Option<ProducerRecord> {
        let mut record = self.0.record?;
        record.forget_attempts();
        Some(record)
    }

    /// What the error means for the record.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }

    /// Whether Kafka may have written the record all the same.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.0.persistence
    }

    /// Where a dead-letter layer has put the record; it is not lost, and not to be sent again.
    #[must_use]
    pub fn dead_letter(&self) -> Option<&Delivery> {
        self.0.dead_letter.as_ref()
    }

    /// librdkafka's error code: positive ones are the Kafka protocol's, negative ones its own.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.0.code
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        match &inner.record {
            Some(record) => write!(
                f,
                "publishing to topic `{}` failed: ",
                record.topic.escape_debug()
            )?,
            None => f.write_str("can't publish: ")?,
        }
        f.write_str(&inner.reason)?;
        if let Some(to) = &inner.dead_letter {
            write!(f, "; the record went to `{}`", to.topic.escape_debug())?;
        }
        match inner.persistence {
            Persistence::NotPersisted => Ok(()),
            Persistence::PossiblyPersisted => f.write_str(
                " (Kafka may have written the record: sending it again may duplicate it)",
            ),
        }
    }
}

impl fmt::Debug for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("PublishError")
            .field("reason", &inner.reason)
            .field("class", &inner.class)
            .field("persistence", &inner.persistence)
            .field("code", &inner.code)
            .field("dead_letter", &inner.dead_letter)
            .field("record", &inner.record)
            .field("source", &inner.source)
            .finish()
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
