//! A partition's own queue, read many messages at a time.
//!
//! rdkafka's `PartitionQueue` gives one at a time, which costs three times as much for each. And
//! `rd_kafka_consume_batch_queue` must not be used with `enable.partition.eof`: up to librdkafka
//! 2.12 it counts the event of the end as a record, so that one record is passed over when the
//! partition is paused next, as every partition is during a cooperative rebalance.
#![allow(unsafe_code)]

use std::{
    any::Any,
    ffi::{CString, c_void},
    fmt,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::{self, NonNull},
    sync::Arc,
};

use rdkafka::{
    bindings as rd,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
};

use super::message::Message;

type Callback = Box<dyn Fn() + Send + Sync>;

pub(crate) struct PartitionQueue<C: ConsumerContext + 'static> {
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// Called by librdkafka as long as the queue lives; boxed twice, since a fat pointer doesn't go
    /// through C.
    _callback: Box<Callback>,
    // Dropped last: the queue belongs to the client.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used by any thread, and the callback is `Send + Sync`.
unsafe impl<C: ConsumerContext + 'static> Send for PartitionQueue<C> {}

impl<C: ConsumerContext + 'static> PartitionQueue<C> {
    /// Takes the records of a partition out of the consumer's own queue into one of their own.
    /// Call it before the partition is assigned, else some go the other way.
    ///
    /// `nonempty` is called on a thread of librdkafka, with the queue locked, when the queue is no
    /// longer empty: it must not block and must not touch the queue.
    pub(crate) fn new(
        consumer: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        nonempty: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client is valid while it is borrowed, the topic's name ends with a NUL.
        let queue = unsafe { rd::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        let queue = NonNull::new(queue)?;
        let callback: Box<Callback> = Box::new(Box::new(nonempty));
        // SAFETY: the queue is valid and ours. The callback's address stays the same as long as
        // the box, which lives until `drop` has taken it off the queue again.
        unsafe {
            rd::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            rd::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(nonempty_callback),
                ptr::from_ref::<Callback>(&callback).cast_mut().cast(),
            );
        }
        Some(Self {
            queue,
            _callback: callback,
            consumer: Arc::clone(consumer),
        })
    }

    /// Takes messages, in order, until `take` wants no more or there are none, without waiting.
    /// Whether there may be more.
    pub(crate) fn read(&self, take: &mut dyn FnMut(&mut Message<'_>) -> ControlFlow<()>) -> bool {
        let mut reading = Reading {
            take,
            client: self.consumer.client().native_ptr(),
            stopped: false,
            panic: None,
        };
        // SAFETY: the queue is valid. The callback is called on this thread, before the call
        // returns, with a pointer to what lives until then. With a timeout of 0 it doesn't wait.
        unsafe {
            rd::rd_kafka_consume_callback_queue(
                self.queue.as_ptr(),
                0,
                Some(message_callback),
                ptr::from_mut(&mut reading).cast(),
            );
        }
        if let Some(panic) = reading.panic {
            resume_unwind(panic);
        }
        reading.stopped
    }
}

/// What the callback of a read works on.
struct Reading<'a> {
    take: &'a mut dyn FnMut(&mut Message<'_>) -> ControlFlow<()>,
    client: *mut rd::rd_kafka_t,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

unsafe extern "C" fn message_callback(message: *mut rd::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: the pointer was given to the read that calls this, which nobody else looks at.
    let reading = unsafe { &mut *opaque.cast::<Reading<'_>>() };
    let Some(message) = NonNull::new(message) else {
        return;
    };
    // SAFETY: the message is valid until the callback returns, and nobody else uses it.
    let mut message = unsafe { Message::borrow(message) };
    // No panic may go through C.
    let taken = catch_unwind(AssertUnwindSafe(|| (reading.take)(&mut message)));
    reading.stopped = match taken {
        Ok(flow) => flow.is_break(),
        Err(panic) => {
            reading.panic = Some(panic);
            true
        }
    };
    if reading.stopped {
        // SAFETY: the client is valid, and this is a callback of it. What was not read yet goes
        // back to the head of the queue.
        unsafe { rd::rd_kafka_yield(reading.client) };
    }
}

unsafe extern "C" fn nonempty_callback(_: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: the pointer was given with the callback, to a box that outlives it.
    let callback = unsafe { &*opaque.cast::<Callback>() };
    crate::client::guarded(callback);
}

impl<C: ConsumerContext + 'static> Drop for PartitionQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is valid and not used again. Taking the callback off waits for the
        // queue's lock, under which it is called, so none is running when the box is dropped.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for PartitionQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionQueue").finish_non_exhaustive()
    }
}
