use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use super::{
    arrivals::Arrivals,
    caution::Caution,
    dispatch::Dispatch,
    keys::Keys,
    parked::Ticket,
    progress::{Attempts, Progress},
    tracker::Tracker,
};
use crate::consume::summary::Undone;

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
    pub(super) arrivals: Arrivals,
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

impl Lane {
    pub(super) fn new(generation: u64, opening: Opening) -> Self {
        let has_attempts = !opening.progress.attempts().made.is_empty();
        Self {
            generation,
            state: State::Open,
            progress: opening.progress,
            tracker: Tracker::new(opening.start),
            keys: Keys::default(),
            arrivals: Arrivals::default(),
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

    /// A trial of one record that was written down and never begun was no attempt.
    pub(super) fn take_back_a_trial(&mut self) {
        if self.caution.is_none() {
            return;
        }
        let Some((from, _)) = self.progress.attempts().trial else {
            return;
        };
        let is_tried = |dispatch: &&Dispatch| dispatch.record.offset() == from;
        // What is runnable hasn't begun its attempt.
        if let Some(dispatch) = self.runnable.iter().find(is_tried) {
            let attempt = dispatch.record.attempt();
            self.take_back(from, attempt);
        }
    }

    /// An attempt that was counted beforehand counts no more.
    pub(super) fn take_back(&mut self, offset: i64, attempt: u32) {
        if self.has_attempts && self.progress.made(offset) == Some(attempt) {
            self.progress.change_attempts(|attempts| match attempt {
                0 | 1 => attempts.made.remove(&offset),
                _ => attempts.made.insert(offset, attempt - 1),
            });
        }
    }
}
