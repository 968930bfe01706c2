//! What an answer says about its record.

use std::{any::Any, borrow::Cow, error::Error};

use super::Disposition;
use crate::{
    error::{BoxError, Classifier, Classify, ErrorClass, PublishError, RetryError, find_error},
    record::{Delivery, Outcome, Record, Side},
    telemetry::error_type,
};

/// Of a call that ended, all but how long it took.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) disposition: Disposition,
    pub(super) partition: Option<i32>,
    pub(super) attempts: u32,
    pub(super) retries: u32,
    pub(super) error: Option<(ErrorClass, Cow<'static, str>)>,
}

impl Judgement {
    pub(super) fn new<R: Record>(record: &R, result: &Result<R::Done, BoxError>) -> Self {
        let view = record.view();
        let blank = Self {
            disposition: Disposition::Failed,
            partition: view.partition,
            attempts: view.attempt,
            retries: 0,
            error: None,
        };
        let done: &dyn Any = match result {
            Ok(done) => done,
            Err(error) => return blank.failed(R::SIDE, &**error),
        };
        if let Some(outcome) = done.downcast_ref() {
            return blank.handled(outcome);
        }
        match done.downcast_ref::<Delivery>() {
            Some(delivery) => Self {
                disposition: Disposition::Delivered,
                partition: Some(delivery.partition),
                attempts: delivery.attempts,
                retries: delivery.attempts.saturating_sub(1),
                ..blank
            },
            None => blank,
        }
    }

    fn handled(mut self, outcome: &Outcome) -> Self {
        self.disposition = match outcome {
            Outcome::Ack => Disposition::Acked,
            Outcome::Skip => Disposition::Skipped,
            Outcome::Moved { .. } => Disposition::Moved,
            Outcome::Retry { .. } => {
                self.retries = 1;
                let class = ErrorClass::Retriable;
                self.error = Some((class, name(class).into()));
                Disposition::Retried
            }
            Outcome::Defer { .. } => Disposition::Deferred,
            Outcome::DeadLetter { .. } => {
                self.error = Some((ErrorClass::NonRetriable, "dead_letter".into()));
                Disposition::DeadLetter
            }
            Outcome::Stop => Disposition::Stopped,
        };
        self
    }

    fn failed(mut self, side: Side, error: &(dyn Error + 'static)) -> Self {
        let class = Classifier::new().classify(error);
        self.error = Some((class, error_type(error)));
        match side {
            Side::Publish => {
                self.attempts = find_error(error).map_or(1, RetryError::attempts);
                self.retries = self.attempts.saturating_sub(1);
                let dead = find_error(error).and_then(PublishError::dead_letter);
                if dead.is_some() {
                    self.disposition = Disposition::Moved;
                }
            }
            // Deeper among the causes are attempts at something else: what the handler published.
            Side::Consume => {
                if let Some(error) = error.downcast_ref::<RetryError>() {
                    self.retries = error.attempts().saturating_sub(self.attempts);
                }
            }
        }
        self
    }
}

fn name(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Retriable => "retriable",
        ErrorClass::NonRetriable => "non-retriable",
        ErrorClass::Unavailable => "unavailable",
        ErrorClass::Fatal => "fatal",
    }
}
