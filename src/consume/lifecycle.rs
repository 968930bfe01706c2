use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Summary;
use crate::record::ConsumerRecord;

/// What happens to a consumer, for [`Serve::with_lifecycle`](crate::Serve::with_lifecycle).
///
/// Every method does nothing unless it is written. They are called one at a time, by the future of
/// [`serve`](crate::serve): one that takes long delays the others and the end, and, once the records
/// that wait for [`record_received`](Self::record_received) take up the memory, more records. One that
/// panics is logged. With several [`members`](crate::Serve::members) each calls them.
///
/// # Example
///
/// ```
/// use kafka_tower::Lifecycle;
///
/// struct Print;
///
/// impl Lifecycle for Print {
///     fn partition_eof(&mut self, topic: &str, partition: i32, offset: i64) {
///         println!("{topic}/{partition} is read up to its end, {offset}");
///     }
/// }
/// ```
pub trait Lifecycle: Send + 'static {
    /// The client is about to be made.
    fn creating(&mut self) {}

    /// The client is made; it may not have reached a broker yet.
    fn created(&mut self) {}

    /// The topics are subscribed to; partitions are assigned later. A prefix of an app shows as its
    /// pattern, which begins with `^`.
    fn subscribed(&mut self, topics: &[String]) {
        let _ = topics;
    }

    /// Partitions, by topic and number, were given to this member: with cooperative assignment those
    /// that are new, else all that it has. Their records follow.
    fn assigned(&mut self, partitions: &[(String, i32)]) {
        let _ = partitions;
    }

    /// Partitions were given up, in a rebalance or at the end: what ran of them was drained, and what is
    /// complete is committed. Nothing waits for this method; another member may read them already.
    fn revoked(&mut self, partitions: &[(String, i32)]) {
        let _ = partitions;
    }

    /// Partitions were taken away from this member, which the group hasn't heard of for a session:
    /// what ran of them was dropped, and nothing more could be committed. Others may have read them
    /// for a while. Calls [`revoked`](Self::revoked) unless it is written, as `onPartitionsLost` of the
    /// Java client's `ConsumerRebalanceListener` does with its `onPartitionsRevoked`.
    fn lost(&mut self, partitions: &[(String, i32)]) {
        self.revoked(partitions);
    }

    /// A record arrived; it hasn't been dispatched, or just has.
    fn record_received(&mut self, record: &ConsumerRecord) {
        let _ = record;
    }

    /// Something went wrong: a record that no layer handled, or an error of the client, which keeps
    /// trying or is about to stop. While brokers are away that is told as often as librdkafka says so,
    /// several times a second.
    fn error(&mut self, error: &str) {
        let _ = error;
    }

    /// A partition was read up to its end, the offset of its next record. Again after more records
    /// came.
    fn partition_eof(&mut self, topic: &str, partition: i32, offset: i64) {
        let _ = (topic, partition, offset);
    }

    /// No new dispatch; what runs may finish.
    fn stopping(&mut self) {}

    /// It is over: what is complete was committed, and the group was left.
    fn stopped(&mut self, summary: &Summary) {
        let _ = summary;
    }
}

/// One call of a [`Lifecycle`].
#[derive(Debug)]
pub(super) enum Moment {
    Creating,
    Created,
    Subscribed(Vec<String>),
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
    Lost(Vec<(String, i32)>),
    RecordReceived(ConsumerRecord),
    Error(String),
    PartitionEof(String, i32, i64),
    Stopping,
    Stopped(Box<Summary>),
}

/// Tells of moments, if anybody wants to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks(Option<Told>);

#[derive(Debug, Clone)]
struct Told {
    moments: UnboundedSender<Moment>,
    /// Records that were told of and whose hook wasn't called yet.
    records: Arc<AtomicUsize>,
}

impl Hooks {
    pub(super) fn new() -> (Self, Moments) {
        let (sender, receiver) = unbounded_channel();
        let records = Arc::new(AtomicUsize::new(0));
        let moments = Moments {
            moments: receiver,
            records: Arc::clone(&records),
        };
        let told = Told {
            moments: sender,
            records,
        };
        (Self(Some(told)), moments)
    }

    pub(super) fn wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Whether records wait for their hook.
    pub(super) fn are_behind(&self) -> bool {
        let told = self.0.as_ref();
        told.is_some_and(|told| told.records.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn tell(&self, moment: Moment) {
        if let Some(told) = &self.0 {
            if matches!(moment, Moment::RecordReceived(_)) {
                told.records.fetch_add(1, Ordering::Relaxed);
            }
            // Nobody listens after the future of `serve` was dropped.
            let _ = told.moments.send(moment);
        }
    }
}

/// What is told, to be called.
#[derive(Debug)]
pub(super) struct Moments {
    moments: UnboundedReceiver<Moment>,
    records: Arc<AtomicUsize>,
}

impl Moments {
    /// Calls the next hook; `None` when nothing is told any more.
    pub(super) async fn next(&mut self, lifecycle: &mut dyn Lifecycle) -> Option<()> {
        let moment = self.moments.recv().await?;
        self.call(lifecycle, moment);
        Some(())
    }

    /// Calls the hooks of what was told so far.
    pub(super) fn rest(&mut self, lifecycle: &mut dyn Lifecycle) {
        while let Ok(moment) = self.moments.try_recv() {
            self.call(lifecycle, moment);
        }
    }

    fn call(&self, lifecycle: &mut dyn Lifecycle, moment: Moment) {
        call(lifecycle, &moment);
        if let Moment::RecordReceived(record) = moment {
            // Its memory is released first.
            drop(record);
            self.records.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Calls the method for a moment.
pub(super) fn call(lifecycle: &mut dyn Lifecycle, moment: &Moment) {
    let called = catch_unwind(AssertUnwindSafe(|| match moment {
        Moment::Creating => lifecycle.creating(),
        Moment::Created => lifecycle.created(),
        Moment::Subscribed(topics) => lifecycle.subscribed(topics),
        Moment::Assigned(partitions) => lifecycle.assigned(partitions),
        Moment::Revoked(partitions) => lifecycle.revoked(partitions),
        Moment::Lost(partitions) => lifecycle.lost(partitions),
        Moment::RecordReceived(record) => lifecycle.record_received(record),
        Moment::Error(error) => lifecycle.error(error),
        Moment::PartitionEof(topic, partition, offset) => {
            lifecycle.partition_eof(topic, *partition, *offset);
        }
        Moment::Stopping => lifecycle.stopping(),
        Moment::Stopped(summary) => lifecycle.stopped(summary),
    }));
    if called.is_err() {
        tracing::error!(target: "kafka_tower", "a lifecycle hook panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Revoked(Vec<(String, i32)>);

    impl Lifecycle for Revoked {
        fn revoked(&mut self, partitions: &[(String, i32)]) {
            self.0.extend_from_slice(partitions);
        }
    }

    #[test]
    fn what_is_lost_is_revoked_for_who_makes_no_difference() {
        let mut lifecycle = Revoked::default();
        let partitions = vec![("orders".to_owned(), 3)];
        call(&mut lifecycle, &Moment::Lost(partitions.clone()));
        assert_eq!(lifecycle.0, partitions);
    }
}
