//! The queue that owns sends through a whole stack, and publishers as a type with a name.

use std::{
    future::{Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use kafka_tower::{
    Backoff, BoxError, BoxPublisher, Delivery, ErrorClass, Flushed, MessageId, PanicError,
    Persistence, ProducerRecord, ProducerSettings, PublishError, PublishExt, Publisher, SendQueue,
    find_error,
    layers::{DeadLetter, ServiceBuilderExt},
    testing::EmbeddedKafka,
};
use tokio::sync::Semaphore;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    fake::{Fake, Published, delivered, order, refused},
    support::run,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn numbered(n: usize) -> ProducerRecord {
    order().payload(n.to_string())
}

fn numbers<'a>(records: impl IntoIterator<Item = &'a ProducerRecord>) -> Vec<&'a str> {
    let payload = |record: &'a ProducerRecord| record.payload.as_deref().expect("a number");
    let text = |record| std::str::from_utf8(payload(record)).expect("text");
    records.into_iter().map(text).collect()
}

fn failed(flushed: &Flushed) -> Vec<&str> {
    numbers(flushed.failed.iter().map(|error| error.record().unwrap()))
}

async fn push(queue: &SendQueue, records: std::ops::Range<usize>) {
    for n in records {
        queue.push(numbered(n)).await.expect("room");
    }
}

/// Publishes a record when it is let to.
fn gated() -> (Arc<Semaphore>, BoxPublisher) {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let publisher = service_fn(move |_: ProducerRecord| {
        let waits = Arc::clone(&waits);
        async move {
            waits.acquire().await.expect("an open gate").forget();
            delivered()
        }
    });
    (gate, publisher.erased())
}

#[tokio::test]
async fn records_enter_in_the_order_of_the_pushes_and_are_counted() {
    let answers = (0..5).map(|n| match n {
        1 | 3 => refused(ErrorClass::NonRetriable),
        _ => delivered(),
    });
    let fake = Fake::new(answers);
    let queue = fake.handle().queue(2);
    let id = queue.push(numbered(0).message_id("mine")).await.unwrap();
    assert_eq!(id, MessageId::from("mine"));
    push(&queue, 1..5).await;
    let flushed = queue.flush(HOUR).await;
    assert_eq!(numbers(&fake.calls()), ["0", "1", "2", "3", "4"]);
    assert_eq!(flushed.delivered, 3);
    assert_eq!(failed(&flushed), ["1", "3"]);
    assert!(flushed.undelivered.is_empty());
    // The next page begins anew.
    let flushed = queue.flush(HOUR).await;
    assert_eq!((flushed.delivered, flushed.failed.len()), (0, 0));
}

#[tokio::test]
async fn what_failed_can_be_taken_without_waiting() {
    let queue = Fake::new([refused(ErrorClass::Retriable), delivered()]).queue(10);
    push(&queue, 0..1).await;
    let waited = queue.flush(HOUR).await;
    assert_eq!(failed(&waited), ["0"]);
    assert!(queue.take_failed().is_empty());
    push(&queue, 1..2).await;
    assert_eq!(queue.close(HOUR).await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn closing_accounts_also_for_those_that_sleep_in_a_retry() {
    let answers = (0..6).map(|n| match n {
        0 | 1 => delivered(),
        2 => refused(ErrorClass::NonRetriable),
        _ => refused(ErrorClass::Retriable),
    });
    let stack = ServiceBuilder::new()
        .retry_with(Backoff::constant(HOUR))
        .service(Fake::new(answers));
    let queue = stack.queue(100);
    let id = queue.push(numbered(0)).await.unwrap();
    push(&queue, 1..6).await;
    let flushed = queue.close(SECOND).await;
    assert_eq!(flushed.delivered, 2);
    assert_eq!(failed(&flushed), ["2"]);
    assert_eq!(numbers(&flushed.undelivered), ["3", "4", "5"]);
    assert!(
        flushed
            .undelivered
            .iter()
            .all(|record| record.message_id.is_some())
    );
    assert_ne!(flushed.undelivered[0].message_id, Some(id));
    assert!(queue.is_empty());
    let again = queue.close(SECOND).await;
    assert_eq!((again.delivered, again.undelivered.len()), (0, 0));
    let error = queue.push(numbered(6)).await.unwrap_err();
    assert_eq!(error.persistence(), Persistence::NotPersisted);
    assert_eq!(numbers(error.record()), ["6"]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_pushed_before_it_and_no_longer() {
    let (gate, publisher) = gated();
    let queue = publisher.queue(10);
    push(&queue, 0..2).await;
    let mut flush = Box::pin(queue.flush(HOUR));
    assert!(flush.as_mut().now_or_never().is_none());
    push(&queue, 2..3).await;
    gate.add_permits(2);
    assert_eq!(flush.await.delivered, 2);
    // At its deadline it shows what is on its way, which goes on.
    let flushed = queue.flush(SECOND).await;
    assert_eq!(numbers(&flushed.undelivered), ["2"]);
    assert_eq!(queue.len(), 1);
    gate.add_permits(1);
    let flushed = queue.flush(SECOND).await;
    assert_eq!((flushed.delivered, flushed.undelivered.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_flush_takes_nothing_with_it() {
    let (gate, publisher) = gated();
    let queue = publisher.queue(10);
    push(&queue, 0..1).await;
    assert!(queue.flush(HOUR).now_or_never().is_none());
    gate.add_permits(1);
    assert_eq!(queue.flush(SECOND).await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_lets_wait_and_a_closed_one_refuses_who_waits() {
    let (_gate, publisher) = gated();
    let queue = publisher.queue(2);
    push(&queue, 0..2).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.push(numbered(2)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(queue.len(), 2);
    let flushed = queue.close(SECOND).await;
    assert_eq!(numbers(&flushed.undelivered), ["0", "1"]);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(numbers(error.record()), ["2"]);
}

/// Panics where it is told to.
struct Panicking(&'static str, bool);

impl Service<ProducerRecord> for Panicking {
    type Response = Delivery;
    type Error = PublishError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Published> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        assert!(
            self.0 != "poll_ready" || std::mem::replace(&mut self.1, true),
            "oh no"
        );
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: ProducerRecord) -> Self::Future {
        assert!(
            self.0 != "call" || std::mem::replace(&mut self.1, true),
            "oh no"
        );
        let panics = self.0 == "future" && !std::mem::replace(&mut self.1, true);
        Box::pin(async move {
            assert!(!panics, "oh no");
            delivered()
        })
    }
}

impl Clone for Panicking {
    fn clone(&self) -> Self {
        Self(self.0, self.1)
    }
}

#[tokio::test]
async fn a_panic_fails_its_record_and_no_other() {
    for (place, persistence) in [
        ("poll_ready", Persistence::NotPersisted),
        ("call", Persistence::PossiblyPersisted),
        ("future", Persistence::PossiblyPersisted),
    ] {
        let queue = Panicking(place, false).queue(10);
        push(&queue, 0..2).await;
        let flushed = queue.close(HOUR).await;
        assert_eq!(
            (flushed.delivered, failed(&flushed)),
            (1, vec!["0"]),
            "{place}"
        );
        let error = &flushed.failed[0];
        assert_eq!(find_error(error).map(PanicError::message), Some("oh no"));
        assert_eq!(error.persistence(), persistence, "{place}");
    }
}

#[tokio::test]
async fn a_stack_that_has_ended_gives_every_record_back() {
    let fake = Fake::<ProducerRecord>::new([]);
    fake.end();
    let queue = fake.queue(10);
    push(&queue, 0..2).await;
    let flushed = queue.close(HOUR).await;
    assert_eq!(failed(&flushed), ["0", "1"]);
}

#[tokio::test]
async fn a_dropped_queue_works_on_until_it_is_empty() {
    let (gate, publisher) = gated();
    let sent = Arc::new(Semaphore::new(0));
    let counted = Arc::clone(&sent);
    let stack = ServiceBuilder::new()
        .map_response(move |delivery: Delivery| {
            counted.add_permits(1);
            delivery
        })
        .service(publisher);
    let queue = stack.queue(10);
    push(&queue, 0..3).await;
    drop(queue);
    gate.add_permits(3);
    sent.acquire_many(3).await.expect("all are sent").forget();
}

#[test]
fn a_queue_whose_runtime_has_ended_hands_its_records_back() {
    let (_gate, publisher) = gated();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let queue = runtime.block_on(async {
        let queue = publisher.queue(10);
        push(&queue, 0..2).await;
        queue
    });
    drop(runtime);
    run(async move {
        let error = queue.push(numbered(2)).await.unwrap_err();
        assert_eq!(numbers(error.record()), ["2"]);
        let flushed = queue.close(HOUR).await;
        assert_eq!(numbers(&flushed.undelivered), ["0", "1"]);
    });
}

#[test]
fn a_queue_whose_runtime_ended_before_it_began_can_be_closed() {
    let (_gate, publisher) = gated();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let queue = {
        let _entered = runtime.enter();
        publisher.queue(10)
    };
    // Before the task was polled.
    push(&queue, 0..2).now_or_never().expect("room");
    drop(runtime);
    run(async move {
        let flush = tokio::time::timeout(Duration::from_secs(10), queue.flush(HOUR));
        let flushed = flush.await.expect("nobody is left to wait for");
        assert_eq!(numbers(&flushed.undelivered), ["0", "1"]);
        let close = tokio::time::timeout(Duration::from_secs(10), queue.close(HOUR));
        let flushed = close.await.expect("nobody is left to wait for");
        assert_eq!(numbers(&flushed.undelivered), ["0", "1"]);
    });
}

#[test]
fn with_the_broker_down_every_push_is_accounted_for() {
    run(async {
        let kafka = EmbeddedKafka::start().await.unwrap();
        kafka.create_topic("orders", 1).unwrap();
        let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
        let publisher = Publisher::new(settings).unwrap();
        publisher.send(numbered(0)).await.unwrap();
        kafka.broker_down(1).unwrap();
        // Every third is refused before it is on its way, and sleeps in the retry layer.
        let count = Arc::new(AtomicUsize::new(0));
        let stack = ServiceBuilder::new()
            .dead_letter(DeadLetter::to(publisher.clone()))
            .retry_with(Backoff::constant(HOUR))
            .filter(
                move |record: ProducerRecord| match count.fetch_add(1, Ordering::Relaxed) % 3 {
                    0 => Err(BoxError::from(PublishError::new(
                        ErrorClass::Retriable,
                        Persistence::NotPersisted,
                        "not now",
                    ))),
                    _ => Ok(record),
                },
            )
            .service(publisher);
        let queue = stack.queue(1000);
        push(&queue, 0..100).await;
        let flushed = queue.close(SECOND).await;
        let failed = failed(&flushed);
        assert_eq!((flushed.delivered, failed.len()), (0, 0), "{failed:?}");
        let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(numbers(&flushed.undelivered), expected);
    });
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_outermost_layer_gets_its_record_back() {
    let stack = ServiceBuilder::new()
        .timeout(SECOND)
        .service(service_fn(|_: ProducerRecord| pending::<Published>()));
    for stack in [stack.clone().erased(), stack.erased().erased()] {
        let error = stack.send(numbered(7)).await.unwrap_err();
        assert_eq!(numbers(error.record()), ["7"]);
        assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    }
}

#[tokio::test]
async fn a_stack_without_a_name_is_a_field_of_a_state() {
    #[derive(Clone)]
    struct App {
        orders: BoxPublisher,
    }
    let fake = Fake::new([delivered(), refused(ErrorClass::Fatal)]);
    let stack = ServiceBuilder::new()
        .message_id()
        .map_future(|answer: Ready<Published>| ready(answer.into_inner()))
        .service(fake.handle());
    let app = App {
        orders: stack.erased(),
    };
    let sent = app.clone().orders.send(numbered(0)).await;
    assert_eq!(sent.unwrap().topic.as_ref(), "orders");
    let error = app.orders.clone().oneshot(numbered(1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal);
    fake.end();
    let error = app.orders.send(numbered(2)).await.unwrap_err();
    assert_eq!(numbers(error.record()), ["2"]);
}
