//! The outbox: records on their way to librdkafka, handed over many at a time.
//!
//! `rd_kafka_produce_batch` costs half of what as many calls of `rd_kafka_producev` do: one look at
//! the clock, one lock of the topic. So a plain record waits here until [`BATCH`] have gathered,
//! until somebody waits for one of them, or until the polling thread comes by. What has headers, a
//! timestamp or a partition can't go that way: it is handed over by itself, behind the others.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    mem, ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rdkafka::bindings as rd;

use super::topic::{ANY_PARTITION, Topic};

/// How many records are handed over at once at the most.
const BATCH: usize = 64;

/// What a delivery's future knows of the outbox.
pub(crate) struct Outgoing {
    waiting: AtomicUsize,
    owner: Weak<dyn HandOver>,
}

/// Who owns an outbox.
pub(super) trait HandOver: Send + Sync {
    /// Hands over to librdkafka what waits for others to go with it.
    fn hand_over(&self);
}

impl Outgoing {
    pub(super) fn new(owner: Weak<dyn HandOver>) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            owner,
        }
    }

    // A count of zero is stored after the handing over, so that whoever reads it comes after.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// Hands over what waits: somebody waits for it.
    pub(crate) fn hand_over(&self) {
        if self.is_waiting()
            && let Some(owner) = self.owner.upgrade()
        {
            owner.hand_over();
        }
    }
}

#[derive(Default)]
pub(super) struct Outbox(Mutex<Batch>);

impl Outbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits, all for one topic.
#[derive(Default)]
pub(super) struct Batch {
    last: Option<(Arc<str>, Topic)>,
    topic: Option<Topic>,
    messages: Vec<rd::rd_kafka_message_t>,
    /// Slots whose records librdkafka refused, for the polling thread to report.
    refused: Vec<(*mut c_void, i32)>,
}

// SAFETY: the pointers lead to slots and to what they hold, which stays in its place until it is
// reported, and slots are shared between threads.
unsafe impl Send for Batch {}

impl Batch {
    /// The handle of a topic: the last one's, or what `find` finds.
    pub(super) fn topic(
        &mut self,
        name: &Arc<str>,
        find: impl FnOnce(&Arc<str>) -> Option<Topic>,
    ) -> Option<Topic> {
        let same = |last: &Arc<str>| Arc::ptr_eq(last, name) || last == name;
        match &self.last {
            Some((last, topic)) if same(last) => Some(*topic),
            _ => {
                let topic = find(name)?;
                self.last = Some((Arc::clone(name), topic));
                Some(topic)
            }
        }
    }

    /// Adds a record, after those of another topic were handed over; hands over all when there are
    /// enough.
    pub(super) fn push(
        &mut self,
        outgoing: &Outgoing,
        topic: Topic,
        message: rd::rd_kafka_message_t,
    ) {
        if self.topic != Some(topic) {
            self.hand_over(outgoing);
            self.topic = Some(topic);
        }
        self.messages.push(message);
        if self.messages.len() == BATCH {
            self.hand_over(outgoing);
        } else {
            outgoing.waiting.store(self.messages.len(), SeqCst);
        }
    }

    /// Hands over what waits.
    pub(super) fn hand_over(&mut self, outgoing: &Outgoing) {
        let Some(topic) = self.topic.filter(|_| !self.messages.is_empty()) else {
            return;
        };
        let count = self.messages.len();
        // SAFETY: topic and messages are valid. Keys are copied; payloads are not, and the slots
        // keep them until the records are reported.
        let accepted = unsafe {
            rd::rd_kafka_produce_batch(
                topic.as_ptr(),
                ANY_PARTITION,
                0,
                self.messages.as_mut_ptr(),
                i32::try_from(count).expect("a batch is small"),
            )
        };
        if usize::try_from(accepted) != Ok(count) {
            for message in &self.messages {
                // SAFETY: the message is valid; the code is read as an integer.
                let code = unsafe { ptr::addr_of!(message.err).cast::<i32>().read() };
                if code != 0 {
                    self.refused.push((message._private, code));
                }
            }
        }
        self.messages.clear();
        outgoing.waiting.store(0, SeqCst);
    }

    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    pub(super) fn take_refused(&mut self) -> Vec<(*mut c_void, i32)> {
        mem::take(&mut self.refused)
    }
}
/// A message for `rd_kafka_produce_batch`.
pub(super) fn message(
    address: *mut c_void,
    payload: (*const u8, usize),
    key: (*const u8, usize),
) -> rd::rd_kafka_message_t {
    rd::rd_kafka_message_t {
        err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: ANY_PARTITION,
        payload: payload.0.cast_mut().cast(),
        len: payload.1,
        key: key.0.cast_mut().cast(),
        key_len: key.1,
        offset: 0,
        _private: address,
    }
}
