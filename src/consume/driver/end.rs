use std::{
    error::Error,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use rdkafka::{consumer::Consumer, error::KafkaError, types::RDKafkaErrorCode};

use super::{Driver, REJOIN};
use crate::{
    client::{
        codes::{self, Meaning, Operation},
        contact,
        redact::escape,
        tls,
    },
    consume::{
        error::ServeError,
        lifecycle::Moment,
        prefix,
        summary::{StopReason, Summary},
    },
    error::{BoxError, ErrorClass, let_go, message},
    record::chunk::Origin,
};

/// Why the loop ends.
pub(super) enum End {
    /// Nobody waits for the result.
    Abandoned,
    Stopped(StopReason),
    /// The summary is filled in at last.
    Failed(ServeError),
}

impl End {
    pub(super) fn unhandled(origin: &Origin, offset: i64, source: BoxError) -> Self {
        Self::Failed(ServeError::Unhandled {
            topic: origin.topic.as_ref().to_owned(),
            partition: origin.partition,
            offset,
            source,
            summary: Box::default(),
        })
    }

    fn is_fenced(&self) -> bool {
        const FENCED: i32 = RDKafkaErrorCode::FencedInstanceId as i32;
        let Self::Failed(ServeError::Client { code, .. }) = self else {
            return false;
        };
        *code == Some(FENCED)
    }

    pub(super) fn client(code: impl Into<Option<i32>>, reason: &str, class: ErrorClass) -> Self {
        Self::Failed(ServeError::Client {
            code: code.into(),
            reason: escape(reason).into_owned(),
            class,
            summary: Box::default(),
        })
    }
}

/// What an error says. That is the user's code, and a panic of it is no reason to leave the group.
pub(super) fn shown(error: &(dyn Error + 'static)) -> String {
    let shown = catch_unwind(AssertUnwindSafe(|| message(error)));
    shown.unwrap_or_else(|_| "the error panicked while it was shown".to_owned())
}

impl Driver {
    /// Ends the loop: no new dispatch anywhere. The first reason counts, but for failures that are
    /// found while draining.
    pub(super) fn end(&mut self, end: End) {
        self.stop_all_lanes();
        if end.is_fenced() {
            self.lose_to_another_self();
        }
        if self.end.is_none() {
            tracing::info!(
                target: "kafka_tower", running = self.running(), time = ?self.limits.drain,
                "stopping: what is running has this time to end"
            );
            self.hooks.tell(Moment::Stopping);
        }
        match (&self.end, &end) {
            (Some(End::Failed(_)), _) | (Some(_), End::Stopped(_)) => let_go(end),
            _ => self.end = Some(end),
        }
    }

    /// The errors of `poll` were noted by the callback, with a reason, but for fatal ones' cause.
    pub(super) fn on_poll_error(&mut self, error: &KafkaError) {
        if let KafkaError::MessageConsumptionFatal(code) = error {
            let (code, reason) = match self.consumer.client().fatal_error() {
                Some((code, reason)) => (code, reason),
                None => (*code, "a fatal error".to_owned()),
            };
            if code == RDKafkaErrorCode::UnreleasedInstanceId && self.lanes.is_empty() {
                return self.wait_for_former_self(&reason);
            }
            self.end(End::client(code as i32, &reason, ErrorClass::Fatal));
        }
    }

    /// A static member that ended without a word keeps its place until its session is over.
    fn wait_for_former_self(&mut self, reason: &str) {
        if self.rejoin_at.is_none() {
            tracing::warn!(
                target: "kafka_tower",
                "the place of this static member isn't free yet, the consumer keeps trying: {}",
                escape(reason)
            );
            self.rejoin_at = Some(Instant::now() + REJOIN);
            self.control.meters.set_assigned(false);
        }
    }

    pub(super) fn on_client_error(&mut self, code: i32, reason: &str) {
        let code = tls::refine(code, reason);
        // Before the first assignment a TLS error is a wrong setting, after it a broken connection.
        let operation = match self.assigned_once {
            true => Operation::Consume,
            false => Operation::Connect,
        };
        let meaning = codes::meaning(operation, code);
        if meaning == Meaning::TopicMissing
            && let Some(prefix) = prefix::named_in(reason, &self.topics)
        {
            tracing::info!(target: "kafka_tower", "no topic begins with `{prefix}` yet");
            return;
        }
        self.hooks.tell(Moment::Error(escape(reason).into_owned()));
        if code == RDKafkaErrorCode::AllBrokersDown as i32 {
            self.control.meters.lost_brokers();
        }
        // Each missing topic is worth a line, and librdkafka says it once.
        let news = meaning == Meaning::TopicMissing || self.told.is_news(code, Instant::now());
        match meaning {
            Meaning::Fatal
                if code == RDKafkaErrorCode::UnreleasedInstanceId as i32
                    && self.lanes.is_empty() =>
            {
                self.wait_for_former_self(reason);
            }
            // `poll` says the cause.
            Meaning::Fatal if code == RDKafkaErrorCode::Fatal as i32 => {}
            Meaning::Fatal | Meaning::Configuration | Meaning::DataGap => {
                self.end(End::client(code, reason, meaning.class()));
            }
            _ => {
                let reason = escape(reason);
                let hint = match self.assigned_once {
                    true => "",
                    false => contact::hint(code),
                };
                if news {
                    tracing::warn!(target: "kafka_tower", code, "the consumer keeps trying: {reason}{hint}");
                } else {
                    tracing::debug!(target: "kafka_tower", code, "the consumer keeps trying: {reason}{hint}");
                }
            }
        }
    }

    /// A broker was heard from.
    pub(super) fn hear(&mut self) {
        if self.control.meters.heard() {
            self.told.forget();
            tracing::info!(target: "kafka_tower", "a broker can be reached again");
        }
    }

    /// Closing a client takes a cooperative member that has no partition out of the group only when its
    /// session is over, and until then every rebalance waits for it.
    pub(super) fn leave_without_partitions(&self) {
        let is_static = self.config.get("group.instance.id").is_some();
        let assignment = self.consumer.assignment();
        if !is_static && assignment.is_ok_and(|assignment| assignment.count() == 0) {
            self.consumer.unsubscribe();
        }
    }

    pub(super) fn finish(&mut self) -> Result<Summary, ServeError> {
        self.close_all_lanes();
        let mut summary = mem::take(&mut self.summary);
        summary.commits = self.control.meters.commits.get();
        summary.commits_refused = self.control.meters.commits_refused.get();
        for counts in &self.counts {
            summary.acked += counts.acked.get();
            summary.skipped += counts.skipped.get();
            summary.moved += counts.moved.get();
            summary.retried += counts.retried.get();
            summary.deferred += counts.deferred.get();
        }
        summary.undone = self.undone.take(&summary);
        match self.end.take() {
            Some(End::Failed(error)) => {
                // Of a record it was told when it failed.
                if !matches!(error, ServeError::Unhandled { .. }) {
                    tracing::error!(target: "kafka_tower", "{}", shown(&error));
                }
                return Err(error.with_summary(summary));
            }
            Some(End::Stopped(reason)) => summary.stop = Some(reason),
            Some(End::Abandoned) | None => {}
        }
        Ok(summary)
    }
}
