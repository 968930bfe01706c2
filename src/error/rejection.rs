use std::{borrow::Cow, error::Error, fmt};

use super::{BoxError, ErrorClass, boxed};

/// Why a handler didn't get one of its arguments: what is wrong with the record, or with the
/// program.
///
/// It is an error of its record, and its class says what becomes of that. The message names what
/// and where, never what a key, a payload or a header holds.
///
/// # Example
///
/// An extractor of one's own:
///
/// ```
/// use kafka_tower::{ConsumerRecord, Rejection, extract::FromRecord};
///
/// /// The first byte of the payload.
/// struct Version(u8);
///
/// impl<S> FromRecord<S> for Version {
///     fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
///         let payload = record.payload().ok_or_else(|| Rejection::missing("payload"))?;
///         let first = payload.first().ok_or_else(|| {
///             Rejection::record("the payload has no version", "it is empty")
///         })?;
///         Ok(Self(*first))
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Rejection {
    what: Cow<'static, str>,
    class: ErrorClass,
    missing: bool,
    source: Option<BoxError>,
}

impl Rejection {
    /// The record can't be read as the argument wants it:
    /// [`NonRetriable`](ErrorClass::NonRetriable).
    ///
    /// `what` and the messages of `source` should show nothing of the record's contents: they come
    /// into logs and dead letters.
    #[must_use]
    pub fn record(
        what: impl Into<Cow<'static, str>>,
        source: impl Into<BoxError> + 'static,
    ) -> Self {
        Self {
            what: what.into(),
            class: ErrorClass::NonRetriable,
            missing: false,
            source: Some(boxed(source)),
        }
    }

    /// The record has none of `what`: [`NonRetriable`](ErrorClass::NonRetriable). An argument
    /// `Option<_>` is `None` for it.
    #[must_use]
    pub fn missing(what: impl fmt::Display) -> Self {
        Self {
            what: format!("the record has no {what}").into(),
            class: ErrorClass::NonRetriable,
            missing: true,
            source: None,
        }
    }

    /// The program is wrong, not the record: [`Fatal`](ErrorClass::Fatal), so that a mistake in a
    /// program dead-letters no topic.
    #[must_use]
    pub fn program(what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            what: what.into(),
            class: ErrorClass::Fatal,
            missing: false,
            source: None,
        }
    }

    /// The same as missing: an argument `Option<_>` is `None` for it.
    pub(crate) fn or_none(mut self) -> Self {
        self.missing = true;
        self
    }

    /// What it means for the record.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Whether there is nothing to read, in place of something that can't be read.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.missing
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
