//! What all clones of a publisher share with the thread that polls.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::oneshot;

use super::{
    capacity::Capacity, failure, flushed::Flushed, future::DeliveryFuture, settings::Checked,
};
use crate::{
    client::{
        native::{
            producer::{Producer, Refusal},
            reports::{Epoch, Note},
        },
        topic_name,
    },
    error::{ErrorClass, Persistence, PublishError},
    record::{MessageId, ProducerRecord},
};

pub(super) struct Core {
    pub(super) producer: Arc<Producer>,
    pub(super) capacity: Capacity,
    message_id_header: Option<Box<[u8]>>,
    closed: AtomicBool,
    dropped: AtomicBool,
    /// Records on their way, by the epoch in which they were published. A flush starts a new epoch
    /// and waits for the old one to run out, so that it waits for no record published after it.
    in_flight: [AtomicUsize; 2],
    epoch: AtomicBool,
    requests: Mutex<Vec<Request>>,
}

/// A flush or a close, for the thread that polls.
pub(super) struct Request {
    pub(super) closes: bool,
    /// `None` is never.
    pub(super) deadline: Option<Instant>,
    /// Nobody is told when the last clone was dropped.
    pub(super) reply: Option<oneshot::Sender<Flushed>>,
}

impl Request {
    /// Whether nobody waits for it any more. A close goes on all the same: it has begun to shut.
    pub(super) fn is_abandoned(&self) -> bool {
        !self.closes && self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

impl Core {
    pub(super) fn new(producer: Arc<Producer>, settings: Checked) -> Self {
        Self {
            producer,
            capacity: Capacity::new(settings.max_in_flight_records, settings.max_in_flight_bytes),
            message_id_header: settings
                .message_id_header
                .map(|name| name.into_bytes().into()),
            closed: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            in_flight: [AtomicUsize::new(0), AtomicUsize::new(0)],
            epoch: AtomicBool::new(false),
            requests: Mutex::default(),
        }
    }

    /// Publishes a record for which a permit was reserved and forgotten.
    #[inline]
    pub(super) fn publish(&self, record: ProducerRecord) -> DeliveryFuture {
        let epoch = epoch(self.epoch.load(SeqCst));
        let bytes = u32::try_from(record.size_bytes()).unwrap_or(u32::MAX);
        // Counted before `closed` is looked at: `close` sets that first and then waits for the
        // count, so that it misses no record that was let through.
        self.in_flight[epoch as usize].fetch_add(1, SeqCst);
        self.capacity.add(bytes as usize);
        match self.enqueue(record, Note::new(bytes, epoch)) {
            Ok(future) => future,
            Err(error) => {
                self.in_flight[epoch as usize].fetch_sub(1, SeqCst);
                self.capacity.release(1, bytes as usize);
                DeliveryFuture::failed(error)
            }
        }
    }

    #[inline]
    fn enqueue(
        &self,
        mut record: ProducerRecord,
        note: Note,
    ) -> Result<DeliveryFuture, PublishError> {
        if self.closed.load(SeqCst) {
            return Err(closed().with_record(record));
        }
        if let Some(name) = &self.message_id_header
            && record.message_id.is_none()
        {
            record.message_id = Some(message_id(&record, name));
        }
        if let Some(problem) = failure::problem(&record) {
            return Err(failure::refused(record, problem));
        }
        self.producer
            .produce(note, record, self.message_id_header.as_deref())
            .map(DeliveryFuture::waiting)
            .map_err(|refused| match *refused {
                (Refusal::IllegalTopic, record) => {
                    let problem = topic_name::problem(&record.topic);
                    failure::refused(record, problem)
                }
                (Refusal::Code(code), record) => {
                    let fatal = self.producer.fatal_error();
                    let (code, reason) = match fatal.filter(|_| code == Code::Fatal as i32) {
                        Some((cause, reason)) => (cause, Some(reason)),
                        None => (code, None),
                    };
                    failure::failed(record, code, Persistence::NotPersisted, reason.as_deref())
                }
            })
    }

    /// Records were reported: there is room for others.
    pub(super) fn reported(&self, records: [usize; 2], bytes: usize) {
        for (in_flight, records) in self.in_flight.iter().zip(records) {
            in_flight.fetch_sub(records, SeqCst);
        }
        self.capacity.release(records[0] + records[1], bytes);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.capacity.close();
    }

    /// The last clone is gone.
    pub(super) fn drop_publisher(&self) {
        self.close();
        self.dropped.store(true, SeqCst);
        self.producer.wake();
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(SeqCst)
    }

    /// The epoch that takes no records at the moment.
    pub(super) fn resting_epoch(&self) -> Epoch {
        epoch(!self.epoch.load(SeqCst))
    }

    /// Starts a new epoch and returns the one that ends.
    pub(super) fn next_epoch(&self) -> Epoch {
        epoch(self.epoch.fetch_xor(true, SeqCst))
    }

    /// How many records of an epoch are on their way, or of both.
    pub(super) fn outstanding(&self, epoch: Option<Epoch>) -> usize {
        let count = |epoch: Epoch| self.in_flight[epoch as usize].load(SeqCst);
        match epoch {
            Some(epoch) => count(epoch),
            None => count(Epoch::Even) + count(Epoch::Odd),
        }
    }

    pub(super) fn request(&self, request: Request) {
        self.requests().push(request);
        self.producer.wake();
    }

    pub(super) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests())
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id that the record has in its header already, or a new one.
fn message_id(record: &ProducerRecord, header: &[u8]) -> MessageId {
    record
        .headers
        .get(header)
        .and_then(|id| std::str::from_utf8(id).ok())
        .map_or_else(MessageId::new, MessageId::from)
}

fn epoch(odd: bool) -> Epoch {
    if odd { Epoch::Odd } else { Epoch::Even }
}

pub(super) fn closed() -> PublishError {
    PublishError::new(
        ErrorClass::Fatal,
        Persistence::NotPersisted,
        "the publisher was closed; publish before `close`, or make another one",
    )
}

/// Ends the publisher when the last clone is dropped.
pub(super) struct Handle(pub(super) Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.drop_publisher();
    }
}
