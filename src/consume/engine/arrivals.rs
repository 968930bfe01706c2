//! What arrived in a lane and wasn't looked at yet.

use std::{sync::atomic::Ordering, vec};

use super::{
    Bounds,
    keys::KeyHasher,
    lane::{Dispatch, Found, Lane, State},
};
use crate::{consume::policy, record::ConsumerRecord};

#[derive(Debug)]
pub(super) enum Arrival {
    Records(vec::IntoIter<ConsumerRecord>, usize),
    End(i64),
}

/// What comes next of what has arrived.
enum Next {
    Record(ConsumerRecord),
    End(i64),
}

impl Lane {
    pub(super) fn arrive(&mut self, records: Vec<ConsumerRecord>) {
        if self.state == State::Open {
            let count = records.len();
            self.arrivals
                .push_back(Arrival::Records(records.into_iter(), count));
        }
    }

    pub(super) fn arrive_end(&mut self, offset: i64, found: &mut Found) {
        if self.state != State::Open {
            return;
        }
        match self.arrivals.is_empty() {
            // It needs no leave to dispatch, which an empty partition may never get.
            true => self.pass_end(offset, found),
            false => self.arrivals.push_back(Arrival::End(offset)),
        }
    }

    fn next_arrival(&mut self) -> Option<Next> {
        loop {
            match self.arrivals.front_mut()? {
                Arrival::Records(records, count) => {
                    if let Some(record) = records.next() {
                        return Some(Next::Record(record));
                    }
                    let count = *count;
                    self.arrivals.pop_front();
                    self.progress.unread.fetch_sub(count, Ordering::SeqCst);
                }
                Arrival::End(offset) => {
                    let offset = *offset;
                    self.arrivals.pop_front();
                    return Some(Next::End(offset));
                }
            }
        }
    }

    /// The next of what arrived whose key is free.
    pub(super) fn take_arrival(
        &mut self,
        index: u32,
        bounds: &Bounds,
        hasher: &KeyHasher,
        found: &mut Found,
    ) -> Option<Dispatch> {
        while self.waiting() < bounds.max_waiting
            && self.tracker.span_to(self.last) < bounds.max_offset_span
        {
            let record = match self.next_arrival()? {
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
