//! Reading the lanes' queues, as far as there is room.

use std::{mem, ops::ControlFlow, sync::Arc};

use super::{Context, Driver, told::Silence};
use crate::{
    client::native::{
        message::{Kind, Message},
        queue::PartitionQueue,
    },
    consume::{dispatch::Order, lifecycle::Moment, unread::WINDOW},
    record::{
        ConsumerRecord, Headers,
        chunk::{Chunk, Memory, Origin},
    },
};

/// How many a lane that holds nothing may read when the memory is used up.
const LEAST: usize = 8;
/// How much of keys and payloads shares an allocation. What is kept of a record keeps this much.
const CHUNK_BYTES: usize = 8 << 10;
/// How much of headers goes with a chunk: what is read is counted chunk by chunk.
const CHUNK_HEADERS: usize = 32 << 10;

/// What came out of a queue.
enum Arrived {
    Records(Vec<ConsumerRecord>),
    End(i64),
    Error(i32, String),
}

/// Makes records of messages: many share an allocation.
#[derive(Debug, Default)]
pub(super) struct Reader {
    parts: Vec<Part>,
    bytes: Vec<u8>,
    /// Of the parts.
    header_bytes: usize,
    records: Vec<ConsumerRecord>,
}

/// A record whose chunk isn't finished.
#[derive(Debug)]
struct Part {
    start: usize,
    lengths: [Option<usize>; 2],
    offset: i64,
    timestamp: Option<i64>,
    headers: Headers,
}

impl Reader {
    /// Reads up to `most` messages, fewer when they use the memory up; whether there may be more.
    fn read(
        &mut self,
        queue: &PartitionQueue<Context>,
        most: usize,
        origin: &Arc<Origin>,
        memory: &Arc<Memory>,
        mut arrived: impl FnMut(Arrived),
    ) -> bool {
        let mut count = 0;
        let was_full = memory.is_full();
        let more = queue.read(&mut |message| {
            let other = match message.kind() {
                Kind::Record => {
                    self.copy(message, origin, memory);
                    None
                }
                Kind::End => Some(Arrived::End(message.offset())),
                Kind::Error(code) => Some(Arrived::Error(code, message.reason())),
            };
            if let Some(other) = other {
                self.hand_over(origin, memory, &mut arrived);
                arrived(other);
            }
            count += 1;
            // One batch of the producer's may be larger than all that is allowed.
            match count < most && (was_full || !memory.is_full()) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        self.hand_over(origin, memory, &mut arrived);
        more
    }

    fn copy(&mut self, message: &mut Message<'_>, origin: &Arc<Origin>, memory: &Arc<Memory>) {
        let headers = message.headers();
        let (key, payload) = (message.key(), message.payload());
        let lengths = [key, payload].map(|part| part.map(<[u8]>::len));
        let length = lengths[0].unwrap_or(0) + lengths[1].unwrap_or(0);
        if self.bytes.len() + length > CHUNK_BYTES || self.header_bytes >= CHUNK_HEADERS {
            self.finish_chunk(origin, memory);
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(length.max(CHUNK_BYTES));
        }
        self.header_bytes += headers.size_bytes();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(payload.unwrap_or_default());
        self.parts.push(Part {
            start,
            lengths,
            offset: message.offset(),
            timestamp: message.timestamp(),
            headers,
        });
    }

    fn finish_chunk(&mut self, origin: &Arc<Origin>, memory: &Arc<Memory>) {
        if self.parts.is_empty() {
            return;
        }
        let mut bytes = mem::take(&mut self.bytes);
        if bytes.len() < bytes.capacity() / 2 {
            bytes.shrink_to_fit();
        }
        let headers = mem::take(&mut self.header_bytes);
        let taken = bytes.capacity() + headers + self.parts.len() * size_of::<ConsumerRecord>();
        let chunk = Arc::new(Chunk::new(Arc::clone(origin), bytes).count(memory, taken));
        self.records.extend(self.parts.drain(..).map(|part| {
            ConsumerRecord::in_chunk(Arc::clone(&chunk), part.start, part.lengths, part.offset)
                .with_timestamp(part.timestamp)
                .with_headers(part.headers)
        }));
    }

    fn hand_over(
        &mut self,
        origin: &Arc<Origin>,
        memory: &Arc<Memory>,
        arrived: &mut impl FnMut(Arrived),
    ) {
        self.finish_chunk(origin, memory);
        if !self.records.is_empty() {
            arrived(Arrived::Records(mem::take(&mut self.records)));
        }
    }
}

impl Driver {
    /// Reads the lanes that were rung for, as far as they have room.
    pub(super) fn read_queues(&mut self) {
        for generation in self.unread.take() {
            self.read_lane(generation);
        }
    }

    fn read_lane(&mut self, generation: u64) {
        let mut errors = Vec::new();
        let Some(lane) = self.lanes.get_mut(&generation) else {
            return;
        };
        lane.bell.rearm();
        // The others have to have their turn, however fast this one is.
        let mut left = WINDOW;
        while let Some(queue) = &lane.queue
            && !lane.stopped
        {
            if left == 0 {
                lane.bell.ring();
                break;
            }
            let mut most = lane.bell.room().min(left);
            if self.memory.is_full() {
                if lane.progress.holds_any() || self.hooks.are_behind() {
                    self.starved.insert(generation);
                    break;
                }
                // However little memory there is, each lane goes on.
                most = most.min(LEAST);
            }
            if most == 0 {
                break;
            }
            let progress = Arc::clone(&lane.progress);
            let orders = &self.dispatchers[lane.dispatcher].orders;
            let hooks = &self.hooks;
            let spans = &self.spans;
            let mut span = None;
            let (mut first, mut silent) = (None, true);
            left -= most;
            let more = self
                .reader
                .read(queue, most, &lane.origin, &self.memory, |arrived| {
                    silent &= matches!(arrived, Arrived::Error(..));
                    let order = match arrived {
                        Arrived::Records(records) => {
                            first = first.or(records.first().map(ConsumerRecord::offset));
                            progress.arrived(records.len());
                            span.get_or_insert_with(|| spans.poll(&lane.origin))
                                .add(&records);
                            if hooks.wanted() {
                                for record in &records {
                                    hooks.tell(Moment::RecordReceived(record.clone()));
                                }
                            }
                            Order::Records(generation, records)
                        }
                        Arrived::End(offset) => Order::End(generation, offset),
                        Arrived::Error(code, reason) => return errors.push((code, reason)),
                    };
                    // Without a dispatcher the runtime is gone, which is noticed elsewhere.
                    let _ = orders.send(order);
                });
            lane.first = lane.first.or(first);
            if !silent {
                lane.silence = Silence::Over;
            }
            if !more {
                break;
            }
        }
        self.urgent |= self.lanes[&generation].waits_for_mark();
        for (code, reason) in errors {
            self.on_client_error(code, &reason);
        }
    }

    /// Lanes that were left unread for want of memory may be read again, when there is some or when
    /// they hold nothing any more.
    pub(super) fn feed_the_starved(&mut self) {
        for generation in mem::take(&mut self.starved) {
            self.read_lane(generation);
        }
    }
}
