use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    control::{Control, Request},
    engine::Progress,
};
use crate::record::chunk::Origin;

/// A running consumer, seen and controlled from elsewhere; made by
/// [`Serve::handle`](crate::Serve::handle). Clones are the same consumer.
///
/// # Example
///
/// ```no_run
/// use std::future::IntoFuture;
/// use kafka_tower::{BoxError, Consumer, ConsumerRecord, serve};
///
/// # async fn run(consumer: Consumer) -> Result<(), BoxError> {
/// let service = tower::service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
/// let serve = serve(consumer, service);
/// let handle = serve.handle();
/// let running = tokio::spawn(serve.into_future());
/// for partition in handle.partitions() {
///     println!("{}/{}: {:?} behind", partition.topic, partition.partition, partition.lag);
/// }
/// handle.stop();
/// running.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct ConsumerHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    members: Mutex<Vec<Arc<Control>>>,
    stop: CancellationToken,
}

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
    /// The offset of the partition's next record, as of the last fetch.
    pub end: Option<i64>,
    /// How many offsets are not complete, up to the end; `None` until both are known.
    pub lag: Option<u64>,
    /// Records that are running in the service.
    pub in_flight: usize,
    /// Records that wait for their next attempt, or for their key.
    pub waiting: usize,
    /// Whether nothing is dispatched: by [`pause`](ConsumerHandle::pause), or since a record failed
    /// ([`OnUnhandled::PausePartition`](crate::OnUnhandled::PausePartition)).
    pub paused: bool,
    /// How long ago a record was completed last; `None` before the first.
    pub last_progress: Option<Duration>,
}

/// The partition is not, or no longer, assigned to this consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAssigned;

impl fmt::Display for NotAssigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the partition is not assigned to this consumer")
    }
}

impl std::error::Error for NotAssigned {}

impl ConsumerHandle {
    /// The partitions that are assigned at the moment, by topic and number. Never waits for a
    /// broker.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        let members = self.members();
        let mut partitions: Vec<_> = members
            .iter()
            .flat_map(|member| member.views.status(member.started))
            .collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        partitions
    }

    /// Stops the consumer gracefully, as the signal of
    /// [`with_graceful_shutdown`](crate::Serve::with_graceful_shutdown) does.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Dispatches nothing more of a partition until [`resume`](Self::resume), or until it is
    /// assigned anew. What runs goes on, and what is complete is committed.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`].
    ///
    /// Cancel safe: it happens all the same.
    pub async fn pause(&self, topic: &str, partition: i32) -> Result<(), NotAssigned> {
        self.request(topic, partition, Request::Pause(true)).await
    }

    /// Undoes [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`NotAssigned`].
    ///
    /// Cancel safe: it happens all the same.
    pub async fn resume(&self, topic: &str, partition: i32) -> Result<(), NotAssigned> {
        self.request(topic, partition, Request::Pause(false)).await
    }

    /// Goes on at another offset: lets what runs finish within the
    /// [`drain_timeout`](crate::ConsumerSettings::drain_timeout), drops what waits, and commits the
    /// new offset, be it before or behind the old one.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`], also when the partition is taken away meanwhile.
    ///
    /// Cancel safe: it happens all the same.
    pub async fn seek(&self, topic: &str, partition: i32, offset: i64) -> Result<(), NotAssigned> {
        self.request(topic, partition, Request::Seek(offset)).await
    }

    async fn request(
        &self,
        topic: &str,
        partition: i32,
        request: Request,
    ) -> Result<(), NotAssigned> {
        let members: Vec<_> = self.members().clone();
        let owner = members
            .iter()
            .find(|member| member.views.has(topic, partition));
        let (done, result) = oneshot::channel();
        owner
            .ok_or(NotAssigned)?
            .request(topic, partition, request, done);
        result.await.map_err(|_| NotAssigned)
    }

    pub(super) fn stop_signal(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    pub(super) fn add(&self, member: Arc<Control>) {
        self.members().push(member);
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Control>>> {
        let members = self.0.members.lock();
        members.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle")
            .field("partitions", &self.partitions().len())
            .finish_non_exhaustive()
    }
}

/// A lane, as the handle sees it.
#[derive(Debug)]
pub(super) struct View {
    origin: Arc<Origin>,
    progress: Arc<Progress>,
    start: i64,
    end: AtomicI64,
    committed: AtomicI64,
}

impl View {
    pub(super) fn new(origin: Arc<Origin>, progress: Arc<Progress>, start: Option<i64>) -> Self {
        Self {
            origin,
            progress,
            start: start.unwrap_or(-1),
            end: AtomicI64::new(-1),
            committed: AtomicI64::new(-1),
        }
    }

    pub(super) fn set_end(&self, end: i64) {
        self.end.store(end, Ordering::Relaxed);
    }

    pub(super) fn set_committed(&self, offset: i64) {
        self.committed.store(offset, Ordering::Relaxed);
    }

    fn status(&self, now: Duration) -> PartitionStatus {
        let known = |offset: i64| Some(offset).filter(|offset| *offset >= 0);
        let committed = known(self.committed.load(Ordering::Relaxed));
        let end = known(self.end.load(Ordering::Relaxed));
        let complete = self
            .progress
            .watermark()
            .or(committed)
            .or(known(self.start));
        let completed_at = self.progress.completed_at.load(Ordering::Relaxed);
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
            last_progress: (completed_at > 0)
                .then(|| now.saturating_sub(Duration::from_millis(completed_at))),
        }
    }
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

    fn has(&self, topic: &str, partition: i32) -> bool {
        self.lock()
            .iter()
            .any(|view| &*view.origin.topic == topic && view.origin.partition == partition)
    }

    fn status(&self, started: Instant) -> Vec<PartitionStatus> {
        let now = started.elapsed();
        self.lock().iter().map(|view| view.status(now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<View>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
