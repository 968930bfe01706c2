use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
    mpsc::Sender,
};

use crate::{
    consume::{control::Wake, summary::Undone},
    error::BoxError,
};

/// What became of a record or of the lane.
#[derive(Debug)]
pub(crate) enum Event {
    Completed {
        offset: i64,
        how: Completion,
    },
    Retried,
    Deferred,
    /// No layer handled it.
    Failed {
        offset: i64,
        error: BoxError,
    },
    /// `poll_ready` failed.
    ServiceEnded {
        offset: i64,
        error: BoxError,
    },
    /// The service asked to stop everything.
    StopRequested {
        offset: i64,
    },
    /// The task is over; the last event of a lane, come what may.
    Ended {
        undone: Option<(i64, Undone)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completion {
    Acked,
    Skipped,
    Moved,
}

/// The offset that a lane has begun and not completed, for the poll thread to read when the lane
/// doesn't answer.
#[derive(Debug)]
pub(crate) struct InHand(AtomicI64);

impl InHand {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(-1))
    }

    pub(crate) fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Acquire)).filter(|offset| *offset >= 0)
    }

    fn set(&self, offset: Option<i64>) {
        self.0.store(offset.unwrap_or(-1), Ordering::Release);
    }
}

/// Sends a lane's events under its generation, `Ended` also when the task panics or is dropped.
pub(crate) struct Reporter {
    pub(crate) generation: u64,
    pub(crate) events: Sender<(u64, Event)>,
    pub(crate) wake: Wake,
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) fate: Undone,
}

impl Reporter {
    pub(crate) fn begin(&mut self, offset: i64) {
        self.in_hand.set(Some(offset));
        self.fate = Undone::Cancelled;
    }

    pub(crate) fn complete(&mut self, offset: i64, how: Completion) {
        self.in_hand.set(None);
        self.send(Event::Completed { offset, how });
    }

    pub(crate) fn send(&self, event: Event) {
        // The poll thread is gone only when nobody wants to know any more.
        let _ = self.events.send((self.generation, event));
        self.wake.wake();
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let undone = self.in_hand.get().map(|offset| (offset, self.fate));
        self.send(Event::Ended { undone });
    }
}
