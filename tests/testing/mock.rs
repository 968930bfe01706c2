//! The publisher that records and fails on order.

use std::time::Duration;

use futures_util::{FutureExt, future::join};
use kafka_tower::{
    Backoff, ConsumerRecord, ErrorClass, MessageId, Outcome, Persistence, ProducerRecord,
    PublishExt,
    layers::{DeadLetter, RetryLayer},
    testing::MockPublisher,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::bed::soon;

const SECOND: Duration = Duration::from_secs(1);

fn order(payload: &str) -> ProducerRecord {
    ProducerRecord::to("orders").payload(payload)
}

fn payloads(records: &[ProducerRecord]) -> Vec<&[u8]> {
    let payloads = records.iter().map(|record| record.payload.as_deref());
    payloads.map(Option::unwrap_or_default).collect()
}

#[tokio::test]
async fn it_delivers_to_partitions_whose_offsets_count_up() {
    let publisher = MockPublisher::new();
    let mut places = Vec::new();
    for record in [
        order("1"),
        order("2").partition(3),
        order("3"),
        ProducerRecord::to("others"),
    ] {
        let delivery = publisher.send(record).await.unwrap();
        places.push((delivery.topic, delivery.partition, delivery.offset));
    }
    let expected = [
        ("orders", 0, 0),
        ("orders", 3, 0),
        ("orders", 0, 1),
        ("others", 0, 0),
    ];
    let expected =
        expected.map(|(topic, partition, offset)| (topic.into(), partition, Some(offset)));
    assert_eq!(places, expected);
    let record = order("4").timestamp(5).message_id(MessageId::from("mine"));
    let delivery = publisher.send(record).await.unwrap();
    assert_eq!(delivery.message_id, MessageId::from("mine"));
    assert_eq!((delivery.timestamp, delivery.attempts), (Some(5), 1));
}

#[tokio::test]
async fn it_shows_and_gives_what_it_was_called_with() {
    let publisher = MockPublisher::new();
    publisher.fail_next(1, ErrorClass::Fatal, Persistence::NotPersisted);
    publisher.send(order("1")).await.unwrap_err();
    publisher.send(order("2")).await.unwrap();
    publisher.send(ProducerRecord::to("others")).await.unwrap();
    assert_eq!(publisher.records().len(), 3);
    assert_eq!(payloads(&publisher.records_of("orders")), [b"1", b"2"]);
    assert_eq!(payloads(&publisher.written("orders")), [b"2"]);
    assert_eq!(publisher.take().len(), 3);
    assert!(publisher.records().is_empty() && publisher.written("orders").is_empty());
    let delivery = publisher.send(order("3")).await.unwrap();
    assert_eq!(delivery.offset, Some(1));
    let written = &publisher.written("orders")[0];
    assert_eq!(written.message_id.as_ref(), Some(&delivery.message_id));
    let shown = format!("{publisher:?}");
    assert!(shown.contains("records: 1"), "{shown}");
}

#[tokio::test]
async fn it_fails_on_order_and_gives_the_record_back() {
    let publisher = MockPublisher::new();
    publisher.fail_when(
        |record| record.payload.as_deref() == Some(b"bad"),
        ErrorClass::NonRetriable,
        Persistence::NotPersisted,
    );
    publisher.fail_next(1, ErrorClass::Retriable, Persistence::PossiblyPersisted);
    publisher.fail_next(1, ErrorClass::Unavailable, Persistence::NotPersisted);
    let mut seen = Vec::new();
    for payload in ["good", "bad", "good", "bad", "bad"] {
        seen.push(match publisher.send(order(payload)).await {
            Ok(_) => None,
            Err(error) => {
                assert_eq!(
                    error.record().unwrap().payload.as_deref(),
                    Some(payload.as_bytes())
                );
                Some((error.class(), error.persistence()))
            }
        });
    }
    let by_rule = Some((ErrorClass::NonRetriable, Persistence::NotPersisted));
    let expected = [
        Some((ErrorClass::Retriable, Persistence::PossiblyPersisted)),
        Some((ErrorClass::Unavailable, Persistence::NotPersisted)),
        None,
        by_rule,
        by_rule,
    ];
    assert_eq!(seen, expected);
    // Of several rules the first counts.
    let which = |_: &ProducerRecord| true;
    publisher.fail_when(which, ErrorClass::Fatal, Persistence::NotPersisted);
    for (payload, class) in [
        ("bad", ErrorClass::NonRetriable),
        ("good", ErrorClass::Fatal),
    ] {
        let error = publisher.send(order(payload)).await.unwrap_err();
        assert_eq!(error.class(), class);
    }
    publisher.fail_next(1, ErrorClass::Retriable, Persistence::NotPersisted);
    publisher.stop_failing();
    publisher.send(order("bad")).await.unwrap();
}

#[tokio::test]
async fn what_is_held_is_answered_when_it_is_let_go() {
    let publisher = MockPublisher::new();
    publisher.hold();
    let mut first = Box::pin(publisher.send(order("1")));
    let second = publisher.send(order("2"));
    assert!(first.as_mut().now_or_never().is_none());
    assert_eq!(payloads(&publisher.records()), [b"1"]);
    let sent = tokio::spawn(join(first, second));
    let called = soon("both were called", publisher.wait_for(2)).await;
    assert_eq!(payloads(&called), [b"1", b"2"]);
    assert!(!sent.is_finished());
    publisher.release();
    let (first, second) = soon("both are answered", sent).await.unwrap();
    assert_eq!(
        (first.unwrap().offset, second.unwrap().offset),
        (Some(0), Some(1))
    );
    // Nor is what comes after.
    publisher.send(order("3")).now_or_never().unwrap().unwrap();
}

#[tokio::test]
async fn it_is_not_ready_on_order() {
    let publisher = MockPublisher::new();
    publisher.set_ready(false);
    let mut stack = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(publisher.clone());
    assert!(stack.ready().now_or_never().is_none());
    let sent = tokio::spawn(async move { stack.ready().await.unwrap().call(order("1")).await });
    tokio::task::yield_now().await;
    assert!(publisher.records().is_empty());
    publisher.set_ready(true);
    soon("it is ready", sent).await.unwrap().unwrap();
}

#[tokio::test]
#[should_panic(expected = "without being ready")]
async fn a_layer_that_calls_it_unready_is_found_out() {
    drop(MockPublisher::new().call(order("1")));
}

#[tokio::test]
#[should_panic(expected = "without being ready")]
async fn a_clone_has_to_be_polled_ready_itself() {
    let mut publisher = MockPublisher::new();
    let ready = ServiceExt::<ProducerRecord>::ready(&mut publisher).await;
    drop(ready.unwrap().clone().call(order("1")));
}

#[tokio::test]
#[should_panic(expected = "without being ready")]
async fn being_ready_is_good_for_one_call() {
    let mut publisher = MockPublisher::new();
    let ready = publisher.ready().await.unwrap();
    ready.call(order("1")).await.expect("the first");
    drop(ready.call(order("2")));
}

#[tokio::test(start_paused = true)]
async fn it_stands_where_a_publisher_does() {
    let letters = MockPublisher::new();
    letters.fail_next(2, ErrorClass::Retriable, Persistence::NotPersisted);
    let retried = RetryLayer::new(Backoff::exponential(SECOND..=SECOND)).layer(letters.clone());
    let service = ServiceBuilder::new()
        .layer(DeadLetter::to(retried))
        .service(service_fn(async |_: ConsumerRecord| Err::<(), _>("no")));
    let record = ConsumerRecord::builder("orders", 0, 7).key("42").build();
    let outcome = service.oneshot(record).await.unwrap();
    let Outcome::Moved { to } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        (&*to.topic, to.offset, to.attempts),
        ("orders.dlq", Some(0), 3)
    );
    assert_eq!(letters.records().len(), 3);
    assert_eq!(
        letters.written("orders.dlq")[0].key.as_deref(),
        Some(&b"42"[..])
    );
}
