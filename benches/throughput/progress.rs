//! From the first record to the last one, told by counting.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    report::{Clock, Sample},
    run::in_time,
};

/// Counts each partition's records in a cache line of its own, as a no-op that two threads share
/// would otherwise measure mostly that.
pub(crate) struct Progress {
    partitions: Box<[Count]>,
    each: u64,
    open: AtomicU64,
    clock: OnceLock<Clock>,
    taken: OnceLock<(u64, Duration, Duration)>,
    done: Notify,
}

#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Progress {
    /// Ends when `each` records in each of the partitions are handled, or more: all count.
    pub(crate) fn new(partitions: usize, each: usize) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Count::default()).collect(),
            each: each as u64,
            open: AtomicU64::new(partitions as u64),
            clock: OnceLock::new(),
            taken: OnceLock::new(),
            done: Notify::new(),
        }
    }

    /// The first call starts the clock.
    pub(crate) fn begin(&self) {
        self.clock.get_or_init(Clock::start);
    }

    /// A record is handled; true for the one that ends it.
    pub(crate) fn handled(&self, partition: i32) -> bool {
        let clock = self.clock.get_or_init(Clock::start);
        let count = &self.partitions[usize::try_from(partition).expect("a partition")].0;
        let last = count.fetch_add(1, Ordering::Relaxed) + 1 == self.each
            && self.open.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            let (wall, cpu) = clock.elapsed();
            let counts = self.partitions.iter();
            let records = counts.map(|count| count.0.load(Ordering::Relaxed)).sum();
            let _ = self.taken.set((records, wall, cpu));
            self.done.notify_one();
        }
        last
    }

    pub(crate) async fn finished(&self) {
        in_time("all records handled", self.done.notified()).await;
    }

    pub(crate) fn sample(&self, subject: &'static str) -> Sample {
        let (records, wall, cpu) = *self.taken.get().expect("finished");
        let records = usize::try_from(records).expect("a count");
        Sample::new(subject, records, wall, cpu)
    }
}
