use std::{
    sync::{Arc, PoisonError},
    task::{Wake, Waker},
};

use crate::sync::{
    AtomicWaker, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

/// Which parts of a dispatcher were woken: a future that holds many others asks it whom to poll.
#[derive(Debug, Default)]
pub(super) struct Woken {
    parts: Mutex<Vec<Part>>,
    task: AtomicWaker,
}

/// What can be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The call in this place.
    Call(u32),
    /// The service of the lane in this place, which wasn't ready.
    Service(u32),
}

struct PartWaker {
    part: Part,
    listed: AtomicBool,
    woken: Arc<Woken>,
}

/// Wakes a part, any number of times.
#[derive(Debug)]
pub(super) struct Bell {
    waker: Waker,
    part: Arc<PartWaker>,
}

impl Bell {
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// What wakes from now on is worth another poll. Call it before polling.
    pub(super) fn rearm(&self) {
        // Not a `store`: what happened before a wake-up that found the part listed has to be seen.
        self.part.listed.swap(false, Ordering::SeqCst);
    }
}

impl Woken {
    pub(super) fn bell(self: &Arc<Self>, part: Part) -> Bell {
        let part = Arc::new(PartWaker {
            part,
            listed: AtomicBool::new(false),
            woken: Arc::clone(self),
        });
        Bell {
            waker: Arc::clone(&part).into(),
            part,
        }
    }

    /// Says whom to wake in turn. Call it before [`take`](Self::take).
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Moves what was woken into `parts`, which has to be empty.
    pub(super) fn take(&self, parts: &mut Vec<Part>) {
        std::mem::swap(&mut *self.parts(), parts);
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for PartWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::SeqCst) {
            let is_first = {
                let mut parts = self.woken.parts();
                parts.push(self.part);
                parts.len() == 1
            };
            if is_first {
                self.woken.task.wake();
            }
        }
    }
}

impl std::fmt::Debug for PartWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartWaker")
            .field("part", &self.part)
            .field("listed", &self.listed)
            .finish_non_exhaustive()
    }
}
