use std::{
    any::Any,
    error::Error,
    fmt,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A service panicked; the record at hand failed, and nothing else.
///
/// Of itself it is retriable, as any failure of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanicError {
    message: Box<str>,
}

impl PanicError {
    pub(crate) fn new(panic: Box<dyn Any + Send>) -> Self {
        let message = match panic.downcast::<String>() {
            Ok(message) => message.into_boxed_str(),
            Err(panic) => match panic.downcast_ref::<&'static str>() {
                Some(message) => Box::from(*message),
                None => {
                    let_go(panic);
                    Box::from("no message")
                }
            },
        };
        Self { message }
    }

    /// What `panic!` was given; "no message" where that was no text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Drops what is the user's, whatever its destructor does.
pub(crate) fn let_go<T>(it: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(it))) {
        // Its destructor may panic as well.
        let _ = ManuallyDrop::new(panic);
    }
}

impl fmt::Display for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service panicked: {}", self.message)
    }
}

impl Error for PanicError {}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    #[test]
    fn its_message_is_that_of_the_panic() {
        let message =
            |panicking: fn()| PanicError::new(catch_unwind(panicking).unwrap_err()).message;
        assert_eq!(&*message(|| panic!("plain")), "plain");
        assert_eq!(&*message(|| panic!("{} 1", "number")), "number 1");
        assert_eq!(&*message(|| panic_any(1)), "no message");
    }

    #[test]
    fn what_a_panic_was_given_may_panic_when_it_is_dropped() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic_any(Self);
            }
        }
        let error = PanicError::new(catch_unwind(|| panic_any(Panics)).unwrap_err());
        assert_eq!(error.message(), "no message");
    }
}
