//! Delivery reports: events of librdkafka, thousands in one.
#![allow(unsafe_code)]

use std::{ffi::c_void, mem, ptr, ptr::NonNull};

use rdkafka::bindings::{self as rd, rd_kafka_msg_status_t};

use super::{
    headers::HeaderList,
    outbox::Outgoing,
    slots::{Content, Reporter},
};
use crate::{
    client::guarded,
    error::Persistence,
    record::{MessageId, ProducerRecord},
};

/// What the publisher wants to know of a record when it is reported.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Note {
    pub(crate) bytes: u32,
    pub(crate) epoch: Epoch,
    pub(super) has_headers: bool,
    /// Its list of headers is small enough to be kept for the next record.
    pub(super) keeps_headers: bool,
}

impl Note {
    pub(crate) fn new(bytes: u32, epoch: Epoch) -> Self {
        Self {
            bytes,
            epoch,
            has_headers: false,
            keeps_headers: false,
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
    /// What is known beyond that. Thin, so that a slot's report fits its cache line.
    pub(crate) detail: Option<Box<Detail>>,
}

/// What is known of a failure beyond librdkafka's report.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    pub(crate) reason: Option<String>,
    /// The id of a record that had none.
    pub(crate) message_id: Option<MessageId>,
}

pub(crate) struct Delivering;

impl Content for Delivering {
    type Note = Note;
    type Value = ProducerRecord;
    type Report = Report;
    type Kept = Option<HeaderList>;
    type Shared = Outgoing;
}

/// What the thread that polls learns.
pub(crate) trait Events {
    /// A record was delivered.
    fn delivered(&mut self, note: Note);
    /// A record was not; the report may be amended before its future sees it.
    fn failed(&mut self, note: Note, record: &ProducerRecord, report: &mut Report);
    /// The same, where the future was dropped.
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

/// How many slots ahead of their turn are fetched into the cache.
const AHEAD: usize = 8;

impl Poller {
    pub(super) fn new(reporter: Reporter<Delivering>) -> Self {
        Self {
            reporter,
            messages: Vec::new(),
        }
    }

    /// Hands out the reports of an event.
    pub(super) fn reports(&mut self, event: &Event, events: &mut dyn Events) {
        let event = event.as_ptr();
        // SAFETY: the event is a delivery-report event.
        let count = unsafe { rd::rd_kafka_event_message_count(event) };
        let mut messages = mem::take(&mut self.messages);
        messages.reserve(count);
        // SAFETY: there is room for `count` pointers, and librdkafka says how many it wrote.
        unsafe {
            let written = rd::rd_kafka_event_message_array(event, messages.as_mut_ptr(), count);
            messages.set_len(written);
        }
        for (index, &message) in messages.iter().enumerate() {
            if let Some(&later) = messages.get(index + AHEAD) {
                // SAFETY: the message is valid until the event is destroyed.
                self.reporter.prefetch(unsafe { (*later)._private });
            }
            // SAFETY: as above; its opaque pointer is the address of its slot, reported once.
            unsafe {
                let address = (*message)._private;
                let (note, kept) = self.reporter.note(address);
                if note.keeps_headers {
                    *kept = HeaderList::detach(message);
                }
                self.report(note, address, Report::read(message), events);
            }
        }
        messages.clear();
        self.messages = messages;
        events.reported();
    }

    /// Reports a record that librdkafka refused when it was handed over.
    ///
    /// # Safety
    ///
    /// `address` belongs to a slot of this producer, and librdkafka doesn't hold it.
    pub(super) unsafe fn refused(
        &mut self,
        address: *mut c_void,
        code: i32,
        events: &mut dyn Events,
    ) {
        let report = Report {
            code,
            persistence: Persistence::NotPersisted,
            partition: -1,
            offset: -1,
            timestamp: -1,
            detail: None,
        };
        // SAFETY: nobody else will report this slot.
        unsafe {
            let (note, _) = self.reporter.note(address);
            self.report(note, address, report, events);
        }
    }

    /// # Safety
    ///
    /// As [`Reporter::complete`].
    unsafe fn report(
        &mut self,
        note: Note,
        address: *mut c_void,
        mut report: Report,
        events: &mut dyn Events,
    ) {
        // SAFETY: by the contract.
        unsafe {
            match report.code {
                0 => events.delivered(note),
                _ => events.failed(note, self.reporter.value(address), &mut report),
            }
            if let Some((record, report)) = self.reporter.complete(address, report) {
                guarded(|| events.unawaited(record, report));
            }
        }
    }

    /// Shows every record that is on its way.
    pub(crate) fn for_each_in_flight(&mut self, f: impl FnMut(Note, &ProducerRecord)) {
        self.reporter.for_each_in_flight(f);
    }
}

impl Report {
    pub(crate) fn detail_mut(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

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

/// An event of librdkafka's.
pub(super) struct Event(NonNull<rd::rd_kafka_event_t>);

impl Event {
    /// # Safety
    ///
    /// `event` is null, or an event that the caller owns.
    pub(super) unsafe fn new(event: *mut rd::rd_kafka_event_t) -> Option<Self> {
        NonNull::new(event).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_event_t {
        self.0.as_ptr()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and is destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}
