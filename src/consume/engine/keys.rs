use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

/// Which keys are busy, and what waits for each.
///
/// Keys are known by a randomly seeded 64-bit hash: two that collide wait for each other, which is
/// all that happens.
#[derive(Debug)]
pub(super) struct Keys<T> {
    busy: HashMap<u64, Queue, BuildHasherDefault<Hashed>>,
    nodes: Vec<Node<T>>,
    free: Option<u32>,
}

/// The hash of a record's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHash(u64);

/// The nodes that wait for a key.
#[derive(Debug, Clone, Copy)]
struct Queue {
    /// `NOBODY`, and then `last` means nothing.
    first: u32,
    last: u32,
}

const NOBODY: u32 = u32::MAX;

#[derive(Debug)]
struct Node<T> {
    item: Option<T>,
    next: Option<u32>,
}

/// Hashes keys alike in all lanes of an engine.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyHasher(foldhash::fast::RandomState);

impl KeyHasher {
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.0.hash_one(key))
    }
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self {
            busy: HashMap::default(),
            nodes: Vec::new(),
            free: None,
        }
    }
}

impl<T> Keys<T> {
    pub(super) fn is_busy(&self, key: KeyHash) -> bool {
        !self.busy.is_empty() && self.busy.contains_key(&key.0)
    }

    /// A record of this key is on its way.
    pub(super) fn take(&mut self, key: KeyHash) {
        let nobody = Queue {
            first: NOBODY,
            last: NOBODY,
        };
        self.busy.insert(key.0, nobody);
    }

    /// Puts an item behind those that wait for a busy key.
    pub(super) fn wait(&mut self, key: KeyHash, item: T) {
        let node = self.node(item);
        let queue = self.busy.get_mut(&key.0).expect("a busy key");
        match queue.first {
            NOBODY => queue.first = node,
            _ => self.nodes[queue.last as usize].next = Some(node),
        }
        queue.last = node;
    }

    /// The record that was on its way is done: the next one of its key, or the key is free.
    pub(super) fn release(&mut self, key: KeyHash) -> Option<T> {
        let queue = self.busy.get_mut(&key.0).expect("a busy key");
        let first = queue.first;
        if first == NOBODY {
            self.busy.remove(&key.0);
            return None;
        }
        let node = &mut self.nodes[first as usize];
        queue.first = node.next.unwrap_or(NOBODY);
        node.next = self.free.replace(first);
        node.item.take()
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = T> {
        self.busy.clear();
        self.free = None;
        std::mem::take(&mut self.nodes)
            .into_iter()
            .filter_map(|node| node.item)
    }

    fn node(&mut self, item: T) -> u32 {
        let item = Some(item);
        match self.free {
            Some(index) => {
                let node = &mut self.nodes[index as usize];
                self.free = node.next.take();
                node.item = item;
                index
            }
            None => {
                self.nodes.push(Node { item, next: None });
                u32::try_from(self.nodes.len() - 1).expect("fewer records than 2^32 wait")
            }
        }
    }
}

/// Takes a hash as it is.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are hashed")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_key_comes_in_order_and_frees_it_at_last() {
        let hasher = KeyHasher::default();
        let (a, b) = (hasher.hash(b"a"), hasher.hash(b"b"));
        let mut keys = Keys::default();
        keys.take(a);
        keys.take(b);
        for item in [1, 2, 3] {
            keys.wait(a, item);
        }
        keys.wait(b, 10);
        assert_eq!(keys.release(a), Some(1));
        keys.wait(a, 4);
        assert_eq!(keys.release(b), Some(10));
        assert_eq!(keys.release(b), None);
        assert!(!keys.is_busy(b));
        let rest: Vec<_> = std::iter::from_fn(|| keys.release(a)).collect();
        assert_eq!(rest, [2, 3, 4]);
        assert!(!keys.is_busy(a));
        assert_eq!(keys.nodes.len(), 4, "places are used again");
    }

    #[test]
    fn clearing_gives_what_waits() {
        let key = KeyHasher::default().hash(b"a");
        let mut keys = Keys::default();
        keys.take(key);
        keys.wait(key, 1);
        keys.wait(key, 2);
        assert_eq!(keys.release(key), Some(1));
        assert_eq!(Vec::from_iter(keys.clear()), [2]);
        assert!(!keys.is_busy(key));
    }
}
