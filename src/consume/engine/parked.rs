use std::collections::BTreeMap;

use super::{Moment, lane::Dispatch};

/// What waits for a moment.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// By moment, and in the order of parking.
    waiting: BTreeMap<(Moment, u64), Dispatch>,
    next: u64,
}

impl Parked {
    pub(super) fn add(&mut self, due: Moment, dispatch: Dispatch) {
        self.waiting.insert((due, self.next), dispatch);
        self.next += 1;
    }

    pub(super) fn due(&mut self, now: Moment) -> Option<Dispatch> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes out all that belongs to a lane.
    pub(super) fn remove(&mut self, generation: u64) -> impl Iterator<Item = Dispatch> + use<> {
        let lane: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, dispatch)| dispatch.generation == generation)
            .map(|(key, _)| *key)
            .collect();
        let removed: Vec<_> = lane
            .iter()
            .filter_map(|key| self.waiting.remove(key))
            .collect();
        removed.into_iter()
    }
}
