//! Stand-ins for the services inside of a layer.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use kafka_tower::{
    BoxError, ConsumerRecord, Delivery, ErrorClass, MessageId, Outcome, Persistence,
    ProducerRecord, PublishError, Record,
};
use tokio::time::Instant;
use tower::Service;

/// Answers as it was told to, one answer after the other, and keeps what it was called with. It is
/// ready only for the one call that follows a `poll_ready`, and each clone anew.
pub(crate) struct Fake<R: Record> {
    shared: Arc<Mutex<Shared<R>>>,
    is_ready: bool,
}

struct Shared<R: Record> {
    answers: VecDeque<Result<R::Done, R::Error>>,
    calls: Vec<(R, Instant)>,
    clones: usize,
    ended: bool,
}

impl<R: Record> Fake<R> {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<R::Done, R::Error>>) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                answers: answers.into_iter().collect(),
                calls: Vec::new(),
                clones: 0,
                ended: false,
            })),
            is_ready: false,
        }
    }

    /// The records that it was called with.
    pub(crate) fn calls(&self) -> Vec<R> {
        let shared = self.shared.lock().unwrap();
        shared
            .calls
            .iter()
            .map(|(record, _)| record.clone())
            .collect()
    }

    /// When it was called, in milliseconds since the first call.
    pub(crate) fn times(&self) -> Vec<u128> {
        let shared = self.shared.lock().unwrap();
        let since = |at: &Instant| at.duration_since(shared.calls[0].1).as_millis();
        shared.calls.iter().map(|(_, at)| since(at)).collect()
    }

    /// How often it was cloned.
    pub(crate) fn clones(&self) -> usize {
        self.shared.lock().unwrap().clones
    }

    /// `poll_ready` fails from now on.
    pub(crate) fn end(&self) {
        self.shared.lock().unwrap().ended = true;
    }

    /// Another handle on what it saw, not counted as a clone.
    pub(crate) fn handle(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_ready: false,
        }
    }
}

impl<R: Record> Clone for Fake<R> {
    fn clone(&self) -> Self {
        self.shared.lock().unwrap().clones += 1;
        self.handle()
    }
}

impl<R: Record> Service<R> for Fake<R> {
    type Response = R::Done;
    type Error = R::Error;
    type Future = Ready<Result<R::Done, R::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        if self.shared.lock().unwrap().ended {
            return Poll::Ready(Err(R::dead("ended".into())));
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: R) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called unready");
        let mut shared = self.shared.lock().unwrap();
        shared.calls.push((record, Instant::now()));
        ready(shared.answers.pop_front().expect("a call too many"))
    }
}

pub(crate) type Published = Result<Delivery, PublishError>;
pub(crate) type Handled = Result<Outcome, BoxError>;

pub(crate) fn delivered() -> Published {
    Ok(Delivery::new("orders", 0, 7, MessageId::from("1")))
}

/// A failure that gives no record back, as through a layer that knows nothing of records.
pub(crate) fn failed(class: ErrorClass, persistence: Persistence) -> Published {
    Err(PublishError::new(class, persistence, "no"))
}

/// A failure that duplicates nothing when it is repeated.
pub(crate) fn refused(class: ErrorClass) -> Published {
    failed(class, Persistence::NotPersisted)
}

pub(crate) fn order() -> ProducerRecord {
    ProducerRecord::to("orders").key("42").payload("tea")
}

/// A record at offset 7 that was read.
pub(crate) fn read(attempt: u32) -> ConsumerRecord {
    let record = ConsumerRecord::builder("orders", 3, 7).key("42");
    record.payload("tea").attempt(attempt).build()
}
