//! librdkafka's producer: enqueueing a record without copying its payload, and its reports as
//! events, thousands in one.
#![allow(unsafe_code)]

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_int},
    os::raw::c_char,
    ptr,
    ptr::NonNull,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    bindings::{self as rd, rd_kafka_msg_status_t, rd_kafka_vtype_t},
    client::Client,
    error::KafkaError,
    types::{RDKafkaErrorCode, RDKafkaType},
};

use super::{
    headers::HeaderList,
    slots::{Content, Pool, Reporter, Ticket},
};
use crate::{Persistence, ProducerRecord, client::logging::Logging};

/// `RD_KAFKA_PARTITION_UA`: the partitioner chooses.
const ANY_PARTITION: i32 = -1;

/// What the publisher wants to know of a record when it is reported.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Note {
    pub(crate) bytes: u32,
    pub(crate) epoch: Epoch,
    has_headers: bool,
}

impl Note {
    pub(crate) fn new(bytes: u32, epoch: Epoch) -> Self {
        Self {
            bytes,
            epoch,
            has_headers: false,
        }
    }
}

/// One of two, by turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Epoch {
    #[default]
    Even,
    Odd,
}

/// What librdkafka reports of a record.
#[derive(Debug)]
pub(crate) struct Report {
    /// 0 is a delivery.
    pub(crate) code: i32,
    pub(crate) persistence: Persistence,
    pub(crate) partition: i32,
    /// Negative where it is not known.
    pub(crate) offset: i64,
    /// Negative where it is not known.
    pub(crate) timestamp: i64,
    /// What is known beyond the code.
    pub(crate) detail: Option<Box<String>>,
}

pub(crate) struct Delivering;

impl Content for Delivering {
    type Note = Note;
    type Value = ProducerRecord;
    type Report = Report;
    type Kept = Option<HeaderList>;
}

/// What the thread that polls learns.
pub(crate) trait Events {
    /// A record was reported; it may be amended before its future sees it.
    fn report(&mut self, note: Note, record: &ProducerRecord, report: &mut Report);
    /// The same, of a record whose future was dropped.
    fn unawaited(&mut self, record: ProducerRecord, report: Report);
    /// All reports that had arrived together have been handed out.
    fn reported(&mut self);
    /// An error of the client, not of a record.
    fn error(&mut self, code: i32, reason: &str, fatal: bool);
}

/// The main queue's events, drained by one thread.
pub(crate) struct Poller {
    reporter: Reporter<Delivering>,
    messages: Vec<*const rd::rd_kafka_message_t>,
}

// SAFETY: the pointers in `messages` are only used within one call of `poll`.
unsafe impl Send for Poller {}

pub(crate) struct Producer {
    topics: RwLock<HashMap<Arc<str>, Topic>>,
    queue: Queue,
    client: Client<Logging>,
    // After the client: until that is destroyed, its threads may read payloads held by slots.
    pool: Arc<Pool<Delivering>>,
}

impl Producer {
    pub(crate) fn new(config: &ClientConfig) -> Result<(Self, Poller), KafkaError> {
        let native = config.create_native_config()?;
        // SAFETY: the configuration is valid and ours.
        unsafe {
            rd::rd_kafka_conf_set_events(
                native.ptr(),
                rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR | rd::RD_KAFKA_EVENT_LOG,
            );
        }
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, Logging)?;
        // SAFETY: the client is valid; the reference is released by `Queue`.
        let queue = Queue(unsafe { rd::rd_kafka_queue_get_main(client.native_ptr()) });
        let (pool, reporter) = Pool::new();
        let producer = Self {
            topics: RwLock::default(),
            queue,
            client,
            pool,
        };
        let poller = Poller {
            reporter,
            messages: Vec::new(),
        };
        Ok((producer, poller))
    }

    /// The handle of a topic, from the cache or made now.
    ///
    /// # Errors
    ///
    /// librdkafka's code, where it refuses the name. The caller has made sure that it has no NUL.
    pub(crate) fn topic(&self, name: &Arc<str>, check: impl FnOnce() -> bool) -> Option<Topic> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Some(*topic);
        }
        drop(topics);
        if !check() {
            return None;
        }
        let text = CString::new(&**name).ok()?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Some(*topic);
        }
        // SAFETY: the client is valid, the name ends with a NUL and is copied, and a null
        // configuration means the client's default.
        let topic = unsafe {
            rd::rd_kafka_topic_new(self.client.native_ptr(), text.as_ptr(), ptr::null_mut())
        };
        let topic = Topic(NonNull::new(topic)?);
        topics.insert(Arc::clone(name), topic);
        Some(topic)
    }

    /// Enqueues a record. Never blocks: librdkafka's own limits are off.
    ///
    /// `topic` must come from this producer.
    ///
    /// # Errors
    ///
    /// librdkafka's code, with the record.
    pub(crate) fn produce(
        &self,
        topic: Topic,
        mut note: Note,
        record: ProducerRecord,
        id_header: Option<&[u8]>,
    ) -> Result<Ticket<Delivering>, (i32, ProducerRecord)> {
        note.has_headers = id_header.is_some() || !record.headers.is_empty();
        let mut ticket = self.pool.insert(note, record);
        let address = ticket.address();
        // SAFETY: the address was not given away yet.
        let (record, kept) = unsafe { ticket.contents() };
        let headers = match note.has_headers {
            true => header_list(record, id_header, kept.take()),
            false => None,
        };
        let (payload, payload_length) = raw(record.payload.as_deref());
        let (key, key_length) = raw(record.key.as_deref());
        // SAFETY: the client, the topic and the headers are valid. The key is copied. The payload is
        // not (no flag is set): the slot keeps its `Bytes`, whose heap block doesn't move, until the
        // record's report was handled, and the pool outlives the client. librdkafka never writes to
        // the payload. It takes the headers over only when it answers "no error".
        let code = unsafe {
            rd::rd_kafka_producev(
                self.client.native_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                topic.0.as_ptr(),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                record.partition.unwrap_or(ANY_PARTITION),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
                0 as c_int,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                payload,
                payload_length,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key,
                key_length,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
                address,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp.unwrap_or(0),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
                headers.as_ref().map_or(ptr::null_mut(), HeaderList::as_ptr),
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            )
        } as i32;
        if code == 0 {
            if let Some(headers) = headers {
                headers.given_away();
            }
            ticket.launch();
            Ok(ticket)
        } else {
            // SAFETY: librdkafka refused the record, so it holds neither the address nor the payload.
            Err((code, unsafe { ticket.abort() }))
        }
    }

    /// Waits up to `wait` for everything to be delivered, and meanwhile lets nothing linger.
    pub(crate) fn hurry(&self, wait: Duration) {
        // SAFETY: the client is a valid producer.
        unsafe { rd::rd_kafka_flush(self.client.native_ptr(), milliseconds(wait)) };
    }

    /// Gives up what is queued, and what is in flight as well: each is reported as purged.
    pub(crate) fn purge(&self, in_flight: bool) {
        let flags = match in_flight {
            true => rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT,
            false => rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_NON_BLOCKING,
        };
        // SAFETY: the client is a valid producer.
        unsafe { rd::rd_kafka_purge(self.client.native_ptr(), flags) };
    }

    /// Makes a `poll` that waits on another thread return.
    pub(crate) fn wake(&self) {
        // SAFETY: the queue is valid.
        unsafe { rd::rd_kafka_queue_yield(self.queue.0) };
    }

    /// The code and the reason of the error that ended this client, if there was one.
    pub(crate) fn fatal_error(&self) -> Option<(i32, String)> {
        let mut reason = [0; 512];
        // SAFETY: the client is valid, and the buffer is as long as said.
        let code = unsafe {
            rd::rd_kafka_fatal_error(self.client.native_ptr(), reason.as_mut_ptr(), reason.len())
        } as i32;
        // SAFETY: librdkafka ends the reason with a NUL; without an error the buffer is all NULs.
        let reason = unsafe { text(reason.as_ptr()) };
        (code != 0).then_some((code, reason))
    }

    /// Handles what has arrived, waiting up to `wait` for the first event.
    pub(crate) fn poll(&self, poller: &mut Poller, wait: Duration, events: &mut dyn Events) {
        let mut wait = milliseconds(wait);
        loop {
            // SAFETY: the queue is valid; the event is destroyed by `Event`.
            let event = unsafe { rd::rd_kafka_queue_poll(self.queue.0, wait) };
            let Some(event) = NonNull::new(event).map(Event) else {
                return;
            };
            wait = 0;
            // SAFETY: the event is valid.
            match unsafe { rd::rd_kafka_event_type(event.0.as_ptr()) } {
                rd::RD_KAFKA_EVENT_DR => poller.reports(&event, events),
                rd::RD_KAFKA_EVENT_ERROR => {
                    // SAFETY: the event is an error event.
                    let (code, reason, fatal) = unsafe {
                        let event = event.0.as_ptr();
                        (
                            rd::rd_kafka_event_error(event) as i32,
                            text(rd::rd_kafka_event_error_string(event)),
                            rd::rd_kafka_event_error_is_fatal(event) != 0,
                        )
                    };
                    events.error(
                        code,
                        &reason,
                        fatal || code == RDKafkaErrorCode::Fatal as i32,
                    );
                }
                rd::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                    // SAFETY: the event is a log event; its texts live as long as it does.
                    let (facility, line) = unsafe {
                        let event = event.0.as_ptr();
                        rd::rd_kafka_event_log(event, &mut facility, &mut line, &mut level);
                        (text(facility), text(line))
                    };
                    Logging::line(level, &facility, &line);
                }
                _ => {}
            }
        }
    }
}

impl Poller {
    fn reports(&mut self, event: &Event, events: &mut dyn Events) {
        let event = event.0.as_ptr();
        // SAFETY: the event is a delivery-report event.
        let count = unsafe { rd::rd_kafka_event_message_count(event) };
        self.messages.clear();
        self.messages.reserve(count);
        // SAFETY: there is room for `count` pointers, and librdkafka says how many it wrote.
        unsafe {
            let written =
                rd::rd_kafka_event_message_array(event, self.messages.as_mut_ptr(), count);
            self.messages.set_len(written);
        }
        for &message in &self.messages {
            // SAFETY: the message is valid until the event is destroyed; its opaque pointer is the
            // address that `produce` gave, reported once.
            unsafe {
                let address = (*message)._private;
                let (note, record, kept) = self.reporter.contents(address);
                if note.has_headers {
                    *kept = HeaderList::detach(message);
                }
                let mut report = Report::read(message);
                events.report(note, record, &mut report);
                if let Some((record, report)) = self.reporter.complete(address, report) {
                    events.unawaited(record, report);
                }
            }
        }
        self.messages.clear();
        events.reported();
    }

    /// Shows every record that is on its way.
    pub(crate) fn for_each_in_flight(&mut self, f: impl FnMut(Note, &ProducerRecord)) {
        self.reporter.for_each_in_flight(f);
    }
}

impl Report {
    /// # Safety
    ///
    /// `message` is a message of a delivery-report event that has not been destroyed.
    unsafe fn read(message: *const rd::rd_kafka_message_t) -> Self {
        // SAFETY: the message is valid. The code is read as an integer, since a broker may send one
        // that this version's enum doesn't have.
        unsafe {
            Self {
                code: ptr::addr_of!((*message).err).cast::<i32>().read(),
                persistence: match rd::rd_kafka_message_status(message) {
                    rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => {
                        Persistence::NotPersisted
                    }
                    _ => Persistence::PossiblyPersisted,
                },
                partition: (*message).partition,
                offset: (*message).offset,
                timestamp: rd::rd_kafka_message_timestamp(message, ptr::null_mut()),
                detail: None,
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        for (_, topic) in self
            .topics
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
        {
            // SAFETY: the handle was made by `topic` and is destroyed once, before its client.
            unsafe { rd::rd_kafka_topic_destroy(topic.0.as_ptr()) };
        }
    }
}

/// A topic's handle; valid as long as its producer.
#[derive(Clone, Copy)]
pub(crate) struct Topic(NonNull<rd::rd_kafka_topic_t>);

// SAFETY: librdkafka's handles may be used by any thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

struct Queue(*mut rd::rd_kafka_queue_t);

// SAFETY: librdkafka's queues may be used by any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and is released once, before the client is destroyed.
        unsafe { rd::rd_kafka_queue_destroy(self.0) };
    }
}

struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and is destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

fn header_list(
    record: &ProducerRecord,
    id_header: Option<&[u8]>,
    kept: Option<HeaderList>,
) -> Option<HeaderList> {
    let headers = &record.headers;
    let id = id_header.zip(record.message_id.as_ref());
    match id.filter(|(name, _)| headers.is_empty() || !headers.contains(name)) {
        Some((name, id)) => Some(id.with_str(|id| {
            let id = (name, Some(id.as_bytes()));
            HeaderList::write(kept, headers.len() + 1, headers.iter().chain([id]))
        })),
        None => Some(HeaderList::write(kept, headers.len(), headers.iter())),
    }
}

/// Null is a null pointer; what is empty is not null.
fn raw(bytes: Option<&[u8]>) -> (*const u8, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()))
}

fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
///
/// `text` is null or points to text that ends with a NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}
