//! How many records and bytes may be on their way at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Semaphore;

use crate::client::guarded;

/// Records are counted by permits: reserved in `poll_ready`, released by the delivery report.
///
/// The size of a record isn't known when room is reserved for it, so bytes are a gate: it is open
/// while fewer than `max_bytes` are on their way.
pub(super) struct Capacity {
    pub(super) records: Arc<Semaphore>,
    max_bytes: usize,
    bytes: AtomicUsize,
    waiting: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
}

impl Capacity {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            records: Arc::new(Semaphore::new(max_records)),
            max_bytes,
            bytes: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            waiters: Mutex::default(),
        }
    }

    pub(super) fn poll_bytes(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_open() {
            return Poll::Ready(());
        }
        let mut waiters = self.waiters();
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        self.waiting.store(true, Ordering::SeqCst);
        drop(waiters);
        // Looked at once more: the last release may have come before `waiting` was seen.
        if self.is_open() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Lets those who wait for room see that there will be none.
    pub(super) fn close(&self) {
        self.records.close();
        self.wake();
    }

    pub(super) fn release(&self, records: usize, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.records.add_permits(records);
        if self.waiting.load(Ordering::SeqCst) && self.is_open() {
            self.wake();
        }
    }

    fn wake(&self) {
        let mut waiters = self.waiters();
        self.waiting.store(false, Ordering::SeqCst);
        let woken = std::mem::take(&mut *waiters);
        drop(waiters);
        for waker in woken {
            guarded(|| waker.wake());
        }
    }

    fn is_open(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < self.max_bytes
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, task::Wake};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_gate_is_shut_at_the_limit_and_wakes_who_waits() {
        let capacity = Capacity::new(10, 100);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        capacity.add(99);
        assert!(capacity.poll_bytes(&mut cx).is_ready());
        capacity.add(50);
        assert!(capacity.poll_bytes(&mut cx).is_pending());
        assert!(capacity.poll_bytes(&mut cx).is_pending());
        capacity.release(1, 49);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0, "still at the limit");
        capacity.release(1, 1);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(capacity.poll_bytes(&mut cx).is_ready());
    }
}
