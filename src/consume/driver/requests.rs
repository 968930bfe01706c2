//! What the handle asks for.

use std::{mem, time::Instant};

use rdkafka::{Offset, consumer::Consumer};
use tokio::sync::oneshot;

use super::{CANCEL_GRACE, Driver, TICK, end::End};
use crate::{
    client::native::member,
    consume::{
        control::{Request, Requested},
        dispatch::Order,
        metadata::Metadata,
        summary::Undone,
    },
    error::ErrorClass,
    record::Lease,
};

/// How long a partition's leader may take to say what it holds.
const HELD_TIME: std::time::Duration = std::time::Duration::from_secs(2);
/// How long librdkafka may take to go to another offset.
const SEEK_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// A lane that is drained to go on elsewhere.
pub(super) struct Seek {
    generation: u64,
    offset: i64,
    until: Instant,
    cancelled: bool,
    /// Who asked; the last one says where to.
    done: Vec<oneshot::Sender<()>>,
}

impl Driver {
    pub(super) fn serve_requests(&mut self) {
        for Requested {
            topic,
            partition,
            request,
            done,
        } in self.control.take_requests()
        {
            let Some(generation) = self.generation_of(&topic, partition) else {
                continue;
            };
            match request {
                Request::Pause(paused) => {
                    self.pause_lane(generation, paused, Some(done));
                }
                Request::Seek(offset) => {
                    let under_way = self
                        .seeks
                        .iter_mut()
                        .find(|seek| seek.generation == generation);
                    if let Some(seek) = under_way {
                        seek.offset = offset;
                        seek.done.push(done);
                        continue;
                    }
                    self.stop_lane(generation);
                    self.seeks.push(Seek {
                        generation,
                        offset,
                        until: Instant::now() + self.limits.drain,
                        cancelled: false,
                        done: vec![done],
                    });
                }
            }
        }
        // Where a leader is away they wait for it, and nobody may wait for all of them.
        let begun = Instant::now();
        let mut seeks = mem::take(&mut self.seeks).into_iter();
        while begun.elapsed() < TICK
            && let Some(seek) = seeks.next()
        {
            self.advance_seek(seek);
        }
        self.seeks.splice(0..0, seeks);
    }

    fn pause_lane(&mut self, generation: u64, paused: bool, done: Option<oneshot::Sender<()>>) {
        if let Some(lane) = self.lanes.get_mut(&generation) {
            lane.paused = paused;
            let dispatcher = lane.dispatcher;
            self.order(dispatcher, Order::Pause(generation, paused, done));
        }
    }

    fn advance_seek(&mut self, mut seek: Seek) {
        // While partitions are given up, or everything is, the lane stays as it is.
        if self.end.is_some() {
            return;
        }
        let Some(lane) = self.lanes.get(&seek.generation) else {
            return;
        };
        let over = Instant::now() >= seek.until;
        let given_up = over && seek.cancelled;
        if !(lane.drained || given_up) {
            if over {
                self.cancel_lane(seek.generation, Undone::Cancelled);
                seek.cancelled = true;
                seek.until += CANCEL_GRACE;
            }
            self.seeks.push(seek);
            return;
        }
        if self.revocation.is_some() {
            self.seeks.push(seek);
            return;
        }
        let (topic, partition) = (lane.origin.topic.clone(), lane.origin.partition);
        let (paused, lane_number) = (lane.paused, lane.origin.lease.fencing_number());
        // While the lane is stopped nobody reads its queue, so that it stays as it is until then.
        let held = self.consumer.fetch_watermarks(&topic, partition, HELD_TIME);
        // Beyond what the partition holds `offset_reset` would say where it goes on.
        let offset = held.map_or(seek.offset, |(low, end)| {
            // It ends before a transaction that is open, and holds what that has written all the same.
            let written = member::known_end(&self.consumer, &topic, partition).unwrap_or(end);
            match seek.offset > written.max(end) {
                true => end,
                false => seek.offset.max(low),
            }
        });
        let sought = self
            .consumer
            .seek(&topic, partition, Offset::Offset(offset), SEEK_TIME);
        if sought.is_err() && Instant::now() < seek.until + SEEK_TIME {
            // librdkafka seeks only where it has begun to fetch, which it does soon.
            self.seeks.push(seek);
            return;
        }
        if let Err(error) = sought {
            self.close_lanes(vec![(topic.as_ref().to_owned(), partition)], None);
            // What was fetched and not handled is gone with the lane: only a new start finds it.
            let reason = format!("seeking {topic}/{partition} to {offset} failed: {error}");
            self.end(End::client(None, &reason, ErrorClass::Retriable));
            return;
        }
        // It stays assigned, so nobody is told, and it is the same owner.
        let lease = Lease::new(lane_number);
        self.close_lane(&topic, partition, None);
        self.open_lane(&topic, partition, Some(offset), &Metadata::default(), lease);
        if paused && let Some(generation) = self.generation_of(&topic, partition) {
            self.pause_lane(generation, true, None);
        }
        for done in seek.done {
            let _ = done.send(());
        }
    }
}
