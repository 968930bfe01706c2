//! librdkafka's producer: enqueueing a record without copying its payload, and its reports as
//! events, thousands in one.
#![allow(unsafe_code)]

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_int},
    os::raw::c_char,
    ptr,
    ptr::NonNull,
    sync::{Arc, MutexGuard, PoisonError, RwLock, Weak},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    bindings::{self as rd, rd_kafka_vtype_t},
    client::Client,
    error::KafkaError,
    types::{RDKafkaErrorCode, RDKafkaType},
};

use super::{
    headers::HeaderList,
    outbox::{self, Batch, HandOver, Outbox, Outgoing},
    reports::{Delivering, Event, Events, Note, Poller},
    slots::{Pool, Ticket},
    topic::{ANY_PARTITION, Topic},
};
use crate::{
    client::{guarded, logging::Logging, topic_name},
    record::ProducerRecord,
};

/// How many bytes of headers a slot may keep. What is in flight is limited, what is kept is not.
const KEPT_HEADERS: usize = 1024;

pub(crate) struct Producer {
    topics: RwLock<HashMap<Arc<str>, Topic>>,
    outbox: Outbox,
    queue: Queue,
    client: Client<Logging>,
    // After the client: until that is destroyed, its threads may read payloads held by slots.
    pool: Arc<Pool<Delivering>>,
}

impl Producer {
    pub(crate) fn new(config: &ClientConfig) -> Result<(Arc<Self>, Poller), KafkaError> {
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
        let mut reporter = None;
        let producer = Arc::new_cyclic(|producer: &Weak<Self>| {
            let (pool, completing) = Pool::new(Outgoing::new(producer.clone()));
            reporter = Some(completing);
            Self {
                topics: RwLock::default(),
                outbox: Outbox::default(),
                queue,
                client,
                pool,
            }
        });
        let reporter = reporter.expect("made with the pool");
        Ok((producer, Poller::new(reporter)))
    }

    /// The handle of a topic, from the cache or made now; `None` where the name is illegal.
    fn topic(&self, name: &Arc<str>) -> Option<Topic> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Some(*topic);
        }
        drop(topics);
        if !topic_name::is_legal(name) {
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
    /// # Errors
    ///
    /// Why it was refused, with the record.
    #[inline]
    pub(crate) fn produce(
        &self,
        mut note: Note,
        record: ProducerRecord,
        id_header: Option<&[u8]>,
    ) -> Result<Ticket<Delivering>, Box<(Refusal, ProducerRecord)>> {
        note.has_headers = id_header.is_some() || !record.headers.is_empty();
        note.keeps_headers = note.has_headers && record.headers.size_bytes() <= KEPT_HEADERS;
        let mut ticket = self.pool.insert(note, record);
        let address = ticket.address();
        // SAFETY: the address was not given away yet.
        let (record, kept) = unsafe { ticket.contents() };
        let mut outbox = self.outbox.lock();
        let Some(topic) = outbox.topic(&record.topic, |name| self.topic(name)) else {
            drop(outbox);
            // SAFETY: the address was never given away.
            return Err(Box::new((Refusal::IllegalTopic, unsafe { ticket.abort() })));
        };
        let (payload, key) = (raw(record.payload.as_deref()), raw(record.key.as_deref()));
        if !note.has_headers && record.partition.is_none() && record.timestamp.is_none() {
            let message = outbox::message(address, payload, key);
            ticket.launch();
            outbox.push(self.pool.shared(), topic, message);
            self.report_refused(outbox);
            return Ok(ticket);
        }
        outbox.hand_over(self.pool.shared());
        self.report_refused(outbox);
        let headers = match note.has_headers {
            true => header_list(record, id_header, kept.take()),
            false => None,
        };
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
                payload.0,
                payload.1,
                rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key.0,
                key.1,
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
            Err(Box::new((Refusal::Code(code), unsafe { ticket.abort() })))
        }
    }

    /// Hands over to librdkafka what waits for others to go with it.
    pub(crate) fn hand_over(&self) {
        let outgoing = self.pool.shared();
        if outgoing.is_waiting() {
            let mut outbox = self.outbox.lock();
            outbox.hand_over(outgoing);
            self.report_refused(outbox);
        }
    }

    /// Calls the polling thread when there are records for it to report.
    fn report_refused(&self, outbox: MutexGuard<'_, Batch>) {
        let refused = outbox.has_refused();
        drop(outbox);
        if refused {
            self.wake();
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
        self.hand_over();
        let mut wait = milliseconds(wait);
        loop {
            // SAFETY: the queue is valid; the event is destroyed by `Event`.
            let event = unsafe { Event::new(rd::rd_kafka_queue_poll(self.queue.0, wait)) };
            self.take_refused(poller, events);
            let Some(event) = event else {
                return;
            };
            wait = 0;
            // SAFETY: the event is valid.
            match unsafe { rd::rd_kafka_event_type(event.as_ptr()) } {
                rd::RD_KAFKA_EVENT_DR => poller.reports(&event, events),
                rd::RD_KAFKA_EVENT_ERROR => {
                    // SAFETY: the event is an error event.
                    let (code, reason, fatal) = unsafe {
                        let event = event.as_ptr();
                        (
                            rd::rd_kafka_event_error(event) as i32,
                            text(rd::rd_kafka_event_error_string(event)),
                            rd::rd_kafka_event_error_is_fatal(event) != 0,
                        )
                    };
                    let fatal = fatal || code == RDKafkaErrorCode::Fatal as i32;
                    guarded(|| events.error(code, &reason, fatal));
                }
                rd::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                    // SAFETY: the event is a log event; its texts live as long as it does.
                    let (facility, line) = unsafe {
                        let event = event.as_ptr();
                        rd::rd_kafka_event_log(event, &mut facility, &mut line, &mut level);
                        (text(facility), text(line))
                    };
                    guarded(|| Logging::line(level, &facility, &line));
                }
                _ => {}
            }
        }
    }
}

impl Producer {
    fn take_refused(&self, poller: &mut Poller, events: &mut dyn Events) {
        let refused = self.outbox.lock().take_refused();
        if refused.is_empty() {
            return;
        }
        for (address, code) in refused {
            // SAFETY: the address is a slot's of this producer, and librdkafka refused its record.
            unsafe { poller.refused(address, code, events) };
        }
        events.reported();
    }
}

impl HandOver for Producer {
    fn hand_over(&self) {
        Self::hand_over(self);
    }
}

/// Why a record was not enqueued.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// Its topic's name breaks Kafka's rule.
    IllegalTopic,
    /// librdkafka's code.
    Code(i32),
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
