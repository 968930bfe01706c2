use std::{borrow::Cow, error::Error};

use tower::timeout::error::Elapsed;

use super::semconv::OTHER;
use crate::{
    client::codes,
    error::{Classifier, Classify, PanicError, PublishError, find_error},
};

/// The kind of a failure, one of few: Kafka's name for it, `panic`, `timeout`, or the class of the error.
pub(crate) fn error_type(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    if let Some(code) = find_error(error).and_then(PublishError::code) {
        return codes::name(code).map_or(OTHER.into(), Cow::Owned);
    }
    if find_error::<PanicError>(error).is_some() {
        return "panic".into();
    }
    if find_error::<Elapsed>(error).is_some() {
        return "timeout".into();
    }
    Classifier::new().classify(error).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{BoxError, Classified, ErrorClass, Persistence};

    #[test]
    fn kinds_are_few() {
        let kind = |error: BoxError| error_type(&*error).into_owned();
        let publish = |code| {
            let error = PublishError::new(ErrorClass::Fatal, Persistence::NotPersisted, "no");
            kind(error.with_code(code).into())
        };
        assert_eq!(publish(3), "UnknownTopicOrPartition");
        assert_eq!(publish(12345), "_OTHER");
        assert_eq!(kind(Elapsed::new().into()), "timeout");
        assert_eq!(kind(PanicError::new(Box::new("tea")).into()), "panic");
        let marked = Classified::non_retriable("no customer 42");
        assert_eq!(kind(marked.into()), "non-retriable");
        assert_eq!(kind("customer 42".into()), "retriable");
    }
}
