use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tower::Service;

use crate::{
    error::{ErrorClass, Persistence, PublishError},
    record::{Delivery, MessageId, ProducerRecord},
};

/// A publisher without a broker: it keeps what it is given, and fails on order.
///
/// It stands where a [`Publisher`](crate::Publisher) does: under publishing layers, in
/// [`DeadLetter::to`](crate::layers::DeadLetter::to), behind [`PublishExt`](crate::PublishExt). Each
/// record is delivered to the partition that it names, or to 0, at the next offset there. Clones
/// share everything but their readiness, and like any service each has to be polled ready before
/// it is called.
///
/// # Example
///
/// ```
/// use kafka_tower::{ErrorClass, Persistence, ProducerRecord, PublishExt, testing::MockPublisher};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let publisher = MockPublisher::new();
/// let order = || ProducerRecord::to("orders").key("42").payload("tea");
///
/// assert_eq!(publisher.send(order()).await?.offset, Some(0));
/// publisher.fail_next(1, ErrorClass::Retriable, Persistence::NotPersisted);
/// publisher.send(order()).await.expect_err("on order");
/// assert_eq!(publisher.send(order()).await?.offset, Some(1));
///
/// assert_eq!(publisher.records().len(), 3);
/// assert_eq!(publisher.written("orders").len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct MockPublisher {
    shared: Arc<Shared>,
    is_ready: bool,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    records: Vec<ProducerRecord>,
    /// Those of them that were not failed.
    written: Vec<ProducerRecord>,
    ends: HashMap<(Arc<str>, i32), i64>,
    failures: VecDeque<Failure>,
    rules: Vec<(Box<Predicate>, Failure)>,
    is_held: bool,
    /// How often what was held was let go.
    releases: u64,
    is_unready: bool,
    /// Of whoever waits for a change.
    wakers: Vec<Waker>,
}

type Predicate = dyn Fn(&ProducerRecord) -> bool + Send;

#[derive(Clone, Copy)]
struct Failure(ErrorClass, Persistence);

impl MockPublisher {
    /// A publisher that is ready and delivers everything.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            is_ready: false,
        }
    }

    /// Fails the next `times` records that it is called with, whichever they are. Several orders are
    /// carried out one after the other. A failed record is not [`written`](Self::written), also where
    /// the error says [`PossiblyPersisted`](Persistence::PossiblyPersisted).
    pub fn fail_next(&self, times: usize, class: ErrorClass, persistence: Persistence) {
        let failure = Failure(class, persistence);
        let failures = std::iter::repeat_n(failure, times);
        self.lock().failures.extend(failures);
    }

    /// Fails every record from now on that `which` says yes to, unless
    /// [`fail_next`](Self::fail_next) has something to say to it. Of several such rules the first
    /// counts. `which` must not use this publisher.
    pub fn fail_when(
        &self,
        which: impl Fn(&ProducerRecord) -> bool + Send + 'static,
        class: ErrorClass,
        persistence: Persistence,
    ) {
        let rule = (Box::new(which) as _, Failure(class, persistence));
        self.lock().rules.push(rule);
    }

    /// Forgets what was to be failed.
    pub fn stop_failing(&self) {
        let mut state = self.lock();
        state.failures.clear();
        state.rules.clear();
    }

    /// Answers nothing that it is called with from now on, until [`release`](Self::release).
    pub fn hold(&self) {
        self.lock().is_held = true;
    }

    /// Answers what was held, and holds nothing more.
    pub fn release(&self) {
        self.change(|state| {
            state.is_held = false;
            state.releases += 1;
        });
    }

    /// Whether `poll_ready` is ready, for all clones; it is at first. A clone that was ready before
    /// may still be called once.
    pub fn set_ready(&self, is_ready: bool) {
        self.change(|state| state.is_unready = !is_ready);
    }

    /// What it was called with, in order: also what it failed or holds.
    #[must_use]
    pub fn records(&self) -> Vec<ProducerRecord> {
        self.lock().records.clone()
    }

    /// The same of one topic.
    #[must_use]
    pub fn records_of(&self, topic: &str) -> Vec<ProducerRecord> {
        of_topic(&self.lock().records, topic)
    }

    /// What a topic holds, in order: all records but those that were failed, each with its message id.
    /// The header that a [`Publisher`](crate::Publisher) may send it in is not among theirs.
    #[must_use]
    pub fn written(&self, topic: &str) -> Vec<ProducerRecord> {
        of_topic(&self.lock().written, topic)
    }

    /// What it was called with since the last time, in order. Offsets go on where they are.
    #[must_use]
    pub fn take(&self) -> Vec<ProducerRecord> {
        let mut state = self.lock();
        state.written.clear();
        mem::take(&mut state.records)
    }

    /// Waits until it was called with `count` records, not counting those that were
    /// [taken](Self::take), and gives them. It has no deadline.
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, count: usize) -> Vec<ProducerRecord> {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.records.len() >= count {
                return Poll::Ready(state.records.clone());
            }
            state.wait(cx)
        })
        .await
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.lock();
            change(&mut state);
            mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    /// A predicate that panicked has changed nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn answer(&mut self, record: &ProducerRecord) -> Result<Delivery, PublishError> {
        let rules = &self.rules;
        let by_rule = || rules.iter().find(|(which, _)| which(record));
        let failure = match self.failures.pop_front() {
            Some(failure) => Some(failure),
            None => by_rule().map(|(_, failure)| *failure),
        };
        self.records.push(record.clone());
        let mut record = record.clone();
        let id = record.message_id.get_or_insert_with(MessageId::new).clone();
        if let Some(Failure(class, persistence)) = failure {
            let error =
                PublishError::new(class, persistence, "the mock publisher was told to fail it");
            return Err(error.with_record(record));
        }
        let partition = record.partition.unwrap_or_default();
        let end = self.ends.entry((Arc::clone(&record.topic), partition));
        let end = end.or_default();
        let mut delivery = Delivery::new(Arc::clone(&record.topic), partition, *end, id);
        delivery.timestamp = record.timestamp;
        *end += 1;
        self.written.push(record);
        Ok(delivery)
    }
}

fn of_topic(records: &[ProducerRecord], topic: &str) -> Vec<ProducerRecord> {
    let records = records.iter().filter(|record| &*record.topic == topic);
    records.cloned().collect()
}

impl Service<ProducerRecord> for MockPublisher {
    type Response = Delivery;
    type Error = PublishError;
    type Future = MockDelivery;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        let mut state = self.shared.lock();
        if state.is_unready {
            return state.wait(cx);
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    /// # Panics
    ///
    /// Without a `poll_ready` that was ready: a layer around it has a bug.
    fn call(&mut self, record: ProducerRecord) -> MockDelivery {
        assert!(
            mem::take(&mut self.is_ready),
            "the mock publisher was called without being ready"
        );
        let mut answer = None;
        let mut held = None;
        self.change(|state| {
            answer = Some(state.answer(&record));
            held = state.is_held.then_some(state.releases);
        });
        MockDelivery {
            answer,
            held,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Clone for MockPublisher {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_ready: false,
        }
    }
}

impl Default for MockPublisher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MockPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("MockPublisher")
            .field("records", &state.records.len())
            .field("held", &state.is_held)
            .field("ready", &!state.is_unready)
            .finish_non_exhaustive()
    }
}

/// The future of a [`MockPublisher`].
///
/// Cancel safe: the record is kept as if it had been awaited.
#[must_use = "futures do nothing unless polled"]
pub struct MockDelivery {
    answer: Option<Result<Delivery, PublishError>>,
    /// Not answered while things were let go only so often.
    held: Option<u64>,
    shared: Arc<Shared>,
}

impl Future for MockDelivery {
    type Output = Result<Delivery, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        if self.held == Some(state.releases) {
            return state.wait(cx);
        }
        drop(state);
        Poll::Ready(self.answer.take().expect("not polled after completion"))
    }
}

impl fmt::Debug for MockDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockDelivery").finish_non_exhaustive()
    }
}
