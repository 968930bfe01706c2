use std::time::Duration;

/// Which records of a partition may be handled side by side.
///
/// Records of different partitions always are. In every mode an offset is committed only when each
/// record before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Ordering {
    /// One record at a time, in offset order. A record that fails, or waits for its next attempt,
    /// holds up its partition.
    Partition,
    /// Records with equal keys one at a time, in offset order; others side by side. A key that is
    /// slow, fails or waits delays only itself. Records without a key are in no order. The default.
    #[default]
    Key,
    /// All side by side, in no order.
    Unordered,
}

/// What to do about a record that failed and that no layer handled: an error of the service, a
/// panic, or an [`Outcome::DeadLetter`](crate::Outcome::DeadLetter) that nobody moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum OnUnhandled {
    /// Drain the others, commit what is complete, and return the error. The default.
    #[default]
    Stop,
    /// Dispatch nothing more of this partition, commit what is complete before the record, and
    /// begin with it again after a while, as its next attempt. Other partitions go on.
    #[non_exhaustive]
    PausePartition {
        /// How long to wait before the partition is resumed.
        resume_after: Duration,
    },
    /// Count the record as complete, and log it. Data is lost; say it only where that is meant.
    Skip,
}

impl OnUnhandled {
    /// [`PausePartition`](Self::PausePartition).
    #[must_use]
    pub fn pause_partition(resume_after: Duration) -> Self {
        Self::PausePartition { resume_after }
    }
}
