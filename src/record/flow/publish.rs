use std::{error::Error, sync::Arc, time::Duration};

use super::{Record, RecordView, Side, Verdict, sealed};
use crate::{
    error::{
        BoxError, Classifier, Classify, ErrorClass, Persistence, PublishError, RetryError,
        find_error,
    },
    record::{Delivery, Extensions, ProducerRecord},
};

/// The attempt of a record to be published, once it isn't the first.
#[derive(Clone)]
struct Attempt(u32);

impl ProducerRecord {
    /// For a record that is published anew: its next publish has attempts and listeners of its own.
    pub(crate) fn forget_attempts(&mut self) {
        self.on_retry = None;
        if self.extensions.get::<Attempt>().is_some() {
            self.extensions.remove::<Attempt>();
        }
    }
}

impl sealed::Sealed for ProducerRecord {}

impl Record for ProducerRecord {
    type Done = Delivery;
    type Error = PublishError;
    const SIDE: Side = Side::Publish;

    fn view(&self) -> RecordView<'_> {
        RecordView {
            topic: &self.topic,
            partition: self.partition,
            offset: None,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
            headers: &self.headers,
            attempt: self.extensions.get().map_or(1, |Attempt(attempt)| *attempt),
        }
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    fn to_producer_record(&self, topic: impl Into<Arc<str>>) -> ProducerRecord {
        let mut copy = Self::to(topic);
        copy.key.clone_from(&self.key);
        copy.payload.clone_from(&self.payload);
        copy.headers = self.headers.clone();
        copy.message_id.clone_from(&self.message_id);
        #[cfg(feature = "otel")]
        if let Some(carried) = self.extensions.get::<crate::record::Carried>() {
            copy.extensions.insert(carried.clone());
        }
        copy
    }

    fn fail(&self, error: BoxError) -> PublishError {
        failed(error, Persistence::PossiblyPersisted, ErrorClass::Retriable).or_record(self)
    }

    fn refuse(&self, error: BoxError) -> PublishError {
        failed(error, Persistence::NotPersisted, ErrorClass::Retriable).or_record(self)
    }

    fn dead(error: BoxError) -> PublishError {
        // By tower's contract it can't be called again.
        failed(error, Persistence::NotPersisted, ErrorClass::Fatal)
    }

    fn repeatable(error: &(dyn Error + 'static)) -> bool {
        find_error(error).is_some_and(|error: &PublishError| {
            error.persistence() == Persistence::NotPersisted && error.dead_letter().is_none()
        })
    }

    fn verdict(_: &Delivery) -> Verdict<'_> {
        Verdict::Done
    }

    fn hand_back(_: Duration, _: ErrorClass) -> Option<Delivery> {
        None
    }

    fn moved(&self, to: Delivery, cause: BoxError) -> Result<Delivery, PublishError> {
        Err(self.fail(cause).with_dead_letter(to))
    }

    fn set_attempt(&mut self, attempt: u32) {
        self.extensions.insert(Attempt(attempt));
    }

    fn retry_scheduled(&self, attempt: u32, after: Duration) {
        if let Some(on_retry) = &self.on_retry {
            on_retry.tell(self, attempt, after);
        }
    }

    fn adopt(&mut self, failed: &(dyn Error + 'static)) {
        if self.message_id.is_none() {
            self.message_id = find_error(failed)
                .and_then(PublishError::record)
                .and_then(|record| record.message_id.clone());
        }
    }

    fn count_attempts(delivery: &mut Delivery, attempts: u32) {
        delivery.attempts = attempts;
    }
}

/// What a publish failed with, as a [`PublishError`]. Where there is none among the causes, the other
/// two are what has to be assumed.
fn failed(error: BoxError, unknown: Persistence, otherwise: ErrorClass) -> PublishError {
    let error = match error.downcast::<PublishError>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let error = match error.downcast::<RetryError>() {
        Ok(error) => return given_up(*error, unknown),
        Err(error) => error,
    };
    let class = Classifier::new().otherwise(otherwise).classify(&*error);
    let cause = find_error::<PublishError>(&*error);
    let persistence = cause.map_or(unknown, PublishError::persistence);
    let code = cause.and_then(PublishError::code);
    PublishError::new(class, persistence, error.to_string())
        .with_source(error)
        .with_optional_code(code)
}

/// One failed attempt is told as what it was; several are told as such, with the last as the cause.
fn given_up(error: RetryError, unknown: Persistence) -> PublishError {
    let class = error.class();
    if error.attempts() == 1 {
        return failed(error.into_cause(), unknown, class).with_class(class);
    }
    let cause = find_error::<PublishError>(&error);
    let persistence = match error.possibly_persisted() {
        true => Persistence::PossiblyPersisted,
        false => cause.map_or(unknown, PublishError::persistence),
    };
    let code = cause.and_then(PublishError::code);
    PublishError::new(class, persistence, error.to_string())
        .with_source(error)
        .with_optional_code(code)
}

#[cfg(test)]
mod tests {
    use tower::timeout::error::Elapsed;

    use super::*;
    use crate::{
        error::{Failures, GaveUp},
        record::MessageId,
    };

    fn refusal(class: ErrorClass) -> PublishError {
        PublishError::new(class, Persistence::NotPersisted, "no").with_code(7)
    }

    fn given_up(attempts: u32, possibly_persisted: bool) -> BoxError {
        let cause = refusal(ErrorClass::Retriable).into();
        let reason = GaveUp::NoAttemptsLeft;
        let class = ErrorClass::Unavailable;
        let error = RetryError::new(class, reason, attempts, Failures::default(), cause);
        error.with_possibly_persisted(possibly_persisted).into()
    }

    #[test]
    fn an_error_of_publishing_stays_itself_and_gets_the_record() {
        let record = ProducerRecord::to("t").message_id("1");
        let error = record.fail(refusal(ErrorClass::Fatal).into());
        assert_eq!(error.record().unwrap().message_id, Some("1".into()));
        assert_eq!(error.code(), Some(7));
        // A record that it has already may know more than ours.
        let knows_more = record.clone().message_id("2");
        let error = record.fail(error.with_record(knows_more).into());
        assert_eq!(error.record().unwrap().message_id, Some("2".into()));
    }

    #[test]
    fn a_foreign_error_gets_record_class_and_doubt() {
        let record = ProducerRecord::to("t").message_id("1");
        let error = record.fail(Elapsed::new().into());
        assert_eq!(error.record().unwrap().message_id, Some("1".into()));
        assert_eq!(error.class(), ErrorClass::Retriable);
        assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
        assert!(error.source().is_some_and(|source| source.is::<Elapsed>()));
        assert!(!ProducerRecord::repeatable(&error));

        let error = record.refuse(Elapsed::new().into());
        assert_eq!(error.persistence(), Persistence::NotPersisted);
        assert!(error.record().is_some());
        let error = ProducerRecord::dead("closed".into());
        assert!(error.record().is_none());
        assert_eq!(error.class(), ErrorClass::Fatal);
    }

    #[test]
    fn a_dead_letter_is_an_error_and_not_repeated() {
        let to = Delivery::new("t.dlq", 0, 7, MessageId::new());
        let cause = refusal(ErrorClass::NonRetriable).into();
        let error = ProducerRecord::to("t")
            .moved(to.clone(), cause)
            .unwrap_err();
        assert_eq!(error.dead_letter(), Some(&to));
        assert!(!ProducerRecord::repeatable(&error));
        assert_eq!(
            error.to_string(),
            "publishing to topic `t` failed: no; the record went to `t.dlq`"
        );
    }

    #[test]
    fn what_a_foreign_error_holds_is_seen_through_it() {
        let held = std::io::Error::other(refusal(ErrorClass::Fatal));
        assert!(ProducerRecord::repeatable(&held));
        let error = ProducerRecord::to("t").fail(held.into());
        assert_eq!(error.class(), ErrorClass::Fatal);
        assert_eq!(error.persistence(), Persistence::NotPersisted);
        assert_eq!(error.code(), Some(7));
    }

    #[test]
    fn one_failed_attempt_is_told_as_what_it_was() {
        let error = ProducerRecord::to("t").fail(given_up(1, false));
        assert_eq!(error.class(), ErrorClass::Unavailable);
        assert!(error.source().is_none());
    }

    #[test]
    fn of_several_attempts_any_may_have_been_written() {
        let record = ProducerRecord::to("t");
        let error = record.fail(given_up(3, false));
        assert_eq!(error.persistence(), Persistence::NotPersisted);
        assert_eq!(find_error(&error).map(RetryError::attempts), Some(3));
        assert_eq!(error.code(), Some(7));
        let error = record.fail(given_up(3, true));
        assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    }

    #[test]
    fn the_id_of_a_failed_attempt_is_kept() {
        let failed = |id: &str| {
            refusal(ErrorClass::Retriable).with_record(ProducerRecord::to("t").message_id(id))
        };
        let mut record = ProducerRecord::to("t");
        record.adopt(&refusal(ErrorClass::Retriable));
        assert_eq!(record.message_id, None);
        record.adopt(&std::io::Error::other(failed("1")));
        record.adopt(&failed("2"));
        assert_eq!(record.message_id, Some("1".into()));
    }

    #[test]
    fn attempts_are_counted() {
        let mut record = ProducerRecord::to("t");
        assert_eq!(record.view().attempt, 1);
        record.set_attempt(3);
        assert_eq!(record.view().attempt, 3);
        let mut delivery = Delivery::new("t", 0, 0, MessageId::new());
        ProducerRecord::count_attempts(&mut delivery, 3);
        assert_eq!(delivery.attempts, 3);
    }

    #[test]
    fn a_copy_for_another_topic_leaves_partition_and_time_behind() {
        let record = ProducerRecord::to("t")
            .key("k")
            .payload("p")
            .header("h", "v");
        let copy = record.message_id("1").partition(3).timestamp(5);
        let copy = copy.to_producer_record("u");
        assert_eq!(
            (&*copy.topic, copy.partition, copy.timestamp),
            ("u", None, None)
        );
        assert_eq!(copy.view().key, Some(&b"k"[..]));
        assert_eq!(copy.view().payload, Some(&b"p"[..]));
        assert_eq!(copy.headers.get("h"), Some(&b"v"[..]));
        assert_eq!(copy.message_id, Some("1".into()));
    }
}
