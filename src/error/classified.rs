use std::{error::Error, fmt, time::Duration};

use super::{BoxError, ErrorClass, chain};

/// An error together with its class, to be read by every layer above.
///
/// It shows itself as the error that it holds, so that a mark changes no message; [`find_error`] reaches
/// the error inside.
///
/// # Example
///
/// ```
/// use kafka_tower::{BoxError, Classified};
///
/// fn price(text: &str) -> Result<u32, BoxError> {
///     // Text that is no number now will be none at the next attempt.
///     Ok(text.parse().map_err(Classified::non_retriable)?)
/// }
///
/// let error = price("ten").unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// ```
///
/// [`find_error`]: crate::find_error
pub struct Classified {
    class: ErrorClass,
    retry_after: Option<Duration>,
    error: BoxError,
}

impl Classified {
    /// Marks an error with a class.
    #[must_use]
    pub fn new(class: ErrorClass, error: impl Into<BoxError> + 'static) -> Self {
        Self {
            class,
            retry_after: None,
            error: chain::boxed(error),
        }
    }

    /// Marks it as [`ErrorClass::Retriable`]: a later attempt may succeed.
    #[must_use]
    pub fn retriable(error: impl Into<BoxError> + 'static) -> Self {
        Self::new(ErrorClass::Retriable, error)
    }

    /// Marks it as [`ErrorClass::NonRetriable`]: this record can never succeed.
    #[must_use]
    pub fn non_retriable(error: impl Into<BoxError> + 'static) -> Self {
        Self::new(ErrorClass::NonRetriable, error)
    }

    /// Marks it as [`ErrorClass::Unavailable`]: nothing is wrong with the record.
    #[must_use]
    pub fn unavailable(error: impl Into<BoxError> + 'static) -> Self {
        Self::new(ErrorClass::Unavailable, error)
    }

    /// Marks it as [`ErrorClass::Fatal`]: no record can succeed.
    #[must_use]
    pub fn fatal(error: impl Into<BoxError> + 'static) -> Self {
        Self::new(ErrorClass::Fatal, error)
    }

    /// Says how long to wait before the next attempt, in place of the backoff's own wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The class.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The error inside.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Takes the error out.
    #[must_use]
    pub fn into_inner(self) -> BoxError {
        self.error
    }

    pub(super) fn wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classified")
            .field("class", &self.class)
            .field("retry_after", &self.retry_after)
            .field("error", &self.error)
            .finish()
    }
}

impl Error for Classified {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
