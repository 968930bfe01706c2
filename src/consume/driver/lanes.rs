//! The poll thread's side of the lanes.

use std::sync::Arc;

use super::{
    Context, Driver,
    end::{End, shown},
    told::Silence,
    written::{Mark, Written},
};
use crate::{
    client::native::queue::PartitionQueue,
    consume::{
        dispatch::{Event, NewLane, Order},
        engine::{News, Opening, Progress},
        error::ServeError,
        lifecycle::Moment,
        metadata::Metadata,
        policy::OnUnhandled,
        summary::{StopReason, Undone},
        unread::Bell,
        view::View,
    },
    error::{ErrorClass, let_go},
    record::{Lease, chunk::Origin},
};

/// What the poll thread knows of a lane.
pub(super) struct Lane {
    // Dropped first: its callback rings the bell.
    pub(super) queue: Option<PartitionQueue<Context>>,
    pub(super) origin: Arc<Origin>,
    pub(super) progress: Arc<Progress>,
    pub(super) bell: Arc<Bell>,
    pub(super) view: Arc<View>,
    /// The number of its dispatcher.
    pub(super) dispatcher: usize,
    /// No new dispatch, and nothing more is read.
    pub(super) stopped: bool,
    /// By request.
    pub(super) paused: bool,
    /// Stopped, and nothing is running any more.
    pub(super) drained: bool,
    /// What the group had committed when the lane was opened.
    pub(super) start: Option<i64>,
    /// The first offset that was read.
    pub(super) first: Option<i64>,
    /// What waits for a commit.
    pub(super) mark: Option<Mark>,
    pub(super) committing: Option<Written>,
    pub(super) committed: Option<Written>,
    pub(super) silence: Silence,
    /// How far the last commit said that records might be running.
    pub(super) running_to: i64,
    /// Its topic is gone: there is nothing to commit for.
    pub(super) gone: bool,
    /// The group has moved on without this member: trying again soon is no use.
    pub(super) refused: bool,
}

/// A lane that was given up, until its dispatcher says what it left undone.
pub(super) struct Closing {
    pub(super) origin: Arc<Origin>,
    pub(super) progress: Arc<Progress>,
    pub(super) dispatcher: usize,
    /// Whatever was undone is so for this reason.
    pub(super) why: Option<Undone>,
}

impl Driver {
    /// Opens a lane for a partition that is about to be assigned: its queue has to be there before.
    pub(super) fn open_lane(
        &mut self,
        topic: &str,
        partition: i32,
        start: Option<i64>,
        known: &Metadata,
        lease: Lease,
    ) {
        let topic: Arc<str> = topic.into();
        self.generation += 1;
        let generation = self.generation;
        let origin = Arc::new(Origin::new(Arc::clone(&topic), partition, lease));
        let progress = Arc::new(Progress::new(known.attempts.made.clone()));
        let bell = Arc::new(self.unread.bell(generation, Arc::clone(&progress)));
        let rung = Arc::clone(&bell);
        let queue = PartitionQueue::new(&self.consumer, &topic, partition, move || rung.ring());
        if queue.is_none() {
            let reason = format!("there is no queue for {topic}/{partition}");
            self.end(End::client(None, &reason, ErrorClass::Fatal));
        }
        let caution = start.and_then(|start| known.caution(start));
        if caution.is_some() {
            tracing::warn!(
                target: "kafka_tower", %topic, partition,
                "the last owner ended, or lost the partition, without a word; what it was handling is tried with care"
            );
        }
        let dispatcher = self.least_busy_dispatcher();
        let view = Arc::new(View::new(Arc::clone(&origin), Arc::clone(&progress), start));
        let lane = Lane {
            queue,
            origin: Arc::clone(&origin),
            progress: Arc::clone(&progress),
            bell: Arc::clone(&bell),
            view: Arc::clone(&view),
            dispatcher,
            stopped: false,
            paused: false,
            drained: false,
            start,
            first: None,
            mark: None,
            committing: None,
            committed: None,
            silence: self.silence(),
            running_to: 0,
            gone: false,
            refused: false,
        };
        self.dispatchers[dispatcher].lanes += 1;
        self.lanes.insert(generation, lane);
        self.owned.insert((topic, partition), generation);
        self.control.views.add(view);
        self.order(
            dispatcher,
            Order::Open(NewLane {
                generation,
                origin,
                opening: Opening {
                    progress,
                    start,
                    caution,
                    gated: true,
                },
                bell: Arc::clone(&bell),
            }),
        );
        self.mark(generation);
        bell.ring();
    }

    fn least_busy_dispatcher(&self) -> usize {
        let dispatchers = (0..).zip(&self.dispatchers);
        let least = dispatchers.min_by_key(|(_, dispatcher)| dispatcher.lanes);
        least.map_or(0, |(number, _)| number)
    }

    pub(super) fn order(&self, dispatcher: usize, order: Order) {
        self.dispatchers[dispatcher].order(order);
    }

    pub(super) fn generation_of(&self, topic: &str, partition: i32) -> Option<u64> {
        self.owned.get(&(topic.into(), partition)).copied()
    }

    /// No new dispatch in a lane.
    pub(super) fn stop_lane(&mut self, generation: u64) {
        if let Some(lane) = self.lanes.get_mut(&generation)
            && !lane.stopped
        {
            lane.stopped = true;
            let dispatcher = lane.dispatcher;
            self.order(dispatcher, Order::Stop(generation));
        }
    }

    pub(super) fn stop_all_lanes(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.stopped = true;
        }
        for dispatcher in &self.dispatchers {
            dispatcher.order(Order::StopAll);
        }
    }

    pub(super) fn cancel_lane(&self, generation: u64, why: Undone) {
        if let Some(lane) = self.lanes.get(&generation) {
            self.order(lane.dispatcher, Order::Cancel(generation, why));
        }
    }

    /// Forgets a lane and frees its queue; what is still running of it changes nothing any more.
    pub(super) fn close_lane(&mut self, topic: &str, partition: i32, why: Option<Undone>) {
        let Some(generation) = self.owned.remove(&(topic.into(), partition)) else {
            return;
        };
        let Some(lane) = self.lanes.remove(&generation) else {
            return;
        };
        lane.origin.lease.revoke();
        self.control.views.remove(&lane.view);
        self.dispatchers[lane.dispatcher].lanes -= 1;
        if let Some(why) = why {
            self.order(lane.dispatcher, Order::Cancel(generation, why));
        }
        self.order(lane.dispatcher, Order::Close(generation));
        let closing = Closing {
            origin: lane.origin,
            progress: lane.progress,
            dispatcher: lane.dispatcher,
            why,
        };
        if self.dispatchers[closing.dispatcher].gone {
            self.name_what_ran(&closing);
        } else {
            self.closing.insert(generation, closing);
        }
    }

    /// A dispatcher that doesn't answer can't say what it left undone; the oldest is known.
    pub(super) fn name_what_ran(&mut self, closing: &Closing) {
        let Closing {
            origin,
            progress,
            why,
            ..
        } = closing;
        if let Some(begun) = progress.begun() {
            let oldest = progress.watermark().unwrap_or(begun);
            if oldest <= begun {
                let why = why.unwrap_or(Undone::Cancelled);
                self.undone.add(origin, oldest, why);
            }
        }
    }

    /// Acts upon what the dispatchers tell.
    pub(super) fn serve_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::News(news) => self.serve_news(news),
                Event::ServiceEnded(generation, offset, source) => {
                    if let Some(origin) = self.origin(generation) {
                        let error = ServeError::ServiceEnded {
                            topic: origin.topic.as_ref().to_owned(),
                            partition: origin.partition,
                            offset,
                            source,
                            summary: Box::default(),
                        };
                        self.end(End::Failed(error));
                    }
                }
                Event::Closed(generation, undone) => {
                    if let Some(closing) = self.closing.remove(&generation) {
                        for (offset, why) in undone {
                            let why = closing.why.unwrap_or(why);
                            self.undone.add(&closing.origin, offset, why);
                        }
                    }
                }
                Event::Gone(dispatcher) => self.lose_dispatcher(dispatcher),
            }
        }
    }

    /// Of a lane, also of one that is being closed: its dispatcher has stopped for what it tells.
    fn origin(&self, generation: u64) -> Option<Arc<Origin>> {
        let lane = self.lanes.get(&generation).map(|lane| &lane.origin);
        let closing = || self.closing.get(&generation).map(|closing| &closing.origin);
        lane.or_else(closing).cloned()
    }

    fn serve_news(&mut self, news: News) {
        match news {
            News::Drained(generation) => {
                if let Some(lane) = self.lanes.get_mut(&generation) {
                    lane.drained = true;
                }
            }
            News::End(generation, offset) => {
                if let Some(lane) = self.lanes.get(&generation) {
                    match lane.first {
                        None => lane.view.reached(offset),
                        Some(_) => lane.view.set_end(offset),
                    }
                    self.hooks.tell(Moment::PartitionEof(
                        lane.origin.topic.as_ref().to_owned(),
                        lane.origin.partition,
                        offset,
                    ));
                }
            }
            News::Trial(generation) => self.mark(generation),
            News::Failed(generation, offset, error) => {
                if let Some(origin) = self.origin(generation) {
                    let (topic, partition) = (&origin.topic, origin.partition);
                    let what_next = match self.on_unhandled {
                        OnUnhandled::Stop => "stopping",
                        OnUnhandled::PausePartition { .. } => "its partition is paused",
                        OnUnhandled::Skip => "it is skipped",
                    };
                    let shown = shown(&*error);
                    tracing::error!(
                        target: "kafka_tower", %topic, partition, offset, error = %shown,
                        "a record failed and no layer handled that: {what_next}"
                    );
                    self.hooks.tell(Moment::Error(shown));
                    match self.on_unhandled {
                        OnUnhandled::Stop => self.end(End::unhandled(&origin, offset, error)),
                        OnUnhandled::PausePartition { .. } | OnUnhandled::Skip => let_go(error),
                    }
                }
            }
            News::StopRequested(generation, offset) => {
                if let Some(origin) = self.origin(generation) {
                    self.end(End::Stopped(StopReason::Requested {
                        topic: origin.topic.as_ref().to_owned(),
                        partition: origin.partition,
                        offset,
                    }));
                }
            }
            News::WentBack(generation, from, to) => {
                // Fetched twice or, after a truncation, another record: to skip it could lose it.
                if let Some(Lane { origin, .. }) = self.lanes.get(&generation) {
                    let (topic, partition) = (&origin.topic, origin.partition);
                    tracing::warn!(
                        target: "kafka_tower", %topic, partition, offset = to,
                        "the partition went back behind offset {from}"
                    );
                }
            }
        }
    }

    /// A dispatcher ended, with all that was running in it.
    fn lose_dispatcher(&mut self, number: usize) {
        self.dispatchers[number].gone = true;
        let mut unasked = None;
        for lane in self.lanes.values_mut() {
            if lane.dispatcher == number {
                (lane.stopped, lane.drained) = (true, true);
                unasked = Some(Arc::clone(&lane.origin));
            }
        }
        let closing: Vec<u64> = self
            .closing
            .iter()
            .filter(|(_, closing)| closing.dispatcher == number)
            .map(|(generation, _)| *generation)
            .collect();
        for generation in closing {
            if let Some(closing) = self.closing.remove(&generation) {
                self.name_what_ran(&closing);
            }
        }
        if let Some(origin) = unasked
            && self.end.is_none()
        {
            let error = "its dispatcher ended unasked: a panic while dropping, or the runtime shut \
                         down";
            self.end(End::unhandled(&origin, 0, error.into()));
        }
    }
}
