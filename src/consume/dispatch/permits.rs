use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// A dispatcher's share of the permits to run, one for each record; all dispatchers take from the
/// same.
pub(super) struct Permits {
    permits: PollSemaphore,
    /// For the next call.
    spare: Option<OwnedSemaphorePermit>,
    /// In the queue for one.
    queued: bool,
}

impl Permits {
    pub(super) fn new(permits: Arc<Semaphore>) -> Self {
        Self {
            permits: PollSemaphore::new(permits),
            spare: None,
            queued: false,
        }
    }

    /// Whether there is one for the next call; the task is woken when there is.
    pub(super) fn poll_spare(&mut self, context: &mut Context<'_>) -> bool {
        if self.spare.is_none() {
            match self.permits.poll_acquire(context) {
                Poll::Ready(permit) => (self.spare, self.queued) = (permit, false),
                Poll::Pending => self.queued = true,
            }
        }
        self.spare.is_some()
    }

    /// For a call that goes on.
    pub(super) fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        self.spare.take()
    }

    /// Of a call that has ended.
    pub(super) fn give_back(&mut self, permit: OwnedSemaphorePermit) {
        self.spare.get_or_insert(permit);
    }

    /// Leaves the spare one to others, and unless it is `wanted` also the place in the queue.
    pub(super) fn release(&mut self, wanted: bool) {
        self.spare = None;
        if self.queued && !wanted {
            // What is waited for comes to someone who has no use for it any more.
            self.permits = PollSemaphore::new(self.permits.clone_inner());
            self.queued = false;
        }
    }
}
