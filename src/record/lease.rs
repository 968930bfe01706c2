use std::{fmt, sync::Arc};

use tokio_util::sync::CancellationToken;

/// Whether the partition of a record is still this consumer's own.
///
/// A handler that is running when its partition is taken away is dropped, but work that it handed
/// to someone else (a spawned task, another thread, another system) goes on. Such work asks its
/// lease, and writes to other systems carry the [`fencing_number`](Self::fencing_number).
///
/// Clones are the same lease.
///
/// # Example
///
/// ```
/// use kafka_tower::ConsumerRecord;
///
/// async fn work(record: ConsumerRecord) {
///     let lease = record.lease().clone();
///     tokio::select! {
///         () = lease.lost() => println!("another member has the partition now"),
///         () = long_work() => {}
///     }
/// }
/// # async fn long_work() {}
/// ```
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    lost: CancellationToken,
    number: i64,
}

impl Lease {
    /// A lease of one's own, to test a handler without a broker; see
    /// [`ConsumerRecordBuilder::lease`](crate::ConsumerRecordBuilder::lease).
    #[must_use]
    pub fn new(fencing_number: i64) -> Self {
        Self(Arc::new(Inner {
            lost: CancellationToken::new(),
            number: fencing_number,
        }))
    }

    /// Whether the partition is still ours, as far as this process knows. It may be outdated by as
    /// long as the session timeout when the process was asleep.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.0.lost.is_cancelled()
    }

    /// Waits until the partition is given up or lost.
    ///
    /// Cancel safe.
    pub async fn lost(&self) {
        self.0.lost.cancelled().await;
    }

    /// A number that later owners of a partition have a higher one of, so that a store that remembers
    /// the highest it has seen for a partition can refuse those below. 0 where it isn't known.
    ///
    /// It is the generation of the consumer group (its member's epoch with `group.protocol=consumer`)
    /// in which the partition was assigned, times a million, and the owners before in that
    /// generation: a static member takes over from its former self without a new one. Those are
    /// counted in the metadata of the group's offsets; brokers that refuse it
    /// (`offset.metadata.max.bytes` below its default), or take more than a second to write it, may leave
    /// such owners with the same number. A group that was deleted, or has expired, begins anew with low
    /// ones.
    #[must_use]
    pub fn fencing_number(&self) -> i64 {
        self.0.number
    }

    /// Ends the lease, for a test of a handler that watches it.
    pub fn revoke(&self) {
        self.0.lost.cancel();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("is_held", &self.is_held())
            .field("fencing_number", &self.0.number)
            .finish()
    }
}
