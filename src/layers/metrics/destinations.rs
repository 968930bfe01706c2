use std::{
    hash::BuildHasher,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use foldhash::fast::RandomState;

/// How many may be named at the most, whatever the layer is told.
const MOST: usize = 10_000;

/// The destinations that have a name: those that came first.
///
/// They are looked for with each record, by all threads, and nearly always found: a table without locks,
/// in which places are filled once.
#[derive(Debug)]
pub(super) struct Destinations {
    places: Box<[OnceLock<Box<str>>]>,
    left: AtomicUsize,
    hasher: RandomState,
}

impl Destinations {
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(MOST);
        // At least half of them stay empty, so that every search ends soon.
        let places = (2 * most).next_power_of_two();
        Self {
            places: (0..places).map(|_| OnceLock::new()).collect(),
            left: AtomicUsize::new(most),
            hasher: RandomState::default(),
        }
    }

    /// Whether this one has, or just got, a name.
    pub(super) fn admit(&self, name: &str) -> bool {
        let mask = self.places.len() - 1;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "only the lowest bits count"
        )]
        let first = self.hasher.hash_one(name) as usize & mask;
        let mut reserved = false;
        for step in 0..self.places.len() {
            let place = &self.places[(first + step) & mask];
            if place.get().is_none() {
                reserved = reserved || self.reserve();
                if !reserved {
                    return false;
                }
                // Somebody else may fill it first.
                if place.set(name.into()).is_ok() {
                    return true;
                }
            }
            if place.get().is_some_and(|known| **known == *name) {
                if reserved {
                    self.left.fetch_add(1, Relaxed);
                }
                return true;
            }
        }
        false
    }

    fn reserve(&self) -> bool {
        self.left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn those_that_came_first_keep_their_names() {
        let known = Destinations::new(3);
        for _ in 0..2 {
            let named = ["a", "b", "a", "c", "d"].map(|name| known.admit(name));
            assert_eq!(named, [true, true, true, true, false]);
        }
        assert!(!Destinations::new(0).admit("a"));
        let many = Destinations::new(usize::MAX);
        let named = (0..=MOST).filter(|n| many.admit(&n.to_string())).count();
        assert_eq!(named, MOST);
    }

    #[test]
    fn threads_that_come_together_share_the_names() {
        for _ in 0..100 {
            let known = Destinations::new(8);
            let named = |offset: usize| {
                let names = (0..12).map(|n| ((n + offset) % 12).to_string());
                names.filter(|name| known.admit(name)).count()
            };
            thread::scope(|scope| {
                for offset in [0, 4, 8] {
                    scope.spawn(move || named(offset));
                }
            });
            // What two filled at once may have been reserved twice meanwhile, and was given back.
            assert_eq!(named(0), 8);
            assert_eq!(known.left.load(Relaxed), 0);
        }
    }
}
