use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    vec,
};

use super::{
    caution::{Admission, Caution},
    keys::{KeyHash, KeyHasher, Keys},
    parked::Ticket,
    progress::{Attempts, Progress},
    tracker::Tracker,
};
use crate::{
    consume::{policy, summary::Undone},
    record::ConsumerRecord,
};

/// A record on its way from its lane to the service and back.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) record: ConsumerRecord,
    pub(super) lane: u32,
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) key: Option<KeyHash>,
    pub(super) holds_key: bool,
    pub(super) begun: bool,
    pub(super) running: bool,
}

impl Dispatch {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

/// What a lane starts from.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    pub(crate) progress: Arc<Progress>,
    /// What the group has committed.
    pub(crate) start: Option<i64>,
    pub(crate) caution: Option<Caution>,
    /// Nothing is dispatched before [`grant`](super::Engine::grant).
    pub(crate) gated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// No new dispatch.
    Stopped,
}

#[derive(Debug)]
enum Arrival {
    Records(vec::IntoIter<ConsumerRecord>, usize),
    End(i64),
}

/// What comes next of what has arrived.
enum Next {
    Record(ConsumerRecord),
    End(i64),
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) progress: Arc<Progress>,
    pub(super) tracker: Tracker,
    pub(super) keys: Keys<Dispatch>,
    arrivals: VecDeque<Arrival>,
    /// What waited and may be dispatched now; some of it comes before what arrived.
    pub(super) runnable: VecDeque<Dispatch>,
    pub(super) running: usize,
    pub(super) parked: BTreeSet<Ticket>,
    /// Behind a key that is busy.
    blocked: usize,
    pub(super) caution: Option<Caution>,
    pub(super) gated: bool,
    /// By request.
    pub(super) paused: bool,
    /// The number of the record that failed and pauses the lane.
    pub(super) failed: Option<u64>,
    /// The service isn't ready.
    pub(super) unready: bool,
    /// In the engine's list of lanes to look at.
    pub(super) listed: bool,
    pub(super) has_attempts: bool,
    last_end: Option<i64>,
    last: i64,
    pub(super) undone: Vec<(i64, Undone)>,
    /// How many were taken of what waited since something that arrived was.
    pub(super) before_arrivals: usize,
}

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
    pub(super) fn new(generation: u64, opening: Opening) -> Self {
        let has_attempts = !opening.progress.attempts().made.is_empty();
        Self {
            generation,
            state: State::Open,
            progress: opening.progress,
            tracker: Tracker::new(opening.start),
            keys: Keys::default(),
            arrivals: VecDeque::new(),
            runnable: VecDeque::new(),
            running: 0,
            parked: BTreeSet::new(),
            blocked: 0,
            caution: opening.caution,
            gated: opening.gated,
            paused: false,
            failed: None,
            unready: false,
            listed: false,
            has_attempts,
            last_end: None,
            last: -1,
            undone: Vec::new(),
            before_arrivals: 0,
        }
    }

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

    pub(super) fn may_dispatch(&self) -> bool {
        self.state == State::Open
            && !self.gated
            && !self.paused
            && !self.unready
            && self.failed.is_none()
    }

    /// The next record that may be dispatched.
    pub(super) fn take(
        &mut self,
        index: u32,
        bounds: &super::Bounds,
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
        bounds: &super::Bounds,
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
        bounds: &super::Bounds,
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

    /// What waits for its turn: parked, or behind its key.
    pub(super) fn waiting(&self) -> usize {
        self.parked.len() + self.blocked
    }

    pub(super) fn publish_waiting(&self) {
        let waiting = self.waiting();
        self.progress.waiting.store(waiting, Ordering::Relaxed);
    }

    pub(super) fn publish_running(&self) {
        self.progress.running.store(self.running, Ordering::Relaxed);
    }

    pub(super) fn publish_paused(&self) {
        let paused = self.paused || self.failed.is_some();
        self.progress.paused.store(paused, Ordering::Relaxed);
    }

    pub(super) fn complete(&mut self, dispatch: &Dispatch) {
        let moved = self.tracker.complete(dispatch.number);
        let watermark = self.tracker.watermark();
        if moved {
            self.progress.set_watermark(watermark);
        }
        if self.has_attempts {
            let offset = dispatch.record.offset();
            self.has_attempts = self.progress.change_attempts(|Attempts { made, .. }| {
                made.remove(&offset);
                if moved && let Some(watermark) = watermark {
                    // Also at records that never came: they are gone from the partition.
                    *made = made.split_off(&watermark);
                }
                !made.is_empty()
            });
        }
    }

    /// An attempt at a record was made, and it isn't complete.
    pub(super) fn note_attempt(&mut self, offset: i64, made: u32) {
        self.has_attempts = true;
        self.progress
            .change_attempts(|attempts| attempts.made.insert(offset, made));
    }

    pub(super) fn hold_key(&mut self, dispatch: &mut Dispatch) {
        if let Some(key) = dispatch.key
            && !dispatch.holds_key
        {
            self.keys.take(key);
            dispatch.holds_key = true;
        }
    }

    pub(super) fn release_key(&mut self, dispatch: &Dispatch) {
        // A stopped lane has forgotten its keys.
        if self.state == State::Open
            && dispatch.holds_key
            && let Some(key) = dispatch.key
            && let Some(mut next) = self.keys.release(key)
        {
            next.holds_key = true;
            self.blocked -= 1;
            self.publish_waiting();
            self.runnable.push_back(next);
        }
    }

    /// A trial of one record that was written down and never begun was no attempt.
    fn take_back_a_trial(&mut self) {
        if self.caution.is_none() {
            return;
        }
        let Some((from, to)) = self.progress.attempts().trial else {
            return;
        };
        let unbegun = |dispatch: &Dispatch| dispatch.record.offset() == from && !dispatch.begun;
        if to == from + 1 && self.runnable.iter().any(unbegun) {
            self.progress
                .change_attempts(|attempts| match attempts.made.get_mut(&from) {
                    Some(made) if *made > 1 => *made -= 1,
                    _ => {
                        attempts.made.remove(&from);
                    }
                });
        }
    }

    /// No new dispatch; what waits is let go of.
    pub(super) fn stop(&mut self) {
        self.take_back_a_trial();
        self.state = State::Stopped;
        self.arrivals.clear();
        let begun = self.runnable.drain(..).filter(|dispatch| dispatch.begun);
        let waiting = begun.map(|dispatch| (dispatch.record.offset(), Undone::Waiting));
        self.undone.extend(waiting);
        // What waits behind a key was never begun.
        drop(self.keys.clear());
        self.blocked = 0;
        self.publish_waiting();
    }
}
