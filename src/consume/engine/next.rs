//! Which record of a lane is the next, and whether it may go yet.

use super::{
    Bounds,
    arrivals::Next,
    caution::Admission,
    dispatch::Dispatch,
    keys::KeyHasher,
    lane::{Lane, State},
};
use crate::{consume::policy, record::ConsumerRecord};

/// How many of those that waited may go before the next arrival.
const AT_MOST_BEFORE_ARRIVALS: usize = 8;

/// What a look for the next record of a lane found besides.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) end: Option<i64>,
    /// A trial to be written down.
    pub(super) trial: bool,
    /// The offset before which the partition went back.
    pub(super) went_back: Option<(i64, i64)>,
}

impl Lane {
    pub(super) fn arrive(&mut self, records: Vec<ConsumerRecord>) {
        if self.state == State::Open {
            self.arrivals.add(records);
        }
    }

    pub(super) fn arrive_end(&mut self, offset: i64, found: &mut Found) {
        if self.state != State::Open {
            return;
        }
        match self.arrivals.is_empty() {
            // It needs no leave to dispatch, which an empty partition may never get.
            true => self.pass_end(offset, found),
            false => self.arrivals.add_end(offset),
        }
    }

    /// The next record that may be dispatched.
    pub(super) fn take(
        &mut self,
        index: u32,
        bounds: &Bounds,
        hasher: &KeyHasher,
        found: &mut Found,
    ) -> Option<Dispatch> {
        if !self.may_dispatch() {
            return None;
        }
        let one_by_one = bounds.ordering == policy::Ordering::Partition;
        if one_by_one && self.running + self.parked.len() > 0 {
            return None;
        }
        // However much comes back again and again, what arrived has its turn.
        let arrivals_first = self.before_arrivals >= AT_MOST_BEFORE_ARRIVALS
            && !one_by_one
            && self.caution.is_none();
        if !arrivals_first && let Some(dispatch) = self.runnable.pop_front() {
            self.before_arrivals += 1;
            return self.admit(dispatch, found);
        }
        self.before_arrivals = 0;
        if let Some(dispatch) = self.take_arrival(index, bounds, hasher, found) {
            return self.admit(dispatch, found);
        }
        let dispatch = self.runnable.pop_front()?;
        self.admit(dispatch, found)
    }

    /// The next of what arrived whose key is free.
    fn take_arrival(
        &mut self,
        index: u32,
        bounds: &Bounds,
        hasher: &KeyHasher,
        found: &mut Found,
    ) -> Option<Dispatch> {
        while self.waiting() < bounds.max_waiting
            && self.tracker.span_to(self.last) < bounds.max_offset_span
        {
            let record = match self.arrivals.next(&self.progress.unread)? {
                Next::Record(record) => record,
                Next::End(offset) => {
                    self.pass_end(offset, found);
                    continue;
                }
            };
            let dispatch = self.arrived(index, record, bounds, hasher, found);
            match dispatch.key {
                Some(key) if self.keys.is_busy(key) => {
                    let record = dispatch.record.alone();
                    self.keys.wait(key, Dispatch { record, ..dispatch });
                    self.blocked += 1;
                    self.publish_waiting();
                }
                _ => return Some(dispatch),
            }
        }
        None
    }

    fn arrived(
        &mut self,
        index: u32,
        mut record: ConsumerRecord,
        bounds: &Bounds,
        hasher: &KeyHasher,
        found: &mut Found,
    ) -> Dispatch {
        let offset = record.offset();
        if offset <= self.last {
            found.went_back = Some((self.last, offset));
        }
        self.last = offset;
        if self.has_attempts
            && let Some(made) = self.progress.made(offset)
        {
            record = record.with_attempt(made.saturating_add(1));
        }
        let key = match bounds.ordering {
            policy::Ordering::Key => record.key().map(|key| hasher.hash(key)),
            policy::Ordering::Partition | policy::Ordering::Unordered => None,
        };
        Dispatch {
            number: self.tracker.arrive(offset),
            record,
            lane: index,
            generation: self.generation,
            key,
            holds_key: false,
            begun: false,
            running: false,
        }
    }

    /// Lets a record through, or keeps it for later, in a lane that has to be careful.
    fn admit(&mut self, dispatch: Dispatch, found: &mut Found) -> Option<Dispatch> {
        let Some(caution) = &mut self.caution else {
            return Some(dispatch);
        };
        let offset = dispatch.record.offset();
        let is_past = offset >= caution.until && !dispatch.begun;
        if is_past && self.running == 0 {
            self.caution = None;
            self.progress
                .change_attempts(|attempts| attempts.trial = None);
            return Some(dispatch);
        }
        let admission = match is_past {
            // Beside a trial it would end it: what dies in it would never be tried alone.
            true => Admission::Wait,
            false => caution.admit(offset, self.running),
        };
        match admission {
            Admission::Go => return Some(dispatch),
            Admission::Wait => {}
            Admission::Ask(from, to) => {
                found.trial = true;
                let attempt = dispatch.record.attempt();
                self.progress.change_attempts(|attempts| {
                    attempts.trial = Some((from, to));
                    if to == from + 1 {
                        attempts.made.insert(from, attempt);
                    }
                });
                self.has_attempts |= to == from + 1;
            }
        }
        self.runnable.push_front(dispatch);
        None
    }

    fn pass_end(&mut self, offset: i64, found: &mut Found) {
        if self.tracker.end(offset) {
            self.progress.set_watermark(self.tracker.watermark());
        }
        if self.last_end.is_none_or(|last| last < offset) {
            self.last_end = Some(offset);
            found.end = Some(offset);
        }
    }
}
