//! Lanes whose queues are worth a look: what tells the poll thread where there is something to
//! read, and room for it, so that it never walks all lanes to find out.

use std::{
    mem,
    sync::{Arc, PoisonError},
};

use super::{control::Wake, engine::Progress};
use crate::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

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
        // Not a `store`: what happened before a ring that found it listed has to be seen.
        self.listed.swap(false, Ordering::SeqCst);
    }

    /// How many records may be read. With 0 the bell rings when there is room again.
    pub(super) fn room(&self) -> usize {
        let room = |unread| WINDOW.saturating_sub(unread);
        match room(self.progress.unread.load(Ordering::SeqCst)) {
            0 => {
                self.hungry.store(true, Ordering::SeqCst);
                // It may have been made meanwhile, by someone who didn't see that it is wanted. Not
                // a `load`: whoever makes room after it is to see.
                room(self.progress.unread.fetch_add(0, Ordering::SeqCst))
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

/// Every order of events: a bell that doesn't ring is a deadlock, which loom reports.
#[cfg(all(test, loom))]
mod models {
    use loom::sync::atomic::AtomicUsize;

    use super::*;
    use crate::sync::thread;

    /// A poll thread with one lane.
    struct Reader {
        unread: Arc<Unread>,
        bell: Arc<Bell>,
        progress: Arc<Progress>,
    }

    impl Reader {
        fn new() -> Self {
            let wake = Wake::default();
            wake.wake_here();
            let unread = Unread::new(wake);
            let progress = Arc::new(Progress::default());
            let bell = Arc::new(unread.bell(1, Arc::clone(&progress)));
            Self {
                unread,
                bell,
                progress,
            }
        }

        /// Reads whenever the bell has rung, until it has read so many.
        fn read(&self, queue: &AtomicUsize, wanted: usize) {
            let mut read = 0;
            while read < wanted {
                if self.unread.take().is_empty() {
                    thread::park();
                    continue;
                }
                self.bell.rearm();
                loop {
                    let room = self.bell.room();
                    let count = room.min(queue.load(Ordering::SeqCst));
                    if count == 0 {
                        break;
                    }
                    queue.fetch_sub(count, Ordering::SeqCst);
                    self.progress.arrived(count);
                    read += count;
                }
            }
        }
    }

    #[test]
    fn what_arrives_while_the_queue_is_read_is_read() {
        loom::model(|| {
            let reader = Reader::new();
            let queue = Arc::new(AtomicUsize::new(0));
            let (fed, bell) = (Arc::clone(&queue), Arc::clone(&reader.bell));
            let feeding = thread::spawn(move || {
                for _ in 0..2 {
                    fed.fetch_add(1, Ordering::SeqCst);
                    bell.ring();
                }
            });
            reader.bell.ring();
            reader.read(&queue, 2);
            feeding.join().expect("no panic");
        });
    }

    #[test]
    fn room_that_is_made_while_none_is_found_is_used() {
        loom::model(|| {
            let reader = Reader::new();
            reader.progress.arrived(WINDOW);
            let queue = AtomicUsize::new(1);
            let (progress, bell) = (Arc::clone(&reader.progress), Arc::clone(&reader.bell));
            let handling = thread::spawn(move || {
                for part in [WINDOW / 4, WINDOW - WINDOW / 4] {
                    progress.unread.fetch_sub(part, Ordering::SeqCst);
                    bell.made_room();
                }
            });
            reader.bell.ring();
            reader.read(&queue, 1);
            handling.join().expect("no panic");
        });
    }
}
