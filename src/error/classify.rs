use std::{
    error::Error, fmt, io, str::Utf8Error, string::FromUtf8Error, sync::Arc, time::Duration,
};

use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

use super::{
    Classified, ConfigError, ErrorClass, PublishError, Rejection, RetryError,
    chain::{as_type, causes},
};

/// Decides what an error means for the record at hand.
///
/// [`Classifier`] is the one to begin with. A function from an error to an [`ErrorClass`] is a
/// classifier as well; it has to know every error that can come.
pub trait Classify: Send + Sync + 'static {
    /// The class of an error.
    fn classify(&self, error: &(dyn Error + 'static)) -> ErrorClass;

    /// How long to wait before the next attempt, where the error says so. By default that is what
    /// [`Classified::retry_after`] was given.
    fn retry_after(&self, error: &(dyn Error + 'static)) -> Option<Duration> {
        causes(error)
            .filter_map(|cause| cause.downcast_ref::<Classified>())
            .find_map(Classified::wait)
    }
}

impl<F> Classify for F
where
    F: Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync + 'static,
{
    fn classify(&self, error: &(dyn Error + 'static)) -> ErrorClass {
        self(error)
    }
}

/// Classifies errors by their type, wherever among the causes they stand.
///
/// The first of these that knows an answer gives it:
///
/// 1. rules of your own ([`on`](Self::on)), in the order in which they were added;
/// 2. marks: [`Classified`], and the class that a retry layer found ([`RetryError`]), outermost first;
/// 3. [`PublishError`], [`Rejection`] and [`ConfigError`];
/// 4. what is known of other crates: tower's `Elapsed` is retriable, its `Overloaded` unavailable;
///    text that is not UTF-8, JSON that can't be read, and [`io::ErrorKind::InvalidData`] are not
///    retriable;
/// 5. [`otherwise`](Self::otherwise): retriable, unless you say something else.
///
/// Cheap to clone, to give the same rules to several layers.
///
/// # Example
///
/// ```
/// use std::io;
/// use kafka_tower::{Classifier, Classify, ErrorClass};
///
/// let classifier = Classifier::new().on(|error: &io::Error| match error.kind() {
///     io::ErrorKind::PermissionDenied => ErrorClass::Fatal,
///     io::ErrorKind::ConnectionRefused => ErrorClass::Unavailable,
///     _ => ErrorClass::Retriable,
/// });
/// let error = io::Error::from(io::ErrorKind::PermissionDenied);
/// assert_eq!(classifier.classify(&error), ErrorClass::Fatal);
/// ```
#[derive(Clone)]
#[must_use = "a classifier has an effect only when a layer is given it"]
pub struct Classifier {
    rules: Vec<Rule>,
    otherwise: ErrorClass,
}

type Rule = Arc<dyn Fn(&(dyn Error + 'static)) -> Option<ErrorClass> + Send + Sync>;

impl Classifier {
    /// A classifier without rules of one's own; allocates nothing.
    pub const fn new() -> Self {
        Self {
            rules: Vec::new(),
            otherwise: ErrorClass::Retriable,
        }
    }

    /// Adds a rule for errors of type `E`: the outermost of them among the causes decides.
    pub fn on<E: Error + 'static>(
        mut self,
        rule: impl Fn(&E) -> ErrorClass + Send + Sync + 'static,
    ) -> Self {
        self.rules
            .push(Arc::new(move |cause| as_type::<E>(cause).map(&rule)));
        self
    }

    /// The class of an error of which nothing is known; [`ErrorClass::Retriable`] without.
    pub fn otherwise(mut self, class: ErrorClass) -> Self {
        self.otherwise = class;
        self
    }
}

impl Classify for Classifier {
    fn classify(&self, error: &(dyn Error + 'static)) -> ErrorClass {
        let among_causes = |known: &dyn Fn(&(dyn Error + 'static)) -> Option<ErrorClass>| {
            causes(error).find_map(known)
        };
        self.rules
            .iter()
            .find_map(|rule| among_causes(&**rule))
            .or_else(|| among_causes(&mark))
            .or_else(|| among_causes(&own))
            .or_else(|| among_causes(&foreign))
            .unwrap_or(self.otherwise)
    }
}

fn mark(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    as_type::<Classified>(error)
        .map(Classified::class)
        .or_else(|| as_type::<RetryError>(error).map(RetryError::class))
}

fn own(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    as_type::<PublishError>(error)
        .map(PublishError::class)
        .or_else(|| as_type::<Rejection>(error).map(Rejection::class))
        .or_else(|| as_type::<ConfigError>(error).map(|_| ErrorClass::Fatal))
}

fn foreign(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if error.is::<Elapsed>() {
        return Some(ErrorClass::Retriable);
    }
    if error.is::<Overloaded>() {
        return Some(ErrorClass::Unavailable);
    }
    is_bad_data(error).then_some(ErrorClass::NonRetriable)
}

fn is_bad_data(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "json")]
    if let Some(error) = as_type::<serde_json::Error>(error) {
        return !error.is_io();
    }
    as_type::<Utf8Error>(error).is_some()
        || as_type::<FromUtf8Error>(error).is_some()
        || as_type::<io::Error>(error)
            .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier")
            .field("rules", &self.rules.len())
            .field("otherwise", &self.otherwise)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{BoxError, Persistence};

    fn class(error: impl Into<BoxError>) -> ErrorClass {
        Classifier::new().classify(&*error.into())
    }

    fn publish_error(class: ErrorClass) -> PublishError {
        PublishError::new(class, Persistence::NotPersisted, "no")
    }

    #[test]
    fn what_is_known_without_rules() {
        use ErrorClass::{Fatal, NonRetriable, Retriable, Unavailable};
        assert_eq!(class("what is it"), Retriable);
        assert_eq!(class(Elapsed::new()), Retriable);
        assert_eq!(class(Overloaded::new()), Unavailable);
        assert_eq!(class(io::Error::from(io::ErrorKind::NotFound)), Retriable);
        assert_eq!(
            class(io::Error::from(io::ErrorKind::InvalidData)),
            NonRetriable
        );
        assert_eq!(
            class(String::from_utf8(vec![255]).unwrap_err()),
            NonRetriable
        );
        let text = vec![255];
        assert_eq!(class(std::str::from_utf8(&text).unwrap_err()), NonRetriable);
        assert_eq!(class(ConfigError::new(Vec::new())), Fatal);
        for of_it in [Fatal, NonRetriable, Retriable, Unavailable] {
            assert_eq!(class(publish_error(of_it)), of_it);
            assert_eq!(class(Box::new(publish_error(of_it))), of_it);
        }
    }

    #[test]
    #[cfg(feature = "json")]
    fn json_that_can_not_be_read_is_not_retriable_and_a_broken_stream_is() {
        let bad = serde_json::from_str::<u32>("{").unwrap_err();
        assert_eq!(class(bad), ErrorClass::NonRetriable);
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let broken = serde_json::from_reader::<_, u32>(Broken).unwrap_err();
        assert_eq!(class(broken), ErrorClass::Retriable);
    }

    #[test]
    fn rules_go_before_marks_and_marks_before_types() {
        let marked = || Classified::unavailable(publish_error(ErrorClass::Fatal));
        assert_eq!(class(marked()), ErrorClass::Unavailable);
        // A mark counts also where it stands below the type.
        let below = publish_error(ErrorClass::Fatal).with_source(Classified::retriable("x"));
        assert_eq!(class(below), ErrorClass::Retriable);
        // Of two marks the outer one does.
        let twice = Classified::non_retriable(marked());
        assert_eq!(class(twice), ErrorClass::NonRetriable);
        let ruled =
            Classifier::new()
                .on(|_: &io::Error| ErrorClass::Fatal)
                .on(|error: &PublishError| match error.class() {
                    ErrorClass::Fatal => ErrorClass::NonRetriable,
                    other => other,
                });
        assert_eq!(ruled.classify(&marked()), ErrorClass::NonRetriable);
    }

    #[test]
    fn a_rule_finds_its_type_below_other_errors() {
        let error = publish_error(ErrorClass::Retriable)
            .with_source(io::Error::from(io::ErrorKind::PermissionDenied));
        let ruled = Classifier::new().on(|_: &io::Error| ErrorClass::Fatal);
        assert_eq!(ruled.classify(&error), ErrorClass::Fatal);
        let unknown = Classifier::new().otherwise(ErrorClass::NonRetriable);
        let error: BoxError = "?".into();
        assert_eq!(unknown.classify(&*error), ErrorClass::NonRetriable);
    }

    #[test]
    fn a_hint_when_to_come_back_is_found() {
        let wait = Duration::from_secs(7);
        let hint = Classified::retriable("busy").retry_after(wait);
        let error = publish_error(ErrorClass::Retriable).with_source(Classified::fatal(hint));
        assert_eq!(Classifier::new().retry_after(&error), Some(wait));
        assert_eq!(Classifier::new().retry_after(&Elapsed::new()), None);
    }

    #[test]
    fn a_function_is_a_classifier() {
        let all = |_: &(dyn Error + 'static)| ErrorClass::Fatal;
        assert_eq!(all.classify(&Elapsed::new()), ErrorClass::Fatal);
    }
}
