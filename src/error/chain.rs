//! Walking from an error to its causes.

use std::{error::Error, fmt::Write, io, iter::successors, sync::Arc};

use super::{BoxError, Classified};

/// The first error of type `E` among `error` and its causes, outermost first.
///
/// It follows [`Error::source`], and looks also into boxes and `Arc`s, into [`Classified`], and into
/// an [`io::Error`] that was made from another error: their own `source` leaps over what is in them.
///
/// # Example
///
/// ```
/// use std::io;
/// use kafka_tower::{BoxError, Classified, find_error};
///
/// let full = io::Error::from(io::ErrorKind::StorageFull);
/// let error: BoxError = Classified::unavailable(full).into();
/// let found = find_error::<io::Error>(&*error).expect("the cause");
/// assert_eq!(found.kind(), io::ErrorKind::StorageFull);
/// ```
#[must_use]
pub fn find_error<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(as_type)
}

/// An error and its causes, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| next(*error))
}

fn next<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(marked) = error.downcast_ref::<Classified>() {
        return Some(marked.get_ref());
    }
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The error as an `E`, be it boxed or not.
pub(crate) fn as_type<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    error
        .downcast_ref::<E>()
        .or_else(|| error.downcast_ref::<Box<E>>().map(|error| &**error))
        .or_else(|| error.downcast_ref::<Arc<E>>().map(|error| &**error))
}

/// The messages of an error and its causes on one line. A cause that its error has quoted already is
/// left out.
pub(crate) fn message(error: &(dyn Error + 'static)) -> String {
    let mut message = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            let _ = write!(message, ": {cause}");
        }
    }
    message
}

/// Cuts a text to so many bytes, or a few less where a character would be cut in two.
pub(crate) fn cut(text: &mut String, bytes: usize) {
    if let Some(end) = (0..=bytes.min(text.len())).rfind(|at| text.is_char_boundary(*at)) {
        text.truncate(end);
    }
}

/// Boxes the error of a service, whatever it is. What is in an `anyhow::Error` comes out as itself,
/// since its type would be hidden otherwise.
pub(crate) fn boxed<E: Into<BoxError> + 'static>(error: E) -> BoxError {
    #[cfg(feature = "anyhow")]
    {
        let mut error = Some(error);
        if let Some(error) = (&mut error as &mut dyn std::any::Any)
            .downcast_mut::<Option<anyhow::Error>>()
            .and_then(Option::take)
        {
            return error.reallocate_into_boxed_dyn_error_without_backtrace();
        }
        match error {
            Some(error) => error.into(),
            None => unreachable!("only an `anyhow::Error` was taken out"),
        }
    }
    #[cfg(not(feature = "anyhow"))]
    error.into()
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Outer(BoxError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[derive(Debug, PartialEq)]
    struct Inner(u8);

    impl fmt::Display for Inner {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "inner {}", self.0)
        }
    }

    impl Error for Inner {}

    fn found(error: impl Into<BoxError>) -> Option<u8> {
        let error = Outer(error.into());
        find_error::<Inner>(&error).map(|inner| inner.0)
    }

    #[test]
    fn a_cause_is_found_through_whatever_holds_it() {
        assert_eq!(found(Inner(1)), Some(1));
        assert_eq!(found(Box::new(Inner(2))), Some(2));
        assert_eq!(found(Arc::new(Inner(3))), Some(3));
        assert_eq!(found(io::Error::other(Inner(4))), Some(4));
        assert_eq!(found(Classified::fatal(Inner(5))), Some(5));
        let nested = Classified::fatal(io::Error::other(Outer(Arc::new(Inner(6)).into())));
        assert_eq!(found(nested), Some(6));
        assert_eq!(found(io::Error::from(io::ErrorKind::NotFound)), None);
        assert_eq!(found("text"), None);
    }

    #[test]
    fn a_message_names_each_cause_once() {
        let error = Outer(Outer(Classified::fatal(Inner(1)).into()).into());
        assert_eq!(message(&error), "outer: inner 1");
    }

    #[test]
    fn an_error_is_boxed_once() {
        let boxed = boxed(boxed(Inner(1)));
        assert_eq!(boxed.downcast_ref(), Some(&Inner(1)));
    }

    #[test]
    #[cfg(feature = "anyhow")]
    fn what_anyhow_holds_comes_out_as_itself() {
        let error = boxed(anyhow::Error::new(Inner(1)));
        assert_eq!(error.downcast_ref(), Some(&Inner(1)));
        let error = boxed(anyhow::Error::new(Inner(2)).context("while testing"));
        assert_eq!(find_error(&*error), Some(&Inner(2)));
        assert_eq!(message(&*error), "while testing: inner 2");
    }
}
