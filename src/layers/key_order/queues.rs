use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

/// How many records may wait for their keys.
const WAITING: usize = 10_000;

/// The keys that have a record on its way, each with those that wait for it.
#[derive(Debug)]
pub(super) struct Queues {
    keys: Mutex<Map>,
    waiting: Arc<Semaphore>,
}

// Each record is hashed twice; the standard library's hash would be most of what that costs.
type Map = HashMap<Key, VecDeque<oneshot::Sender<Turn>>, foldhash::fast::RandomState>;

pub(super) type Key = (Arc<str>, Bytes);

/// What a key answers to another record.
pub(super) enum Place {
    Now(Turn),
    Behind(oneshot::Receiver<Turn>),
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            keys: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

impl Queues {
    /// The places of those that wait.
    pub(super) fn waiting(&self) -> Arc<Semaphore> {
        Arc::clone(&self.waiting)
    }

    pub(super) fn enter(self: &Arc<Self>, key: Key) -> Place {
        match self.lock().entry(key) {
            Entry::Vacant(vacant) => {
                let turn = Turn {
                    queues: Arc::clone(self),
                    key: Some(vacant.key().clone()),
                };
                vacant.insert(VecDeque::new());
                Place::Now(turn)
            }
            Entry::Occupied(mut queue) => {
                let (sender, receiver) = oneshot::channel();
                queue.get_mut().push_back(sender);
                Place::Behind(receiver)
            }
        }
    }

    /// Who comes next. The key is forgotten when that is nobody.
    fn next(&self, key: &Key) -> Option<oneshot::Sender<Turn>> {
        let mut queues = self.lock();
        let next = queues.get_mut(key)?.pop_front();
        if next.is_none() {
            queues.remove(key);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of a record to be on its way, alone of its key. Dropped, it goes to the next; also when it
/// was given to somebody who then didn't take it.
#[derive(Debug)]
pub(super) struct Turn {
    queues: Arc<Queues>,
    /// `None` once it was passed on.
    key: Option<Key>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        while let Some(key) = self.key.take() {
            let Some(next) = self.queues.next(&key) else {
                return;
            };
            let turn = Self {
                queues: Arc::clone(&self.queues),
                key: Some(key),
            };
            if let Err(mut refused) = next.send(turn) {
                // Gone; to the one behind, and not from within the drop of this one: there may be many.
                self.key = refused.key.take();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static str) -> Key {
        ("t".into(), Bytes::from_static(name.as_bytes()))
    }

    fn now(place: Place) -> Turn {
        match place {
            Place::Now(turn) => turn,
            Place::Behind(_) => panic!("another is on its way"),
        }
    }

    fn behind(place: Place) -> oneshot::Receiver<Turn> {
        match place {
            Place::Now(_) => panic!("nobody is on its way"),
            Place::Behind(receiver) => receiver,
        }
    }

    #[test]
    fn a_turn_goes_to_the_first_who_is_still_there() {
        let queues = Arc::new(Queues::default());
        let first = now(queues.enter(key("a")));
        let other = now(queues.enter(key("b")));
        let [gone, mut second, mut third] = [(); 3].map(|()| behind(queues.enter(key("a"))));
        drop(gone);
        drop(first);
        assert!(third.try_recv().is_err());
        let turn = second.try_recv().expect("its turn");
        drop(turn);
        // Given, and not taken.
        drop(third);
        drop(other);
        assert!(queues.lock().is_empty());
    }

    #[test]
    fn many_who_are_gone_are_no_deep_stack() {
        let queues = Arc::new(Queues::default());
        let first = now(queues.enter(key("a")));
        for _ in 0..100_000 {
            drop(behind(queues.enter(key("a"))));
        }
        drop(first);
        assert!(queues.lock().is_empty());
    }
}
