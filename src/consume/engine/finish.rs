//! What becomes of a record when its call has ended.

use std::sync::atomic::Ordering::Relaxed;

use super::{Engine, Moment, News, dispatch::Dispatch, failure::Unplaced, lane::State};
use crate::{
    consume::{policy::OnUnhandled, summary::Undone},
    error::BoxError,
    record::Outcome,
};

impl Engine {
    /// A call ended.
    pub(crate) fn finish(
        &mut self,
        mut dispatch: Dispatch,
        result: Result<Outcome, BoxError>,
        now: Moment,
    ) {
        if !self.ended(&mut dispatch) {
            self.counts.stale.add_one();
            return;
        }
        match result {
            Ok(Outcome::Ack) => {
                self.counts.acked.add_one();
                self.complete(&dispatch, now);
            }
            Ok(Outcome::Skip) => {
                self.counts.skipped.add_one();
                self.complete(&dispatch, now);
            }
            Ok(Outcome::Moved { .. }) => {
                self.counts.moved.add_one();
                self.complete(&dispatch, now);
            }
            Ok(Outcome::Retry { after }) => {
                self.counts.retried.add_one();
                self.retry(dispatch, now.saturating_add(after.unwrap_or_default()));
            }
            Ok(Outcome::Defer { after }) => {
                self.counts.deferred.add_one();
                let (offset, attempt) = (dispatch.record.offset(), dispatch.record.attempt());
                self.lane(dispatch.lane).take_back(offset, attempt);
                self.park(dispatch, now.saturating_add(after));
            }
            Ok(Outcome::Stop) => {
                let offset = dispatch.record.offset();
                let lane = self.lane(dispatch.lane);
                lane.take_back(offset, dispatch.record.attempt());
                lane.undone.push((offset, Undone::Stopped));
                self.news
                    .push(News::StopRequested(dispatch.generation, offset));
                self.stop_all();
            }
            Ok(Outcome::DeadLetter { reason }) => {
                self.fail(dispatch, Unplaced(reason.into_owned()).into(), now);
            }
            Err(error) => self.fail(dispatch, error, now),
        }
    }

    /// A call was dropped.
    pub(crate) fn cancel(&mut self, mut dispatch: Dispatch, why: Undone) {
        self.counts.stale.add_one();
        if self.ended(&mut dispatch) {
            let offset = dispatch.record.offset();
            let attempt = dispatch.record.attempt();
            let lane = self.lane(dispatch.lane);
            lane.undone.push((offset, why));
            lane.note_attempt(offset, attempt);
        }
    }

    /// Whether the lane of a call that ended is still there.
    fn ended(&mut self, dispatch: &mut Dispatch) -> bool {
        let was_running = std::mem::take(&mut dispatch.running);
        self.running -= usize::from(was_running);
        let generation = dispatch.generation;
        let Some(lane) = self.lanes[dispatch.lane as usize]
            .as_mut()
            .filter(|lane| lane.generation == generation)
        else {
            return false;
        };
        lane.progress.end();
        if was_running {
            lane.running -= 1;
            lane.publish_running();
            if lane.state == State::Stopped && lane.running == 0 {
                self.news.push(News::Drained(generation));
            }
            self.list(dispatch.lane);
        }
        true
    }

    fn complete(&mut self, dispatch: &Dispatch, now: Moment) {
        let lane = self.lane(dispatch.lane);
        lane.complete(dispatch);
        lane.release_key(dispatch);
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        lane.progress.completed_at.store(now.max(1), Relaxed);
    }

    fn retry(&mut self, mut dispatch: Dispatch, due: Moment) {
        let attempt = dispatch.record.attempt();
        let offset = dispatch.record.offset();
        self.lane(dispatch.lane).note_attempt(offset, attempt);
        dispatch.record = dispatch.record.with_attempt(attempt.saturating_add(1));
        self.park(dispatch, due);
    }

    fn park(&mut self, mut dispatch: Dispatch, due: Moment) {
        let lane = self.lanes[dispatch.lane as usize].as_mut().expect("a lane");
        if lane.state == State::Stopped {
            lane.undone
                .push((dispatch.record.offset(), Undone::Waiting));
            return;
        }
        if let Some(caution) = &mut lane.caution {
            caution.renew(dispatch.record.offset());
        }
        lane.hold_key(&mut dispatch);
        dispatch.record = dispatch.record.alone();
        lane.parked.insert(self.parked.add(due, dispatch));
        lane.publish_waiting();
    }

    fn fail(&mut self, dispatch: Dispatch, error: BoxError, now: Moment) {
        let (generation, offset) = (dispatch.generation, dispatch.record.offset());
        self.news.push(News::Failed(generation, offset, error));
        match self.bounds.on_unhandled {
            OnUnhandled::Stop => {
                let attempt = dispatch.record.attempt();
                let lane = self.lane(dispatch.lane);
                lane.undone.push((offset, Undone::Failed));
                lane.note_attempt(offset, attempt);
                self.stop_all();
            }
            OnUnhandled::PausePartition { resume_after } => {
                let lane = self.lane(dispatch.lane);
                lane.failed = Some(dispatch.number);
                lane.publish_paused();
                self.retry(dispatch, now.saturating_add(resume_after));
            }
            OnUnhandled::Skip => {
                self.counts.skipped.add_one();
                self.complete(&dispatch, now);
            }
        }
    }
}
