//! Lanes whose queues are worth a look: what tells the poll thread where there is something to
//! read, and room for it, so that it never walks all lanes to find out.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{control::Wake, engine::Progress};

/// How many records a lane's engine may hold without having looked at them; the others stay in
/// librdkafka's queue. Enough for a fast service between two wake-ups of the poll thread.
pub(super) const WINDOW: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Unread {
    lanes: Mutex<Vec<u64>>,
    wake: Wake,
}

/// Of one lane.
#[derive(Debug)]
pub(super) struct Bell {
    generation: u64,
    listed: AtomicBool,
    /// The poll thread found no room.
    hungry: AtomicBool,
    unread: Arc<Unread>,
    progress: Arc<Progress>,
}

impl Unread {
    pub(super) fn new(wake: Wake) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::default(),
            wake,
        })
    }

    pub(super) fn bell(self: &Arc<Self>, generation: u64, progress: Arc<Progress>) -> Bell {
        Bell {
            generation,
            listed: AtomicBool::new(false),
            hungry: AtomicBool::new(false),
            unread: Arc::clone(self),
            progress,
        }
    }

    /// The lanes that were rung for since the last call.
    pub(super) fn take(&self) -> Vec<u64> {
        mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bell {
    /// The lane's queue is worth a look.
    pub(super) fn ring(&self) {
        if !self.listed.swap(true, Ordering::SeqCst) {
            self.unread
                .lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(self.generation);
            self.unread.wake.wake();
        }
    }

    /// What rings from now on is worth another look. Call it before looking.
    pub(super) fn rearm(&self) {
        self.listed.store(false, Ordering::SeqCst);
    }

    /// How many records may be read. With 0 the bell rings when there is room again.
    pub(super) fn room(&self) -> usize {
        let room = || WINDOW.saturating_sub(self.progress.unread.load(Ordering::SeqCst));
        match room() {
            0 => {
                self.hungry.store(true, Ordering::SeqCst);
                // It may have been made meanwhile, by someone who didn't see that it is wanted.
                room()
            }
            some => some,
        }
    }

    /// Called after records were looked at.
    pub(super) fn made_room(&self) {
        if self.hungry.load(Ordering::SeqCst)
            && self.progress.unread.load(Ordering::SeqCst) <= WINDOW / 2
            && self.hungry.swap(false, Ordering::SeqCst)
        {
            self.ring();
        }
    }
}
