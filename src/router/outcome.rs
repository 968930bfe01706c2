use crate::{
    error::{BoxError, boxed},
    record::{Delivery, Outcome},
};

/// What a handler may return.
///
/// | | |
/// |---|---|
/// | `()` | [`Outcome::Ack`] |
/// | [`Outcome`] | itself |
/// | [`Delivery`] | [`Outcome::Moved`] |
/// | a `Result` of one of these and any error | the same, or a failure of the record |
#[diagnostic::on_unimplemented(
    message = "a handler can't return `{Self}`",
    label = "not what a handler may return",
    note = "a handler returns `()`, `Outcome`, `Delivery`, or a `Result` of one of these whose \
            error converts into `BoxError`; one that returns a `ProducerRecord` goes through \
            `transform`"
)]
pub trait IntoOutcome {
    /// What it means for the record.
    ///
    /// # Errors
    ///
    /// The handler's own, boxed; one that was boxed in an `anyhow::Error` keeps its type with the
    /// feature `anyhow`.
    fn into_outcome(self) -> Result<Outcome, BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Ack)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(self)
    }
}

impl IntoOutcome for Delivery {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Moved { to: self })
    }
}

// `T` is no `Into<Outcome>`: what is wrong with it would be told in words of that trait.
impl<T: IntoOutcome, E: Into<BoxError> + 'static> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        self.map_err(boxed)?.into_outcome()
    }
}
