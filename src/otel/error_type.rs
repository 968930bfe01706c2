use std::{borrow::Cow, error::Error};

use tower::timeout::error::Elapsed;

use crate::{
    client::codes,
    error::{Classifier, Classify, PanicError, PublishError, find},
};

/// The kind of a failure, one of few: Kafka's name for it, `panic`, `timeout`, or the class of the error.
pub(crate) fn error_type(error: &(dyn Error + 'static)) -> Cow<'static, str> {
    if find::<PanicError>(error).is_some() {
        return "panic".into();
    }
    let code = find(error).and_then(PublishError::code);
    if let Some(name) = code.and_then(codes::name) {
        return name.into();
    }
    if find::<Elapsed>(error).is_some() {
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
        let publish = PublishError::new(ErrorClass::Fatal, Persistence::NotPersisted, "no");
        assert_eq!(kind(publish.with_code(3).into()), "UnknownTopicOrPartition");
        assert_eq!(kind(Elapsed::new().into()), "timeout");
        assert_eq!(kind(PanicError::new(Box::new("tea")).into()), "panic");
        let marked = Classified::non_retriable("no customer 42");
        assert_eq!(kind(marked.into()), "non-retriable");
        assert_eq!(kind("customer 42".into()), "retriable");
    }
}
