use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use super::{
    arrivals::Arrival,
    caution::Caution,
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
pub(super) struct Lane {
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) progress: Arc<Progress>,
    pub(super) tracker: Tracker,
    pub(super) keys: Keys<Dispatch>,
    pub(super) arrivals: VecDeque<Arrival>,
    /// What waited and may be dispatched now; some of it comes before what arrived.
    pub(super) runnable: VecDeque<Dispatch>,
    pub(super) running: usize,
    pub(super) parked: BTreeSet<Ticket>,
    /// Behind a key that is busy.
    pub(super) blocked: usize,
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
    pub(super) last_end: Option<i64>,
    pub(super) last: i64,
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
