use std::{error::Error, sync::Arc, time::Duration};

use super::{Record, RecordView, Side, Verdict, sealed};
use crate::{
    error::{BoxError, ErrorClass},
    record::{ConsumerRecord, Delivery, Extensions, Outcome, ProducerRecord},
};

impl sealed::Sealed for ConsumerRecord {}

impl Record for ConsumerRecord {
    type Done = Outcome;
    type Error = BoxError;
    const SIDE: Side = Side::Consume;

    fn view(&self) -> RecordView<'_> {
        RecordView {
            topic: self.topic(),
            partition: Some(self.partition()),
            offset: Some(self.offset()),
            timestamp: self.timestamp(),
            key: self.key(),
            payload: self.payload(),
            headers: self.headers(),
            attempt: self.attempt(),
        }
    }

    fn extensions(&self) -> &Extensions {
        Self::extensions(self)
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        Self::extensions_mut(self)
    }

    fn to_producer_record(&self, topic: impl Into<Arc<str>>) -> ProducerRecord {
        let mut copy = ProducerRecord::to(topic);
        copy.key = self.key_bytes();
        copy.payload = self.payload_bytes();
        copy.headers = self.headers().clone();
        #[cfg(feature = "otel")]
        if !copy.headers.is_empty() {
            let carried = crate::record::Carried(copy.headers.clone());
            copy.extensions.insert(carried);
        }
        copy
    }

    fn fail(&self, error: BoxError) -> BoxError {
        error
    }

    fn refuse(&self, error: BoxError) -> BoxError {
        error
    }

    fn dead(error: BoxError) -> BoxError {
        error
    }

    fn repeatable(_: &(dyn Error + 'static)) -> bool {
        // Handled at least once: a handler has to bear with a repetition.
        true
    }

    fn verdict(outcome: &Outcome) -> Verdict<'_> {
        match outcome {
            Outcome::Retry { after } => Verdict::Retry { after: *after },
            Outcome::Defer { after } => Verdict::Defer { after: *after },
            Outcome::DeadLetter { reason } => Verdict::DeadLetter {
                reason: reason.as_ref(),
            },
            Outcome::Ack | Outcome::Skip | Outcome::Moved { .. } | Outcome::Stop => Verdict::Done,
        }
    }

    fn hand_back(after: Duration, class: ErrorClass) -> Option<Outcome> {
        Some(match class {
            ErrorClass::Unavailable => Outcome::Defer { after },
            _ => Outcome::Retry { after: Some(after) },
        })
    }

    fn moved(&self, to: Delivery, _: BoxError) -> Result<Outcome, BoxError> {
        Ok(Outcome::Moved { to })
    }

    fn set_attempt(&mut self, attempt: u32) {
        *self = self.clone().with_attempt(attempt);
    }

    fn retry_scheduled(&self, _: u32, _: Duration) {}

    fn adopt(&mut self, _: &(dyn Error + 'static)) {}

    fn count_attempts(_: &mut Outcome, _: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_for_another_topic_leaves_partition_and_time_behind() {
        let record = ConsumerRecord::builder("t", 3, 7).key("k").payload("p");
        let copy = record.timestamp(5).build().to_producer_record("u");
        assert_eq!(
            (&*copy.topic, copy.partition, copy.timestamp),
            ("u", None, None)
        );
        assert_eq!(copy.view().key, Some(&b"k"[..]));
        assert_eq!(copy.view().payload, Some(&b"p"[..]));
    }

    #[test]
    fn the_class_decides_whether_handing_back_counts() {
        let after = Duration::from_secs(1);
        let back = ConsumerRecord::hand_back(after, ErrorClass::Retriable);
        assert_eq!(back, Some(Outcome::Retry { after: Some(after) }));
        let back = ConsumerRecord::hand_back(after, ErrorClass::Unavailable);
        assert_eq!(back, Some(Outcome::Defer { after }));
    }

    #[test]
    fn the_attempt_is_set_on_one_clone_only() {
        let record = ConsumerRecord::builder("t", 0, 0).build();
        let mut clone = record.clone();
        clone.set_attempt(3);
        assert_eq!((record.attempt(), clone.view().attempt), (1, 3));
    }
}
