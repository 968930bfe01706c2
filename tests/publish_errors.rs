//! The publisher when things go wrong: every failure gives its record back, says what it means,
//! and nothing hangs, is lost silently or takes more room than was allowed.

mod support;

use std::{
    collections::BTreeSet,
    io,
    pin::pin,
    sync::{Arc, Condvar, Mutex, Once},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all, poll};
use kafka_tower::{
    DeliveryFuture, ErrorClass, Persistence, ProducerRecord, ProducerSettings, PublishError,
    PublishExt, Publisher,
    testing::{EmbeddedKafka, Request, TestKafka},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::RDKafkaRespErr,
};
use support::{has_room, log, run};
use tower::{Service, ServiceExt};

use ErrorClass::{Fatal, NonRetriable, Retriable};
use Persistence::{NotPersisted, PossiblyPersisted};

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);
/// So long that only a flush sends what lingers.
const FOR_EVER: Duration = Duration::from_secs(100);

const MESSAGE_SIZE_TOO_LARGE: i32 = 10;
const INVALID_ARGUMENT: i32 = -186;
const MESSAGE_TIMED_OUT: i32 = -192;
const UNKNOWN_PARTITION: i32 = -190;
const PURGE_QUEUE: i32 = -152;
const PURGE_INFLIGHT: i32 = -151;

async fn embedded() -> EmbeddedKafka {
    let kafka = EmbeddedKafka::start().await.expect("a cluster");
    kafka.create_topic("orders", 1).expect("a topic");
    // Its own publisher has an identity now, and takes no injected failure away from a test.
    let record = ProducerRecord::to("first");
    kafka.publisher().send(record).await.expect("a delivery");
    kafka
}

/// Comes back quickly to a broker that was down.
fn settings(brokers: &str) -> ProducerSettings {
    ProducerSettings::high_reliability(brokers)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "200")
}

/// Without a header of their own, records go to librdkafka in batches.
fn plain(brokers: &str) -> ProducerSettings {
    settings(brokers).without_message_id_header()
}

fn new(settings: ProducerSettings) -> Publisher {
    Publisher::new(settings).expect("good settings")
}

fn order(payload: &str) -> ProducerRecord {
    ProducerRecord::to("orders").payload(payload)
}

/// Reserves room and calls, without waiting for the delivery.
async fn publish(publisher: &mut Publisher, record: ProducerRecord) -> DeliveryFuture {
    publisher.ready().await.expect("open").call(record)
}

fn payload(record: &ProducerRecord) -> &str {
    std::str::from_utf8(record.payload.as_deref().unwrap_or_default()).expect("text")
}

fn payloads(records: &[ProducerRecord]) -> BTreeSet<&str> {
    records.iter().map(payload).collect()
}

/// What failed, and the record of it, with its id.
fn assert_failed(
    error: &PublishError,
    code: i32,
    class: ErrorClass,
    persistence: Persistence,
    sent: &str,
) {
    assert_eq!(error.code(), Some(code), "{error}");
    assert_eq!(error.class(), class, "{error}");
    assert_eq!(error.persistence(), persistence, "{error}");
    let record = error.record().expect("the record comes back");
    assert_eq!(payload(record), sent);
    assert!(record.message_id.is_some(), "{error}");
}

fn assert_no_control(error: &PublishError) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}

// ---- Records that can't be published ----

#[test]
fn a_record_over_the_clients_limit_is_refused_by_itself_and_frees_its_room() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let topic = kafka.unique_topic("limit", 1).await.unwrap();
        let settings = plain(kafka.bootstrap_servers())
            .max_record_bytes(5000)
            .max_in_flight_records(3);
        let mut publisher = new(settings);
        // librdkafka counts 36 bytes for the record's frame.
        let sizes = [5000 - 36, 5001 - 36, 1];
        let [fits, too_large, small] = sizes.map(|size| "x".repeat(size));
        let mut futures = Vec::new();
        for payload in [&fits, &too_large, &small] {
            let record = ProducerRecord::to(&*topic).payload(payload);
            futures.push(publish(&mut publisher, record).await);
        }
        let [first, second, third] = join_all(futures).await.try_into().unwrap();
        assert_eq!(first.unwrap().offset, Some(0));
        let error = second.unwrap_err();
        assert_failed(
            &error,
            MESSAGE_SIZE_TOO_LARGE,
            NonRetriable,
            NotPersisted,
            &too_large,
        );
        assert!(error.to_string().contains("`max_record_bytes`"), "{error}");
        assert_eq!(third.unwrap().offset, Some(1));
        for clone in &mut [publisher.clone(), publisher.clone(), publisher.clone()] {
            clone.ready().await.unwrap();
        }
        assert_eq!(log(kafka.bootstrap_servers(), &topic).await.len(), 2);
    });
}

#[test]
fn a_record_over_the_clients_limit_is_refused_without_a_broker() {
    run(async {
        for settings in [settings("127.0.0.1:1"), plain("127.0.0.1:1")] {
            let publisher = new(settings.max_record_bytes(1000));
            let payload = "x".repeat(1001);
            let error = publisher.send(order(&payload)).await.unwrap_err();
            assert_failed(
                &error,
                MESSAGE_SIZE_TOO_LARGE,
                NonRetriable,
                NotPersisted,
                &payload,
            );
            // A batch of nothing else.
            let mut publisher = publisher.clone();
            drop(publish(&mut publisher, order(&payload)).await);
            let flushed = publisher.flush(LONG).await;
            assert!(flushed.undelivered.is_empty());
        }
    });
}

#[test]
fn a_failed_record_has_an_id_and_the_same_wherever_it_is_handed_back() {
    run(async {
        for settings in [settings("127.0.0.1:1"), plain("127.0.0.1:1")] {
            let mut publisher = new(settings.delivery_timeout(Duration::from_millis(500)));
            let refused = publisher.send(order("a").partition(-1)).await.unwrap_err();
            assert!(
                refused.record().unwrap().message_id.is_some(),
                "{refused:?}"
            );
            let future = publish(&mut publisher, order("a")).await;
            let flushed = publisher.flush(LONG).await;
            let [failed] = &flushed.failed[..] else {
                panic!("one failure: {flushed:?}");
            };
            let awaited = future.await.unwrap_err();
            let id = |error: &PublishError| error.record().unwrap().message_id.clone().unwrap();
            assert_eq!(id(failed), id(&awaited));
        }
    });
}

#[test]
fn a_record_over_the_topics_limit_fails_and_the_next_one_is_delivered() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let topic = format!("small-{}", uuid::Uuid::now_v7().simple());
        if let Some(embedded) = kafka.embedded() {
            embedded.create_topic(&topic, 1).unwrap();
            embedded.fail_next(Request::Produce, 1, MESSAGE_SIZE_TOO_LARGE);
        } else {
            create_small_topic(kafka.bootstrap_servers(), &topic).await;
        }
        let publisher = new(settings(kafka.bootstrap_servers()));
        let large = "x".repeat(2000);
        let record = ProducerRecord::to(&*topic).payload(&large);
        let error = publisher.send(record).await.unwrap_err();
        assert_failed(
            &error,
            MESSAGE_SIZE_TOO_LARGE,
            NonRetriable,
            NotPersisted,
            &large,
        );
        assert!(error.to_string().contains("`max.message.bytes`"), "{error}");
        let record = ProducerRecord::to(&*topic).payload("small");
        assert_eq!(publisher.send(record).await.unwrap().offset, Some(0));
    });
}

async fn create_small_topic(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let topic =
        NewTopic::new(topic, 1, TopicReplication::Fixed(-1)).set("max.message.bytes", "1000");
    let results = admin.create_topics([&topic], &AdminOptions::new()).await;
    assert!(results.unwrap()[0].is_ok());
}

#[test]
fn a_partition_that_does_not_exist_is_the_records_fault() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let topic = kafka.unique_topic("partitions", 2).await.unwrap();
        let publisher = new(settings(kafka.bootstrap_servers()));
        // The first when nothing is known of the topic yet, the second afterwards.
        for partition in [2, i32::MAX] {
            let record = ProducerRecord::to(&*topic)
                .payload("a")
                .partition(partition);
            let error = publisher.send(record).await.unwrap_err();
            assert_failed(&error, UNKNOWN_PARTITION, NonRetriable, NotPersisted, "a");
            assert!(error.to_string().contains("no such partition"), "{error}");
        }
        let record = ProducerRecord::to(&*topic).partition(1);
        publisher.send(record).await.unwrap();
    });
}

#[test]
fn negative_partitions_and_timestamps_before_1_are_refused_at_once() {
    run(async {
        let mut publisher = new(settings("127.0.0.1:1").max_in_flight_records(1));
        let wrong = [
            (order("a").partition(-1), "the partition is -1;"),
            (
                order("a").partition(i32::MIN),
                "the partition is -2147483648;",
            ),
            (order("a").timestamp(0), "the timestamp is 0;"),
            (order("a").timestamp(-1), "the timestamp is -1;"),
            (
                order("a").timestamp(i64::MIN),
                "the timestamp is -9223372036854775808;",
            ),
        ];
        for (record, words) in wrong {
            let future = publish(&mut publisher, record).await;
            let error = future.now_or_never().expect("at once").unwrap_err();
            assert_failed(&error, INVALID_ARGUMENT, NonRetriable, NotPersisted, "a");
            assert!(error.to_string().contains(words), "{error}");
        }
    });
}

#[test]
fn illegal_topic_names_are_refused_with_the_rule() {
    run(async {
        let mut publisher = new(settings("127.0.0.1:1").max_in_flight_records(1));
        let long = "a".repeat(250);
        for name in [
            "",
            ".",
            "..",
            &long,
            "\0",
            "a\0b",
            "a\r\nb",
            "a\x1b[2Jb",
            "a b",
            "a/b",
            "größe",
            "🦀",
            "a\u{202e}b",
            "a\u{9b}b",
        ] {
            let record = ProducerRecord::to(name).payload("a");
            let future = publish(&mut publisher, record).await;
            let error = future.now_or_never().expect("at once").unwrap_err();
            assert_failed(&error, INVALID_ARGUMENT, NonRetriable, NotPersisted, "a");
            assert_eq!(&*error.record().unwrap().topic, name);
            assert!(error.to_string().contains("1 to 249 characters"), "{error}");
            assert_no_control(&error);
        }
    });
}

#[test]
fn a_timestamp_that_the_broker_refuses_is_the_records_fault() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let topic = kafka.unique_topic("future", 1).await.unwrap();
        if let Some(embedded) = kafka.embedded() {
            embedded.fail_next(Request::Produce, 1, 32);
        }
        let publisher = new(settings(kafka.bootstrap_servers()));
        let record = ProducerRecord::to(&*topic).payload("a").timestamp(i64::MAX);
        let error = publisher.send(record).await.unwrap_err();
        assert_failed(&error, 32, NonRetriable, NotPersisted, "a");
        let record = ProducerRecord::to(&*topic).payload("b");
        publisher.send(record).await.unwrap();
    });
}

#[test]
fn a_topic_that_does_not_exist_is_said_when_it_may_have_come_into_being() {
    run(async {
        let mock = MockCluster::new(1).unwrap();
        let absent = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        mock.topic_error("absent", absent).unwrap();
        let real = TestKafka::from_env().await.unwrap();
        let brokers = match real.embedded() {
            Some(_) => mock.bootstrap_servers(),
            None => real.bootstrap_servers().to_owned(),
        };
        let settings = settings(&brokers).set("topic.metadata.propagation.max.ms", "1000");
        let record = ProducerRecord::to("absent").payload("a");
        let error = new(settings).send(record).await.unwrap_err();
        assert_failed(&error, error.code().unwrap(), Fatal, NotPersisted, "a");
        assert!(matches!(error.code(), Some(3 | -188)), "{error}");
        assert!(
            error.to_string().contains("the topic doesn't exist"),
            "{error}"
        );
    });
}

// ---- Brokers that refuse, or can't be reached ----

#[test]
fn unreachable_brokers_show_at_the_delivery_timeout() {
    run(async {
        let settings = plain("127.0.0.1:1").delivery_timeout(Duration::from_secs(3));
        let publisher = new(settings);
        let error = publisher.send(order("a")).await.unwrap_err();
        assert_failed(&error, MESSAGE_TIMED_OUT, Retriable, NotPersisted, "a");
        for word in ["`bootstrap.servers`", "Connection refused"] {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        let id = error.record().unwrap().message_id.clone();
        let again = publisher
            .send(error.into_record().unwrap())
            .await
            .unwrap_err();
        assert_eq!(
            again.record().unwrap().message_id,
            id,
            "the same at the next attempt"
        );
    });
}

#[test]
fn what_a_broker_refuses_for_good_fails_at_once() {
    run(async {
        // Authorisation; an invalid record; a policy; a version that can't be written.
        for (code, class) in [
            (29, Fatal),
            (87, NonRetriable),
            (44, NonRetriable),
            (43, Fatal),
        ] {
            let kafka = embedded().await;
            let publisher = new(settings(kafka.bootstrap_servers()));
            kafka.fail_next(Request::Produce, 1, code);
            let error = publisher.send(order("a")).await.unwrap_err();
            assert_failed(&error, code, class, NotPersisted, "a");
            let next = publisher.send(order("b")).await;
            if code == 29 {
                // Until librdkafka asks for the topic anew, it refuses all of its records.
                assert_failed(&next.unwrap_err(), code, class, NotPersisted, "b");
            } else {
                assert_eq!(next.unwrap().offset, Some(0), "after code {code}");
            }
        }
    });
}

#[test]
fn a_code_that_librdkafka_does_not_know_is_passed_on() {
    run(async {
        let kafka = embedded().await;
        let publisher = new(settings(kafka.bootstrap_servers()));
        kafka.fail_next(Request::Produce, 1, 12345);
        let error = publisher.send(order("a")).await.unwrap_err();
        assert_eq!(error.code(), Some(12345), "{error}");
        assert_eq!(payload(error.record().unwrap()), "a");
        assert!(error.to_string().contains("12345"), "{error}");
    });
}

#[test]
fn passing_failures_are_retried_inside_and_delivered_once() {
    run(async {
        let kafka = embedded().await;
        let publisher = new(plain(kafka.bootstrap_servers()).set("retry.backoff.ms", "10"));
        // No leader here; a broken connection; too few replicas; timed out; storage.
        for (code, offset) in [6, -195, 19, 7, 56].into_iter().zip(0..) {
            kafka.fail_next(Request::Produce, 3, code);
            let delivery = publisher.send(order("a")).await.unwrap();
            assert_eq!(delivery.offset, Some(offset), "code {code}");
            assert_eq!(delivery.attempts, 1);
        }
        assert_eq!(log(kafka.bootstrap_servers(), "orders").await.len(), 5);
    });
}

#[test]
fn an_identity_that_is_refused_for_good_ends_the_publisher() {
    run(async {
        let kafka = embedded().await;
        kafka.fail_next(Request::InitProducerId, 1, 31);
        let publisher = new(settings(kafka.bootstrap_servers()));
        for sent in ["a", "b"] {
            let error = publisher.send(order(sent)).await.unwrap_err();
            assert_failed(&error, 31, Fatal, NotPersisted, sent);
            assert!(error.to_string().contains("IDEMPOTENT_WRITE"), "{error}");
        }
        assert!(publisher.close(LONG).await.undelivered.is_empty());
    });
}

#[test]
fn an_identity_that_is_refused_for_now_is_asked_for_again() {
    run(async {
        let kafka = embedded().await;
        for code in [14, 15, -195] {
            kafka.fail_next(Request::InitProducerId, 2, code);
            let publisher = new(settings(kafka.bootstrap_servers()));
            publisher.send(order("a")).await.unwrap();
        }
        assert_eq!(log(kafka.bootstrap_servers(), "orders").await.len(), 3);
    });
}

// ---- Room ----

/// A publisher that is known to the broker, which is then cut off.
async fn stalled(kafka: &EmbeddedKafka, settings: ProducerSettings) -> Publisher {
    let publisher = new(settings);
    publisher.send(order("before")).await.expect("a delivery");
    // A delivery's room is free just after its future has ended.
    assert_eq!(publisher.flush(LONG).await.undelivered.len(), 0);
    kafka.broker_down(1).expect("the broker");
    publisher
}

#[test]
fn the_limit_on_records_is_kept_until_the_report_whatever_becomes_of_the_future() {
    run(async {
        let kafka = embedded().await;
        let settings = plain(kafka.bootstrap_servers()).max_in_flight_records(2);
        let mut publisher = stalled(&kafka, settings).await;
        let mut clone = publisher.clone();
        let first = publish(&mut publisher, order("a")).await;
        assert!(has_room(&mut publisher));
        assert!(!has_room(&mut clone), "the room is reserved");
        drop(publisher.call(order("b")));
        assert!(!has_room(&mut clone), "a dropped future frees nothing");
        kafka.broker_up(1).unwrap();
        first.await.unwrap();
        clone.ready().await.unwrap();
        assert!(publisher.flush(LONG).await.undelivered.is_empty());
        assert!(has_room(&mut publisher));
        assert_eq!(log(kafka.bootstrap_servers(), "orders").await.len(), 3);
    });
}

#[test]
fn a_clone_that_is_dropped_gives_its_reserved_room_back() {
    run(async {
        let mut publisher = new(settings("127.0.0.1:1").max_in_flight_records(1));
        let mut clone = publisher.clone();
        assert!(has_room(&mut clone));
        assert!(has_room(&mut clone), "asking again takes no more");
        assert!(!has_room(&mut publisher));
        drop(clone);
        assert!(has_room(&mut publisher));
    });
}

#[test]
fn the_limit_on_bytes_shuts_the_gate_until_the_report() {
    run(async {
        let kafka = embedded().await;
        let settings = plain(kafka.bootstrap_servers()).max_in_flight_bytes(100);
        let mut publisher = stalled(&kafka, settings).await;
        let mut clone = publisher.clone();
        let small = publish(&mut publisher, order(&"x".repeat(99))).await;
        assert!(has_room(&mut clone), "one byte is left");
        let large = publish(&mut publisher, order(&"x".repeat(1000))).await;
        assert!(!has_room(&mut clone));
        drop((small, large));
        assert!(!has_room(&mut clone), "dropped futures free nothing");
        let waits = tokio::spawn(async move { clone.ready().await.map(|_| ()) });
        kafka.broker_up(1).unwrap();
        waits.await.unwrap().unwrap();
    });
}

#[test]
fn a_record_that_is_refused_frees_its_bytes() {
    run(async {
        let mut publisher = new(settings("127.0.0.1:1").max_in_flight_bytes(100));
        for _ in 0..3 {
            let record = order(&"x".repeat(1000)).partition(-1);
            assert!(publish(&mut publisher, record).await.await.is_err());
        }
        assert!(has_room(&mut publisher));
    });
}

/// librdkafka's own queue would be full at 100 000.
#[test]
fn no_number_of_records_is_ever_refused_for_a_full_queue() {
    run(async {
        const RECORDS: usize = 110_000;
        let settings = plain("127.0.0.1:1").max_in_flight_records(RECORDS);
        let mut publisher = new(settings);
        let record = order("a");
        let mut futures = Vec::with_capacity(RECORDS);
        for _ in 0..RECORDS {
            assert!(has_room(&mut publisher));
            futures.push(publisher.call(record.clone()));
        }
        assert!(!has_room(&mut publisher));
        assert!(
            futures
                .iter_mut()
                .all(|future| future.now_or_never().is_none())
        );
        let closed = publisher.close(Duration::ZERO).await;
        assert_eq!(closed.undelivered.len(), RECORDS);
        for result in join_all(futures).await {
            assert_eq!(result.unwrap_err().code(), Some(PURGE_QUEUE));
        }
    });
}

// ---- Flush ----

#[test]
fn a_flush_hands_back_at_its_deadline_what_is_still_on_its_way() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = stalled(&kafka, plain(kafka.bootstrap_servers())).await;
        let first = publish(&mut publisher, order("a")).await;
        drop(publish(&mut publisher, order("b")).await);
        for round in ["first", "second"] {
            let flushed = publisher.flush(SOON).await;
            assert_eq!(
                payloads(&flushed.undelivered),
                BTreeSet::from(["a", "b"]),
                "{round} flush"
            );
            assert_eq!((flushed.delivered, flushed.failed.len()), (0, 0));
        }
        kafka.broker_up(1).unwrap();
        let flushed = publisher.flush(LONG).await;
        assert!(flushed.undelivered.is_empty());
        first.await.unwrap();
        assert_eq!(log(kafka.bootstrap_servers(), "orders").await.len(), 3);
    });
}

#[test]
fn a_flush_waits_also_for_what_an_earlier_one_left_on_its_way() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = stalled(&kafka, settings(kafka.bootstrap_servers())).await;
        let mut first = publish(&mut publisher, order("a")).await;
        assert_eq!(publisher.flush(SOON).await.undelivered.len(), 1);
        let mut flush = pin!(publisher.flush(LONG));
        tokio::select! {
            flushed = &mut flush => panic!("it waited for nothing: {flushed:?}"),
            () = tokio::time::sleep(SOON) => {}
        }
        kafka.broker_up(1).unwrap();
        assert!(flush.await.undelivered.is_empty());
        assert!(poll!(&mut first).is_ready());
    });
}

/// Three brokers, each the leader of one topic.
fn three_brokers() -> MockCluster<'static, DefaultProducerContext> {
    let mock = MockCluster::new(3).unwrap();
    for (topic, broker) in [("one", 1), ("two", 2), ("three", 3)] {
        mock.create_topic(topic, 1, 3).unwrap();
        mock.partition_leader(topic, 0, Some(broker)).unwrap();
    }
    mock
}

#[test]
fn what_is_published_after_a_flush_began_does_not_extend_it() {
    run(async {
        let mock = three_brokers();
        let mut publisher = new(settings(&mock.bootstrap_servers()).linger(FOR_EVER));
        mock.broker_down(2).unwrap();
        mock.broker_down(3).unwrap();
        let to = |topic| ProducerRecord::to(topic).payload(topic);
        let one = publish(&mut publisher, to("one")).await;
        let two = publish(&mut publisher, to("two")).await;
        let flushing = publisher.clone();
        let mut flush = pin!(flushing.flush(LONG));
        assert!(poll!(&mut flush).is_pending());
        // It lingers no longer: the flush has begun.
        one.await.unwrap();
        let mut three = publish(&mut publisher, to("three")).await;
        mock.broker_up(2).unwrap();
        let flushed = flush.await;
        assert_eq!((flushed.undelivered.len(), flushed.failed.len()), (0, 0));
        two.await.unwrap();
        assert!(poll!(&mut three).is_pending());
        mock.broker_up(3).unwrap();
        assert!(publisher.flush(LONG).await.undelivered.is_empty());
    });
}

#[test]
fn a_flush_names_the_deliveries_that_failed_meanwhile() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = new(plain(kafka.bootstrap_servers()).linger(FOR_EVER));
        kafka.fail_next(Request::Produce, 1, 87);
        let awaited = publish(&mut publisher, order("a")).await;
        drop(publish(&mut publisher, order("b")).await);
        let flushed = publisher.flush(LONG).await;
        assert_eq!(flushed.delivered, 0);
        let failed: Vec<_> = flushed
            .failed
            .iter()
            .map(|error| error.record().unwrap())
            .collect();
        assert_eq!(
            failed.into_iter().map(payload).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(awaited.await.unwrap_err().code(), Some(87));
    });
}

#[test]
fn a_long_flush_does_not_hold_up_a_short_close() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = stalled(&kafka, plain(kafka.bootstrap_servers())).await;
        drop(publish(&mut publisher, order("a")).await);
        let flushing = publisher.clone();
        let mut flush = pin!(flushing.flush(FOR_EVER));
        assert!(poll!(&mut flush).is_pending());
        let flushed = publisher.flush(SOON).await;
        assert_eq!(payloads(&flushed.undelivered), BTreeSet::from(["a"]));
        let closed = publisher.close(SOON).await;
        assert_eq!(payloads(&closed.undelivered), BTreeSet::from(["a"]));
        let flushed = flush.await;
        assert_eq!(flushed.failed.len() + flushed.undelivered.len(), 1);
    });
}

#[test]
fn a_flush_whose_future_was_dropped_holds_up_nothing() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = stalled(&kafka, settings(kafka.bootstrap_servers())).await;
        drop(publish(&mut publisher, order("a")).await);
        assert!(publisher.flush(FOR_EVER).now_or_never().is_none());
        let closed = publisher.close(SOON).await;
        assert_eq!(payloads(&closed.undelivered), BTreeSet::from(["a"]));
    });
}

// ---- Close and drop ----

#[test]
fn a_close_gives_up_at_its_deadline_and_every_record_comes_back() {
    run(async {
        let kafka = embedded().await;
        let settings = plain(kafka.bootstrap_servers()).max_in_flight_records(2);
        let mut publisher = stalled(&kafka, settings).await;
        let awaited = publish(&mut publisher, order("a")).await;
        drop(publish(&mut publisher, order("b")).await);
        let waiting = publisher.clone();
        let mut waits_for_room = pin!(waiting.send(order("c")));
        assert!(poll!(&mut waits_for_room).is_pending());

        let closed = publisher.close(SOON).await;
        assert_eq!(payloads(&closed.undelivered), BTreeSet::from(["a", "b"]));
        assert_eq!((closed.delivered, closed.failed.len()), (0, 0));
        let error = awaited.await.unwrap_err();
        assert_failed(&error, PURGE_QUEUE, Retriable, NotPersisted, "a");
        assert!(error.to_string().contains("given up"), "{error}");
        let error = waits_for_room.await.unwrap_err();
        assert_eq!((error.class(), error.code()), (Fatal, None));
        assert_eq!(payload(error.record().unwrap()), "c");

        kafka.broker_up(1).unwrap();
        let again = publisher.close(SOON).await;
        assert!(again.undelivered.is_empty() && again.failed.is_empty());
        assert_eq!(log(kafka.bootstrap_servers(), "orders").await.len(), 1);
    });
}

#[test]
fn what_is_given_up_after_it_was_sent_may_have_been_written() {
    run(async {
        let mock = MockCluster::new(1).unwrap();
        let mut publisher = new(plain(&mock.bootstrap_servers()).linger(Duration::ZERO));
        publisher.send(order("before")).await.unwrap();
        mock.broker_round_trip_time(1, FOR_EVER).unwrap();
        let future = publish(&mut publisher, order("a")).await;
        let closed = publisher.close(Duration::from_secs(5)).await;
        assert_eq!(payloads(&closed.undelivered), BTreeSet::from(["a"]));
        let error = future.await.unwrap_err();
        assert_failed(&error, PURGE_INFLIGHT, Retriable, PossiblyPersisted, "a");
        assert!(error.to_string().contains("may duplicate"), "{error}");
    });
}

#[test]
fn concurrent_closes_all_end_and_hand_every_record_back() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = stalled(&kafka, settings(kafka.bootstrap_servers())).await;
        drop(publish(&mut publisher, order("a")).await);
        let closed = join_all((0..3).map(|_| publisher.close(SOON))).await;
        let undelivered = closed.iter().flat_map(|closed| &closed.undelivered);
        assert_eq!(undelivered.map(payload).next(), Some("a"));
    });
}

#[test]
fn what_was_lost_with_a_dropped_publisher_is_logged() {
    run(async {
        let captured = Captured::start();
        let settings = plain("127.0.0.1:1").delivery_timeout(Duration::from_millis(500));
        let mut publisher = new(settings);
        for _ in 0..17 {
            drop(publish(&mut publisher, order("hunter2")).await);
        }
        drop(publisher);
        captured
            .wait_for(&["ERROR", "records were lost", "records=17"])
            .await;
        assert!(!Captured::text().contains("hunter2"));
    });
}

#[test]
fn a_failure_that_nobody_waits_for_is_logged() {
    run(async {
        let captured = Captured::start();
        let kafka = embedded().await;
        kafka.create_topic("nobody-waits", 1).unwrap();
        let mut publisher = new(plain(kafka.bootstrap_servers()));
        kafka.fail_next(Request::Produce, 1, 87);
        let record = ProducerRecord::to("nobody-waits")
            .key("hunter2")
            .payload("hunter2");
        drop(publish(&mut publisher, record).await);
        captured
            .wait_for(&["ERROR", "lost", "futures had been dropped", "nobody-waits"])
            .await;
        assert!(!Captured::text().contains("hunter2"));
    });
}

/// What this process logs.
#[derive(Clone, Copy)]
struct Captured;

static TEXT: Mutex<String> = Mutex::new(String::new());
static GREW: Condvar = Condvar::new();

impl Captured {
    fn start() -> Self {
        static START: Once = Once::new();
        START.call_once(|| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(|| Self)
                .init();
        });
        Self
    }

    fn text() -> String {
        TEXT.lock().expect("the log").clone()
    }

    /// Waits for a line with all of these words.
    async fn wait_for(self, words: &'static [&'static str]) {
        let has_come = move |text: &mut String| {
            let mut lines = text.lines();
            lines.any(|line| words.iter().all(|word| line.contains(word)))
        };
        let wait = tokio::task::spawn_blocking(move || {
            let text = TEXT.lock().expect("the log");
            let (text, result) = GREW
                .wait_timeout_while(text, LONG, |text| !has_come(text))
                .expect("the log");
            assert!(!result.timed_out(), "no {words:?} in:\n{text}");
        });
        wait.await.expect("it was logged");
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TEXT.lock()
            .expect("the log")
            .push_str(&String::from_utf8_lossy(bytes));
        GREW.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// ---- The caller's code on our threads ----

struct PanicsWhenWoken;

impl std::task::Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[derive(Clone)]
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a value that panics");
        }
    }
}

#[test]
fn a_panic_in_a_waker_or_in_a_dropped_value_harms_no_other_record() {
    run(async {
        let kafka = embedded().await;
        let mut publisher = new(plain(kafka.bootstrap_servers()));
        let mut woken = publish(&mut publisher, order("a")).await;
        let waker = std::task::Waker::from(Arc::new(PanicsWhenWoken));
        let mut context = std::task::Context::from_waker(&waker);
        let _ = std::pin::Pin::new(&mut woken).poll(&mut context);
        let dropped = order("b").extension(Arc::new(PanicsWhenDropped));
        drop(publish(&mut publisher, dropped).await);
        publisher.send(order("c")).await.unwrap();
        woken.await.unwrap();
        assert!(publisher.close(LONG).await.undelivered.is_empty());
        assert_eq!(log(kafka.bootstrap_servers(), "orders").await.len(), 3);
    });
}

#[test]
fn a_close_ends_the_waiting_for_room() {
    run(async {
        let kafka = embedded().await;
        let settings = plain(kafka.bootstrap_servers()).max_in_flight_records(1);
        let mut holder = new(settings);
        holder.ready().await.unwrap();
        let waiting = holder.clone();
        let mut send = pin!(waiting.send(order("a")));
        assert!(poll!(&mut send).is_pending());
        let _ = holder.close(LONG).await;
        let error = send.await.unwrap_err();
        assert_eq!(error.class(), Fatal);
        assert_eq!(payload(error.record().unwrap()), "a");
    });
}

#[test]
fn a_close_ends_the_waiting_for_bytes() {
    run(async {
        let settings = plain("127.0.0.1:1").max_in_flight_bytes(1);
        let mut publisher = new(settings.delivery_timeout(Duration::from_secs(60)));
        let first = publish(&mut publisher, order("a")).await;
        let waiting = publisher.clone();
        let mut send = pin!(waiting.send(order("b")));
        assert!(poll!(&mut send).is_pending());
        let mut close = pin!(publisher.close(SOON));
        assert!(poll!(&mut close).is_pending());
        assert_eq!(send.await.unwrap_err().class(), Fatal);
        assert_eq!(payloads(&close.await.undelivered), BTreeSet::from(["a"]));
        first.await.unwrap_err();
    });
}

#[test]
fn a_flush_that_is_heard_hides_no_loss_of_one_that_is_not() {
    run(async {
        let captured = Captured::start();
        let settings = plain("127.0.0.1:1").delivery_timeout(Duration::from_secs(6));
        let mut publisher = new(settings);
        let lost = ProducerRecord::to("hidden-by-a-flush");
        drop(publish(&mut publisher, lost).await);
        let with_it = publish(&mut publisher, order("a")).await;
        let early = publisher.flush(Duration::from_secs(3)).await;
        assert_eq!(early.undelivered.len(), 2);
        // It outlives the others by those seconds, and with it the flush that waits for it.
        let later = publish(&mut publisher, order("b")).await;
        let flushing = publisher.clone();
        let mut unheard = Box::pin(flushing.flush(FOR_EVER));
        assert!(poll!(&mut unheard).is_pending());
        with_it.await.unwrap_err();
        assert!(publisher.flush(Duration::ZERO).await.failed.is_empty());
        drop(unheard);
        captured
            .wait_for(&["records were lost", "hidden-by-a-flush"])
            .await;
        later.await.unwrap_err();
    });
}

#[test]
fn a_header_key_with_a_nul_is_refused() {
    run(async {
        let publisher = new(plain("127.0.0.1:1"));
        let error = publisher.send(order("a").header(b"a\0b", "c")).await;
        let error = error.unwrap_err();
        assert_eq!(error.class(), NonRetriable);
        assert!(error.to_string().contains(r"`a\x00b` has a NUL"), "{error}");
    });
}
