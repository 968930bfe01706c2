use std::collections::{BTreeMap, BTreeSet};

use super::{Moment, dispatch::Dispatch};

/// What waits for a moment.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: BTreeMap<Ticket, Dispatch>,
    next: u64,
}

/// By moment, and in the order of parking. Each lane knows its own, so that it is stopped without
/// a look at the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(Moment, u64);

impl Parked {
    pub(super) fn add(&mut self, due: Moment, dispatch: Dispatch) -> Ticket {
        let ticket = Ticket(due, self.next);
        self.next += 1;
        self.waiting.insert(ticket, dispatch);
        ticket
    }

    pub(super) fn due(&mut self, now: Moment) -> Option<(Ticket, Dispatch)> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove_entry())
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        self.waiting.first_key_value().map(|(ticket, _)| ticket.0)
    }

    pub(super) fn remove(&mut self, tickets: BTreeSet<Ticket>) -> impl Iterator<Item = Dispatch> {
        tickets
            .into_iter()
            .filter_map(|ticket| self.waiting.remove(&ticket))
    }
}
