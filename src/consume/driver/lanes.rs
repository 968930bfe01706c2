use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{Message, consumer::base_consumer::PartitionQueue, message::BorrowedMessage};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::{Context, Driver, end::End};
use crate::{
    client::native::message,
    consume::{
        error::ServeError,
        lane::{Completion, Event, InHand, Reporter, Seat},
        summary::{StopReason, Undone},
    },
    record::ConsumerRecord,
};

/// How many records a lane holds, the running one included; the others stay in librdkafka's
/// queue. Enough for a fast service between two wake-ups of the poll thread.
const LANE_RECORDS: usize = 256;

/// What the poll thread knows of a lane.
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) stop: CancellationToken,
    pub(super) cancel: CancellationToken,
    /// Its task is over.
    pub(super) ended: bool,
    /// The next offset to read when all that was completed is left out.
    pub(super) watermark: Option<i64>,
    /// The watermark in the commit on its way.
    pub(super) committing: Option<i64>,
    /// The latest watermark that Kafka confirmed.
    pub(super) committed: Option<i64>,
    /// The group has moved on without this member: trying again soon is no use.
    pub(super) refused: bool,
    // Without a queue of its own its records arrive in the client's.
    queue: Option<PartitionQueue<Context>>,
    unread: Arc<AtomicBool>,
    records: UnboundedSender<ConsumerRecord>,
    held: usize,
    last: i64,
    in_hand: Arc<InHand>,
}

impl Lane {
    pub(super) fn is_committed(&self) -> bool {
        self.watermark <= self.committed
    }

    fn push(&mut self, record: ConsumerRecord) {
        if record.offset() <= self.last {
            // Fetched twice or, after a truncation, another record: to skip it could lose it.
            tracing::warn!(
                target: "kafka_tower",
                topic = %self.topic,
                partition = self.partition,
                offset = record.offset(),
                "the partition went back behind offset {}", self.last
            );
        }
        self.last = record.offset();
        if self.records.send(record).is_ok() {
            self.held += 1;
        }
    }
}

impl Driver {
    /// Opens a lane for a partition that is about to be assigned: its queue has to be there before.
    pub(super) fn open_lane(&mut self, topic: &str, partition: i32) {
        let topic: Arc<str> = topic.into();
        self.generation += 1;
        let generation = self.generation;
        let unread = Arc::new(AtomicBool::new(true));
        let mut queue = self.consumer.split_partition_queue(&topic, partition);
        if let Some(queue) = &mut queue {
            let (unread, wake) = (Arc::clone(&unread), self.control.wake.clone());
            queue.set_nonempty_callback(move || {
                unread.store(true, Ordering::Release);
                wake.wake();
            });
        }
        let (sender, receiver) = unbounded_channel();
        let in_hand = Arc::new(InHand::new());
        let lane = Lane {
            topic: Arc::clone(&topic),
            partition,
            stop: self.control.lanes.child_token(),
            cancel: self.control.lanes.child_token(),
            ended: false,
            watermark: None,
            committing: None,
            committed: None,
            refused: false,
            queue,
            unread,
            records: sender,
            held: 0,
            last: -1,
            in_hand: Arc::clone(&in_hand),
        };
        let seat = Seat {
            topic: Arc::clone(&topic),
            partition,
            records: receiver,
            stop: lane.stop.clone(),
            cancel: lane.cancel.clone(),
            reporter: Reporter {
                generation,
                events: self.sender.clone(),
                wake: self.control.wake.clone(),
                in_hand,
                fate: Undone::Cancelled,
            },
        };
        self.lanes.insert(generation, lane);
        self.owned.insert((topic, partition), generation);
        (self.spawn)(&self.runtime, seat);
    }

    /// Forgets a lane and frees its queue; its later events change nothing. What it had begun and
    /// not ended is `undone`.
    pub(super) fn forget_lane(&mut self, topic: &str, partition: i32, undone: Undone) {
        let Some(generation) = self.owned.remove(&(topic.into(), partition)) else {
            return;
        };
        let Some(lane) = self.lanes.remove(&generation) else {
            return;
        };
        lane.stop.cancel();
        lane.cancel.cancel();
        if let Some(offset) = lane.in_hand.get().filter(|_| !lane.ended) {
            self.undone
                .insert((lane.topic, partition), (offset, undone));
        }
    }

    /// At the end: names what doesn't let itself be cancelled.
    pub(super) fn name_what_runs(&mut self) {
        for lane in self.lanes.values().filter(|lane| !lane.ended) {
            if let Some(offset) = lane.in_hand.get() {
                let place = (Arc::clone(&lane.topic), lane.partition);
                self.undone.insert(place, (offset, Undone::Cancelled));
            }
        }
    }

    /// Hands over a record that came through the client's own queue.
    pub(super) fn deliver(&mut self, message: BorrowedMessage<'_>) {
        let place = (message.topic().into(), message.partition());
        let lane = self
            .owned
            .get(&place)
            .and_then(|generation| self.lanes.get_mut(generation));
        if let Some(lane) = lane {
            lane.push(message::record(message, Arc::clone(&lane.topic)));
        }
    }

    /// Fills the lanes that have room.
    pub(super) fn read_queues(&mut self) {
        let mut errors = Vec::new();
        for lane in self.lanes.values_mut() {
            if lane.stop.is_cancelled() || !lane.unread.swap(false, Ordering::AcqRel) {
                continue;
            }
            while lane.held < LANE_RECORDS {
                let Some(queue) = &lane.queue else { break };
                match queue.poll(Duration::ZERO) {
                    Some(Ok(message)) => {
                        self.last_error = None;
                        let record = message::record(message, Arc::clone(&lane.topic));
                        lane.push(record);
                    }
                    Some(Err(error)) => errors.push(error),
                    None => break,
                }
            }
        }
        for error in errors {
            self.on_poll_error(&error);
        }
    }

    pub(super) fn read_all_next(&self) {
        for lane in self.lanes.values() {
            lane.unread.store(true, Ordering::Release);
        }
    }

    /// Acts upon what the lanes' tasks report.
    pub(super) fn serve_lanes(&mut self) {
        while let Ok((generation, event)) = self.events.try_recv() {
            // A completion of an older generation changes nothing: another member, or a later lane
            // of this one, handles the record again.
            let Some(lane) = self.lanes.get_mut(&generation) else {
                continue;
            };
            let (topic, partition) = (Arc::clone(&lane.topic), lane.partition);
            match event {
                Event::Completed { offset, how } => {
                    let watermark = Some(offset + 1);
                    if watermark < lane.watermark {
                        // Went back: what was committed above is no longer what to resume from.
                        (lane.committing, lane.committed) = (None, None);
                    }
                    lane.watermark = watermark;
                    lane.held = lane.held.saturating_sub(1);
                    lane.unread.store(true, Ordering::Release);
                    *match how {
                        Completion::Acked => &mut self.summary.acked,
                        Completion::Skipped => &mut self.summary.skipped,
                        Completion::Moved => &mut self.summary.moved,
                    } += 1;
                    if !self.undone.is_empty() {
                        // One lane had left it undone; this one made it good.
                        let key = (topic, partition);
                        if self
                            .undone
                            .get(&key)
                            .is_some_and(|(left, _)| *left <= offset)
                        {
                            self.undone.remove(&key);
                        }
                    }
                }
                Event::Retried => self.summary.retried += 1,
                Event::Deferred => self.summary.deferred += 1,
                Event::Failed { offset, error } => {
                    self.end(End::unhandled(&topic, partition, offset, error));
                }
                Event::ServiceEnded { offset, error } => {
                    self.end(End::Failed(ServeError::ServiceEnded {
                        topic: topic.as_ref().to_owned(),
                        partition,
                        offset,
                        source: error,
                        summary: Box::default(),
                    }));
                }
                Event::StopRequested { offset } => {
                    self.end(End::Stopped(StopReason::Requested {
                        topic: topic.as_ref().to_owned(),
                        partition,
                        offset,
                    }));
                }
                Event::Ended { undone } => {
                    lane.ended = true;
                    let unasked = !lane.stop.is_cancelled() && self.end.is_none();
                    let offset = undone.map_or(lane.last, |(offset, _)| offset);
                    if let Some(undone) = undone {
                        self.undone.insert((Arc::clone(&topic), partition), undone);
                    }
                    if unasked {
                        let error = "the lane's task ended unasked: a panic while dropping, or the \
                                     runtime shut down";
                        self.end(End::unhandled(&topic, partition, offset, error.into()));
                    }
                }
            }
        }
    }
}
