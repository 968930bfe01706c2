use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, oneshot};

use super::{engine::Counts, stats::Meters, view::Views};
use crate::sync::{self, Thread};

/// Wakes the poll thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Wake(Arc<OnceLock<Thread>>);

impl Wake {
    /// Lets `wake` wake the current thread.
    pub(super) fn wake_here(&self) {
        let _ = self.0.set(sync::thread::current());
    }

    pub(super) fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// What others tell the poll thread of a member, and see of it.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) wake: Wake,
    pub(super) views: Views,
    pub(super) meters: Meters,
    pub(super) started: Instant,
    /// Tells those who watch that the poll thread has looked at everything again.
    pub(super) turned: Arc<Notify>,
    /// `None`: nobody serves them any more.
    requests: Mutex<Option<Vec<Requested>>>,
    wish: AtomicU8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    Shutdown,
    Abandon,
}

/// What to do about a partition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    /// Pauses it, or lets it go on.
    Pause(bool),
    Seek(i64),
}

/// Dropping `done` says that the partition isn't ours.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) request: Request,
    pub(super) done: oneshot::Sender<()>,
}

impl Control {
    /// Of a member that counts what becomes of its records here.
    pub(super) fn new(counts: Vec<Arc<Counts>>, turned: Arc<Notify>) -> Self {
        let started = Instant::now();
        Self {
            wake: Wake::default(),
            views: Views::default(),
            meters: Meters::new(started, counts),
            started,
            turned,
            requests: Mutex::new(Some(Vec::new())),
            wish: AtomicU8::new(0),
        }
    }

    pub(super) fn wish(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::GoOn,
            1 => Wish::Shutdown,
            _ => Wish::Abandon,
        }
    }

    /// Drains, commits and leaves.
    pub(super) fn shutdown(&self) {
        self.wish.fetch_max(1, Ordering::Release);
        self.wake.wake();
    }

    /// Drops what is running, then commits what is complete and leaves.
    pub(super) fn abandon(&self) {
        self.wish.fetch_max(2, Ordering::Release);
        self.wake.wake();
    }

    pub(super) fn request(
        &self,
        topic: &str,
        partition: i32,
        request: Request,
        done: oneshot::Sender<()>,
    ) {
        if let Some(requests) = &mut *self.requests() {
            requests.push(Requested {
                topic: topic.to_owned(),
                partition,
                request,
                done,
            });
        }
        self.wake.wake();
    }

    pub(super) fn take_requests(&self) -> Vec<Requested> {
        self.requests().as_mut().map(mem::take).unwrap_or_default()
    }

    /// Refuses what wasn't served, and all that comes.
    pub(super) fn refuse_requests(&self) {
        *self.requests() = None;
    }

    fn requests(&self) -> MutexGuard<'_, Option<Vec<Requested>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
