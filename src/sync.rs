//! What the lock-free parts are made of: the standard library's, or loom's, which tries every
//! order of events.

#[cfg(not(loom))]
pub(crate) use {
    futures_util::task::AtomicWaker,
    std::sync::{Mutex, MutexGuard, atomic},
    std::thread::{self, Thread},
};

#[cfg(loom)]
pub(crate) use {
    self::looms::{
        AtomicWaker,
        thread::{self, Thread},
    },
    loom::sync::{Mutex, MutexGuard, atomic},
};

#[cfg(loom)]
mod looms {
    use std::task::Waker;

    use loom::sync::Mutex;

    /// What futures' own one promises, made the simple way.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &Waker) {
            let before = self.0.lock().expect("a lock").replace(waker.clone());
            drop(before);
        }

        pub(crate) fn wake(&self) {
            let waker = self.0.lock().expect("a lock").take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(crate) mod thread {
        use std::sync::Arc;

        use loom::sync::Notify;
        #[cfg(test)]
        pub(crate) use loom::thread::spawn;

        /// loom's own forgets an `unpark` while the thread waits for a lock.
        #[derive(Debug, Clone)]
        pub(crate) struct Thread(Arc<Notify>);

        loom::thread_local! {
            static CURRENT: Thread = Thread(Arc::new(Notify::new()));
        }

        pub(crate) fn current() -> Thread {
            CURRENT.with(Thread::clone)
        }

        #[cfg(test)]
        pub(crate) fn park() {
            current().0.wait();
        }

        impl Thread {
            pub(crate) fn unpark(&self) {
                self.0.notify();
            }
        }
    }
}
