use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::engine::Progress;
use crate::record::chunk::Origin;

/// How far a partition is that is assigned to this consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The last offset that Kafka confirmed as committed in this assignment.
    pub committed: Option<i64>,
    /// The offset of the partition's next record, as of the last fetch; `None` before the first one of this
    /// assignment.
    pub end: Option<i64>,
    /// How many offsets are not complete, up to the end; `None` until that is known.
    pub lag: Option<u64>,
    /// Records that are running in the service.
    pub in_flight: usize,
    /// Records that wait for their next attempt, or for their key.
    pub waiting: usize,
    /// Whether nothing is dispatched: by [`pause`](crate::ConsumerHandle::pause), or since a record failed
    /// ([`OnUnhandled::PausePartition`](crate::OnUnhandled::PausePartition)).
    pub paused: bool,
    /// How long ago a record was completed last; `None` before the first.
    pub last_progress: Option<Duration>,
    /// For how long calls have been running without that one ended, to the second; `None` while none
    /// runs. However slow the service is, it is no longer than one call takes.
    pub busy_for: Option<Duration>,
}

/// A lane, as the handle sees it.
#[derive(Debug)]
pub(super) struct View {
    origin: Arc<Origin>,
    progress: Arc<Progress>,
    /// Where the lane began, as far as it is known.
    start: AtomicI64,
    end: AtomicI64,
    committed: AtomicI64,
    /// How many calls had ended when it was last looked at.
    ended: AtomicU64,
    /// Since when calls run of which none has ended, in milliseconds; 0: none runs.
    busy_since: AtomicU64,
}

impl View {
    pub(super) fn new(origin: Arc<Origin>, progress: Arc<Progress>, start: Option<i64>) -> Self {
        Self {
            origin,
            progress,
            start: AtomicI64::new(start.unwrap_or(-1)),
            end: AtomicI64::new(-1),
            committed: AtomicI64::new(-1),
            ended: AtomicU64::new(0),
            busy_since: AtomicU64::new(0),
        }
    }

    /// Comes by now and then.
    pub(super) fn look(&self, now: Duration) {
        let ended = self.progress.ended();
        let has_ended = self.ended.swap(ended, Ordering::Relaxed) != ended;
        if !self.progress.is_busy() {
            self.busy_since.store(0, Ordering::Relaxed);
        } else if has_ended || self.busy_since.load(Ordering::Relaxed) == 0 {
            let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            self.busy_since.store(now.max(1), Ordering::Relaxed);
        }
    }

    pub(super) fn set_end(&self, end: i64) {
        self.end.store(end, Ordering::Relaxed);
    }

    /// The lane has come to the end of its partition without a record.
    pub(super) fn reached(&self, end: i64) {
        self.set_end(end);
        let _ = self
            .start
            .compare_exchange(-1, end, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is(&self, topic: &str, partition: i32) -> bool {
        &*self.origin.topic == topic && self.origin.partition == partition
    }

    pub(super) fn set_committed(&self, offset: i64) {
        self.committed.store(offset, Ordering::Relaxed);
    }

    /// Whether every record below `target` is complete.
    fn is_complete_to(&self, target: i64) -> bool {
        // What was committed before this assignment is believed once the partition was seen to go that
        // far: of a topic that was made anew it doesn't.
        let before = self.begins().zip(known(&self.end));
        let before = before.and_then(|(begins, end)| (end >= begins).then_some(begins));
        let complete = self.progress.watermark().or(before);
        complete.is_some_and(|complete| complete >= target)
    }

    /// Where the lane goes on before a record of it is complete.
    fn begins(&self) -> Option<i64> {
        known(&self.committed).or(known(&self.start))
    }

    fn status(&self, now: Duration) -> PartitionStatus {
        let committed = known(&self.committed);
        let end = known(&self.end);
        let complete = self.progress.watermark().or(self.begins());
        let since = |at: u64| (at > 0).then(|| now.saturating_sub(Duration::from_millis(at)));
        PartitionStatus {
            topic: self.origin.topic.as_ref().to_owned(),
            partition: self.origin.partition,
            committed,
            end,
            lag: end
                .zip(complete)
                .map(|(end, complete)| u64::try_from(end - complete).unwrap_or(0)),
            in_flight: self.progress.running.load(Ordering::Relaxed),
            waiting: self.progress.waiting.load(Ordering::Relaxed),
            paused: self.progress.paused.load(Ordering::Relaxed),
            last_progress: since(self.progress.completed_at.load(Ordering::Relaxed)),
            busy_for: since(self.busy_since.load(Ordering::Relaxed))
                .filter(|_| self.progress.is_busy()),
        }
    }
}

fn known(offset: &AtomicI64) -> Option<i64> {
    Some(offset.load(Ordering::Relaxed)).filter(|offset| *offset >= 0)
}

/// The lanes of a member.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<Vec<Arc<View>>>);

impl Views {
    pub(super) fn add(&self, view: Arc<View>) {
        self.lock().push(view);
    }

    pub(super) fn remove(&self, view: &Arc<View>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, view));
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn has(&self, topic: &str, partition: i32) -> bool {
        self.lock().iter().any(|view| view.is(topic, partition))
    }

    /// Whether every record of a partition below `target` is complete; `None` for one that isn't ours.
    pub(super) fn is_complete_to(&self, topic: &str, partition: i32, target: i64) -> Option<bool> {
        let views = self.lock();
        let mut views = views.iter();
        let view = views.find(|view| view.is(topic, partition))?;
        Some(view.is_complete_to(target))
    }

    pub(super) fn status(&self, started: Instant) -> Vec<PartitionStatus> {
        let now = started.elapsed();
        self.lock().iter().map(|view| view.status(now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<View>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
