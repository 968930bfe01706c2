use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::sync;

/// How far a lane is, for others to read while it works. Only its engine writes, but for what is
/// unread.
#[derive(Debug)]
pub(crate) struct Progress {
    watermark: AtomicI64,
    begun: AtomicI64,
    /// Records that were handed over and not looked at yet.
    pub(crate) unread: sync::atomic::AtomicUsize,
    pub(crate) running: AtomicUsize,
    pub(crate) waiting: AtomicUsize,
    /// Dispatches nothing: by request, or since a record failed.
    pub(crate) paused: AtomicBool,
    /// When a record was completed last, in milliseconds of the engine's time; 0 is never.
    pub(crate) completed_at: AtomicU64,
    /// A call was begun and has neither ended nor become one of those that run.
    calling: AtomicBool,
    /// How many calls have ended.
    ended: Count,
    attempts: Mutex<Attempts>,
    version: AtomicU64,
}

/// What is known of the attempts at incomplete records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// Offset, and the number of attempts that were made.
    pub(crate) made: BTreeMap<i64, u32>,
    /// From and to: what is being tried, since something here has killed a process.
    pub(crate) trial: Option<(i64, i64)>,
}

const NONE: i64 = -1;

impl Default for Progress {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

impl Progress {
    /// With the attempts that an earlier owner of the partition made.
    pub(crate) fn new(made: BTreeMap<i64, u32>) -> Self {
        let attempts = Attempts { made, trial: None };
        Self {
            watermark: AtomicI64::new(NONE),
            begun: AtomicI64::new(NONE),
            unread: sync::atomic::AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            completed_at: AtomicU64::new(0),
            calling: AtomicBool::new(false),
            ended: Count::default(),
            attempts: Mutex::new(attempts),
            version: AtomicU64::new(0),
        }
    }

    /// The offset to resume from when everything that is complete is left out.
    pub(crate) fn watermark(&self) -> Option<i64> {
        known(&self.watermark)
    }

    pub(super) fn set_watermark(&self, watermark: Option<i64>) {
        self.watermark
            .store(watermark.unwrap_or(NONE), Ordering::Release);
    }

    /// The highest offset that was handed to the service.
    pub(crate) fn begun(&self) -> Option<i64> {
        known(&self.begun)
    }

    /// Whether calls run, be it that the service is being called.
    pub(crate) fn is_busy(&self) -> bool {
        self.calling.load(Ordering::Relaxed) || self.running.load(Ordering::Relaxed) > 0
    }

    /// How many calls have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.get()
    }

    /// The service returned from being called; what it answered with may go on.
    pub(super) fn called(&self) {
        self.calling.store(false, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.called();
        self.ended.add_one();
    }

    pub(super) fn begin(&self, offset: i64) {
        self.calling.store(true, Ordering::Relaxed);
        if self.begun.load(Ordering::Relaxed) < offset {
            self.begun.store(offset, Ordering::Release);
        }
    }

    /// So many records were handed over.
    pub(crate) fn arrived(&self, records: usize) {
        self.unread.fetch_add(records, Ordering::SeqCst);
    }

    /// Whether there is anything that was handed over and isn't complete.
    pub(crate) fn holds_any(&self) -> bool {
        let holds = |count: &AtomicUsize| count.load(Ordering::SeqCst) > 0;
        self.unread.load(Ordering::SeqCst) > 0 || holds(&self.running) || holds(&self.waiting)
    }

    pub(crate) fn attempts(&self) -> Attempts {
        self.lock().clone()
    }

    pub(super) fn made(&self, offset: i64) -> Option<u32> {
        self.lock().made.get(&offset).copied()
    }

    /// Changes with every change of the attempts.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn change_attempts<T>(&self, change: impl FnOnce(&mut Attempts) -> T) -> T {
        let result = change(&mut self.lock());
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known(offset: &AtomicI64) -> Option<i64> {
    Some(offset.load(Ordering::Acquire)).filter(|offset| *offset > NONE)
}

/// What became of the records of one engine.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acked: Count,
    pub(crate) skipped: Count,
    pub(crate) moved: Count,
    pub(crate) retried: Count,
    pub(crate) deferred: Count,
    /// Calls that were running when their lane was given up: cut off, or complete too late.
    pub(crate) stale: Count,
}

/// A number that one thread writes and any reads.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
