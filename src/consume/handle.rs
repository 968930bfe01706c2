mod drained;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::{
    select,
    sync::{Notify, oneshot},
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) use self::drained::Probe;
use super::{
    control::{Control, Request},
    stats::ConsumerStats,
    view::PartitionStatus,
};

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
    topics: OnceLock<Vec<String>>,
    stop: CancellationToken,
    ended: CancellationToken,
    failed: AtomicBool,
    /// A poll thread has looked at everything, or a member was added.
    turned: Arc<Notify>,
    probe: OnceLock<Probe>,
}

/// Tells the handles that the consumer has ended, or never will begin.
pub(super) struct EndOnDrop(#[expect(dead_code, reason = "for its drop")] DropGuard);

/// The consumer has ended, or was dropped before it was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerEnded;

impl fmt::Display for ConsumerEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the consumer has ended: what `serve` answered says why")
    }
}

impl std::error::Error for ConsumerEnded {}

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

    /// What was done so far, and how the consumer is. Never waits for a broker.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        let mut stats = ConsumerStats {
            failed: self.0.failed.load(Relaxed),
            ..ConsumerStats::default()
        };
        for member in &*self.members() {
            stats.merge(&member.meters.stats());
        }
        stats
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
    /// new offset, be it before or behind the old one. Of several seeks at once the last counts. A
    /// paused partition stays paused.
    ///
    /// For an offset that the partition doesn't hold, any more or yet, it is the nearest that it does:
    /// 0 is its first record, and `i64::MAX` its end (before a transaction that is open, as records are
    /// read).
    ///
    /// # Errors
    ///
    /// [`NotAssigned`], also when the partition is taken away meanwhile.
    ///
    /// Cancel safe: it happens all the same.
    pub async fn seek(&self, topic: &str, partition: i32, offset: i64) -> Result<(), NotAssigned> {
        self.request(topic, partition, Request::Seek(offset.max(0)))
            .await
    }

    /// Waits until everything that is in the topics now has been handled: every partition is complete
    /// up to the end that the brokers tell when they are asked, after the call and after the
    /// first assignment. What is published later is not waited for. Right for tests in place of a
    /// sleep, and for jobs that handle what there is and stop:
    ///
    /// ```no_run
    /// # use kafka_tower::{BoxError, Consumer, ConsumerRecord, serve};
    /// # async fn run(consumer: Consumer) -> Result<(), BoxError> {
    /// # let service = tower::service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
    /// let serve = serve(consumer, service);
    /// let handle = serve.handle();
    /// let summary = serve
    ///     .with_graceful_shutdown(async move { handle.drained().await.unwrap_or_default() })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A record is handled when it is complete ([`Outcome::is_complete`](crate::Outcome::is_complete)):
    /// one that runs, or waits for its next attempt or its key, is not; nor is what an open transaction
    /// has written. A partition that another member of the group owns counts when the group has
    /// committed that far.
    ///
    /// It has no deadline, and never resolves while a partition is paused
    /// ([`pause`](Self::pause), [`OnUnhandled::PausePartition`](crate::OnUnhandled::PausePartition)), a
    /// record fails again and again, a topic doesn't exist (of a prefix, the first one), no brokers can
    /// be reached, or nobody runs the consumer: set a `timeout` around it. It asks with a client of its own, and needs the
    /// right to DESCRIBE the topics, which READ includes.
    ///
    /// # Errors
    ///
    /// [`ConsumerEnded`], when it ends before.
    ///
    /// Cancel safe: it changes nothing. A question to the brokers that is under way goes on in the
    /// background, for 10 s a request at the most.
    pub async fn drained(&self) -> Result<(), ConsumerEnded> {
        select! {
            biased;
            () = drained::drained(&self.0) => Ok(()),
            () = self.0.ended.cancelled() => Err(ConsumerEnded),
        }
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

    /// This consumer, for as long as it runs or somebody has a handle on it.
    #[cfg(feature = "otel")]
    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle(Arc::downgrade(&self.0))
    }

    /// Whether it is this topic by name, and no pattern, that the consumer subscribes to.
    #[cfg(feature = "otel")]
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        let topics = self.0.topics.get();
        topics.is_some_and(|topics| topics.iter().any(|name| name == topic))
    }

    pub(super) fn subscribed(&self, topics: &[String]) {
        let _ = self.0.topics.set(topics.to_vec());
    }

    pub(super) fn stop_signal(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    pub(super) fn turned(&self) -> Arc<Notify> {
        Arc::clone(&self.0.turned)
    }

    pub(super) fn set_probe(&self, probe: Probe) {
        // A consumer is run once.
        let _ = self.0.probe.set(probe);
    }

    pub(super) fn end_on_drop(&self) -> EndOnDrop {
        EndOnDrop(self.0.ended.clone().drop_guard())
    }

    pub(super) fn fail(&self) {
        self.0.failed.store(true, Relaxed);
    }

    pub(super) fn add(&self, member: Arc<Control>) {
        self.members().push(member);
        self.0.turned.notify_waiters();
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Control>>> {
        self.0.members()
    }
}

impl Shared {
    fn members(&self) -> MutexGuard<'_, Vec<Arc<Control>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle that keeps nothing alive.
#[cfg(feature = "otel")]
#[derive(Clone)]
pub(crate) struct WeakHandle(std::sync::Weak<Shared>);

#[cfg(feature = "otel")]
impl WeakHandle {
    pub(crate) fn upgrade(&self) -> Option<ConsumerHandle> {
        self.0.upgrade().map(ConsumerHandle)
    }
}

impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle")
            .field("partitions", &self.partitions().len())
            .finish_non_exhaustive()
    }
}
