//! What is dispatched when, and what may be committed: the rules, without a socket, a thread, a
//! clock or a type of rdkafka.
//!
//! The engine is told what happens (records arrive, a call ends, time passes, a partition is taken
//! away) and answers what to do next. Whoever drives it calls the services.

mod arrivals;
#[cfg(feature = "bench-internals")]
pub mod bench;
mod caution;
mod dispatch;
mod failure;
mod finish;
mod keys;
mod lane;
#[cfg(test)]
mod model;
mod next;
mod parked;
mod progress;
mod rooms;
#[cfg(test)]
mod tests;
mod tracker;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::{
    caution::Caution,
    dispatch::Dispatch,
    lane::Opening,
    progress::{Attempts, Counts, Progress},
};
use self::{
    keys::KeyHasher,
    lane::{Lane, State},
    next::Found,
    parked::Parked,
    rooms::Rooms,
};
use super::{
    policy::{OnUnhandled, Ordering},
    summary::Undone,
};
use crate::{error::BoxError, record::ConsumerRecord};

/// Time since the engine began.
pub(crate) type Moment = Duration;

/// What bounds an engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) ordering: Ordering,
    /// Running, over all lanes.
    pub(crate) max_in_flight: usize,
    /// Parked or behind a busy key, for each lane.
    pub(crate) max_waiting: usize,
    /// From the oldest incomplete record of a lane to its newest.
    pub(crate) max_offset_span: u64,
    pub(crate) on_unhandled: OnUnhandled,
}

/// What others have to know.
#[derive(Debug)]
pub(crate) enum News {
    /// A stopped lane has nothing running any more.
    Drained(u64),
    /// A lane got to the end of its partition.
    End(u64, i64),
    /// A lane that has to be careful waits for [`Engine::grant`], until its attempts are written
    /// down.
    Trial(u64),
    /// A record failed and no layer handled it. What the policy says was done; with `Stop` the
    /// engine dispatches nothing any more.
    Failed(u64, i64, BoxError),
    /// The service asked to stop, at this offset; the engine dispatches nothing any more.
    StopRequested(u64, i64),
    /// After this offset came that one, which is lower.
    WentBack(u64, i64, i64),
}

/// The state of some lanes.
#[derive(Debug)]
pub(crate) struct Engine {
    bounds: Bounds,
    hasher: KeyHasher,
    lanes: Vec<Option<Lane>>,
    vacant: Vec<u32>,
    by_generation: HashMap<u64, u32>,
    /// Lanes that may have something to dispatch.
    ready: VecDeque<u32>,
    parked: Parked,
    rooms: Rooms,
    running: usize,
    counts: Arc<Counts>,
    news: Vec<News>,
}

impl Engine {
    pub(crate) fn new(bounds: Bounds, counts: Arc<Counts>) -> Self {
        Self {
            bounds,
            hasher: KeyHasher::default(),
            lanes: Vec::new(),
            vacant: Vec::new(),
            by_generation: HashMap::new(),
            ready: VecDeque::new(),
            parked: Parked::default(),
            rooms: Rooms::default(),
            running: 0,
            counts,
            news: Vec::new(),
        }
    }

    /// Opens a lane; its place is good until it is closed.
    pub(crate) fn open(&mut self, generation: u64, opening: Opening) -> u32 {
        let lane = Some(Lane::new(generation, opening));
        let index = match self.vacant.pop() {
            Some(index) => {
                self.lanes[index as usize] = lane;
                index
            }
            None => {
                self.lanes.push(lane);
                u32::try_from(self.lanes.len() - 1).expect("fewer lanes than 2^32")
            }
        };
        self.by_generation.insert(generation, index);
        index
    }

    /// Records arrived, in the order of their offsets.
    pub(crate) fn arrive(&mut self, generation: u64, records: Vec<ConsumerRecord>) {
        if let Some(index) = self.index(generation) {
            self.lane(index).arrive(records);
            self.list(index);
        }
    }

    /// Behind what arrived the partition ends, at this offset.
    pub(crate) fn arrive_end(&mut self, generation: u64, offset: i64) {
        if let Some(index) = self.index(generation) {
            let mut found = Found::default();
            self.lane(index).arrive_end(offset, &mut found);
            if let Some(offset) = found.end {
                self.news.push(News::End(generation, offset));
            }
            self.list(index);
        }
    }

    /// What it waited for is written down: a new lane, or a trial, may begin.
    pub(crate) fn grant(&mut self, generation: u64) {
        if let Some(index) = self.index(generation) {
            let lane = self.lane(index);
            match &mut lane.caution {
                Some(caution) if !lane.gated => caution.grant(),
                _ => lane.gated = false,
            }
            self.list(index);
        }
    }

    /// Pauses a lane by request, or lets it go on; whether it is there.
    pub(crate) fn pause(&mut self, generation: u64, paused: bool) -> bool {
        let Some(index) = self.index(generation) else {
            return false;
        };
        let lane = self.lane(index);
        lane.paused = paused;
        lane.publish_paused();
        self.list(index);
        true
    }

    /// The next lane to look at. `None` also while as much is running as may.
    pub(crate) fn next_lane(&mut self) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        let index = self.ready.pop_front()?;
        if let Some(lane) = &mut self.lanes[index as usize] {
            lane.listed = false;
        }
        Some(index)
    }

    /// Whether there is a lane to look at.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.running < self.bounds.max_in_flight
    }

    /// The lane may have more to dispatch: look at it again, after the others.
    pub(crate) fn list(&mut self, index: u32) {
        if let Some(lane) = &mut self.lanes[index as usize]
            && !lane.listed
            && lane.may_dispatch()
        {
            lane.listed = true;
            self.ready.push_back(index);
        }
    }

    /// Takes the next record of a lane that may be dispatched. It has to come back by
    /// [`put_back`](Self::put_back), [`finish`](Self::finish) or [`cancel`](Self::cancel).
    pub(crate) fn take(&mut self, index: u32) -> Option<Dispatch> {
        if !self.has_room() {
            return None;
        }
        let lane = self.lanes[index as usize].as_mut()?;
        let mut found = Found::default();
        self.rooms.lend(lane);
        let dispatch = lane.take(index, &self.bounds, &self.hasher, &mut found);
        if dispatch.is_none() {
            self.rooms.take_back(lane);
        }
        let generation = lane.generation;
        if let Some(offset) = found.end {
            self.news.push(News::End(generation, offset));
        }
        if let Some((from, to)) = found.went_back {
            self.news.push(News::WentBack(generation, from, to));
        }
        if found.trial {
            self.news.push(News::Trial(generation));
        }
        dispatch
    }

    /// It can't be dispatched now, and stays the next of its lane. `unready`: nor can any other,
    /// before [`service_ready`](Self::service_ready).
    pub(crate) fn put_back(&mut self, mut dispatch: Dispatch, unready: bool) {
        let index = dispatch.lane;
        let lane = self.lane(index);
        // What comes behind it may be looked at before it is taken again.
        lane.hold_key(&mut dispatch);
        lane.runnable.push_front(dispatch);
        lane.unready = unready;
    }

    /// The service of a lane may be ready again.
    pub(crate) fn service_ready(&mut self, index: u32) {
        if let Some(lane) = &mut self.lanes[index as usize] {
            lane.unready = false;
            self.list(index);
        }
    }

    /// The service is about to be called.
    pub(crate) fn begin(&mut self, dispatch: &mut Dispatch) {
        dispatch.begun = true;
        let offset = dispatch.record.offset();
        self.lane(dispatch.lane).progress.begin(offset);
    }

    /// The call didn't end at once.
    pub(crate) fn running(&mut self, dispatch: &mut Dispatch) {
        dispatch.running = true;
        self.running += 1;
        let lane = self.lane(dispatch.lane);
        lane.running += 1;
        lane.publish_running();
        lane.progress.called();
        lane.hold_key(dispatch);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Moment) {
        while let Some((ticket, dispatch)) = self.parked.due(now) {
            let index = dispatch.lane;
            let lane = self.lane(index);
            lane.parked.remove(&ticket);
            lane.publish_waiting();
            if lane.failed == Some(dispatch.number) {
                lane.failed = None;
                lane.before_arrivals = 0;
                lane.publish_paused();
                // Whatever else became runnable meanwhile.
                lane.runnable.push_front(dispatch);
            } else {
                lane.runnable.push_back(dispatch);
            }
            self.list(index);
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.parked.next_due()
    }

    /// Nothing more is dispatched of a lane; what runs may end, then there is
    /// [`News::Drained`].
    pub(crate) fn stop(&mut self, generation: u64) {
        let Some(index) = self.index(generation) else {
            return;
        };
        let lane = self.lanes[index as usize].as_mut().expect("a lane");
        if lane.state == State::Stopped {
            return;
        }
        let parked = self.parked.remove(std::mem::take(&mut lane.parked));
        let parked = parked.map(|dispatch| (dispatch.record.offset(), Undone::Waiting));
        lane.undone.extend(parked);
        lane.stop();
        if lane.running == 0 {
            self.news.push(News::Drained(generation));
        }
    }

    /// Nothing more is dispatched at all.
    pub(crate) fn stop_all(&mut self) {
        let generations: Vec<u64> = self.by_generation.keys().copied().collect();
        for generation in generations {
            self.stop(generation);
        }
    }

    /// Forgets a lane: what is still running of it changes nothing any more. Gives its place, and
    /// the offsets that were begun and are not complete.
    pub(crate) fn close(&mut self, generation: u64) -> Option<(u32, Vec<(i64, Undone)>)> {
        self.stop(generation);
        let index = self.by_generation.remove(&generation)?;
        let lane = self.lanes[index as usize].take()?;
        self.vacant.push(index);
        if lane.listed {
            self.ready.retain(|ready| *ready != index);
        }
        Some((index, lane.undone))
    }

    pub(crate) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub(crate) fn index(&self, generation: u64) -> Option<u32> {
        self.by_generation.get(&generation).copied()
    }

    /// # Panics
    ///
    /// For a lane that was closed: a bug.
    fn lane(&mut self, index: u32) -> &mut Lane {
        self.lanes[index as usize].as_mut().expect("an open lane")
    }
}
