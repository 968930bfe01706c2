use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, Thread},
};

use tokio_util::sync::CancellationToken;

/// Wakes the poll thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Wake(Arc<OnceLock<Thread>>);

impl Wake {
    /// Lets `wake` wake the current thread.
    pub(super) fn wake_here(&self) {
        let _ = self.0.set(thread::current());
    }

    pub(super) fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// What the future of `serve` tells the poll thread.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) wake: Wake,
    /// The parent of every lane's tokens.
    pub(super) lanes: CancellationToken,
    wish: AtomicU8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    Shutdown,
    Abandon,
}

impl Control {
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

    /// Stops every lane at this instant, then commits what is complete and leaves.
    pub(super) fn abandon(&self) {
        self.wish.fetch_max(2, Ordering::Release);
        self.lanes.cancel();
        self.wake.wake();
    }
}
