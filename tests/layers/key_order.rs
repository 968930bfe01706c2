//! Equal keys one after the other, others side by side.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use kafka_tower::{
    Delivery, ErrorClass, MessageId, Persistence, ProducerRecord, PublishError,
    layers::{KeyOrderLayer, RetryLayer},
};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::fake::{Fake, Published, delivered, refused};

fn record(key: &str, payload: &str) -> ProducerRecord {
    ProducerRecord::to("orders").key(key).payload(payload)
}

type Log = Arc<Mutex<Vec<String>>>;

/// A publisher in which `slow` takes a second, and `fails` fails at first. It logs what it delivers.
fn publisher(
    log: &Log,
) -> impl Service<ProducerRecord, Response = Delivery, Error = PublishError, Future: Send>
+ Clone
+ Send
+ 'static {
    let log = Arc::clone(log);
    let failed = Arc::new(Mutex::new(false));
    service_fn(move |record: ProducerRecord| {
        let (log, failed) = (Arc::clone(&log), Arc::clone(&failed));
        async move {
            let payload = String::from_utf8(record.payload.clone().unwrap_or_default().into());
            let payload = payload.expect("text");
            if payload == "slow" {
                sleep(Duration::from_secs(1)).await;
            }
            if payload == "fails" && !std::mem::replace(&mut *failed.lock().unwrap(), true) {
                return refused(ErrorClass::Retriable);
            }
            log.lock().unwrap().push(payload);
            Ok(Delivery::new(record.topic, 0, 0, MessageId::new()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_let_the_next_of_its_key_pass() {
    let log = Log::default();
    let mut service = ServiceBuilder::new()
        .layer(KeyOrderLayer::new())
        .layer(RetryLayer::default())
        .service(publisher(&log));
    let mut publishes = Vec::new();
    for (key, payload) in [
        ("a", "fails"),
        ("a", "second"),
        ("b", "other"),
        ("a", "third"),
    ] {
        let service = service.ready().await.unwrap();
        publishes.push(service.call(record(key, payload)));
    }
    let no_key = ProducerRecord::to("orders").payload("no key");
    publishes.push(service.ready().await.unwrap().call(no_key));
    // Whoever is polled first.
    publishes.reverse();
    futures_util::future::try_join_all(publishes).await.unwrap();
    let log = log.lock().unwrap().clone();
    assert_eq!(log, ["no key", "other", "fails", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn equal_keys_of_two_topics_do_not_wait_for_each_other() {
    let log = Log::default();
    let service = KeyOrderLayer::new().layer(publisher(&log));
    let elsewhere = ProducerRecord::to("payments").key("a").payload("other");
    let (slow, other) = (
        service.clone().oneshot(record("a", "slow")),
        service.oneshot(elsewhere),
    );
    tokio::try_join!(slow, other).unwrap();
    assert_eq!(*log.lock().unwrap(), ["other", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_makes_way() {
    let log = Log::default();
    let mut service = KeyOrderLayer::new().layer(publisher(&log));
    let first = service.ready().await.unwrap().call(record("a", "slow"));
    let second = service.ready().await.unwrap().call(record("a", "second"));
    let third = service.ready().await.unwrap().call(record("a", "third"));
    let mut first = Box::pin(first);
    assert!(first.as_mut().now_or_never().is_none());
    drop(second);
    drop(first);
    third.await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["third"]);
}

#[tokio::test]
async fn a_failure_makes_way_and_gives_its_record_back() {
    let fake = Fake::new([
        refused(ErrorClass::NonRetriable),
        refused(ErrorClass::NonRetriable),
        delivered(),
    ]);
    let mut service = KeyOrderLayer::new().layer(fake.handle());
    let first = service.ready().await.unwrap().call(record("a", "first"));
    let second = service.ready().await.unwrap().call(record("a", "second"));
    let third = service.ready().await.unwrap().call(record("a", "third"));
    // A completed future needn't be dropped for that.
    tokio::pin!(first);
    for (result, payload) in [(first.as_mut().await, "first"), (second.await, "second")] {
        let error = result.unwrap_err();
        assert_eq!(
            error.record().unwrap().payload.as_deref(),
            Some(payload.as_bytes())
        );
    }
    third.await.unwrap();
    fake.end();
    assert!(service.ready().await.is_err());
}

/// Room for two records; each holds its room until it is delivered, as a publisher does it.
#[tokio::test(start_paused = true)]
async fn those_behind_do_not_hold_the_room_that_those_in_front_need() {
    let log = Log::default();
    let stack = ServiceBuilder::new()
        .layer(KeyOrderLayer::new())
        .concurrency_limit(2)
        .service(publisher(&log));
    let publish = async |payload: &'static str| -> Published {
        stack.clone().oneshot(record("a", payload)).await
    };
    let all = async {
        tokio::try_join!(
            publish("slow"),
            publish("1"),
            publish("2"),
            publish("3"),
            publish("4")
        )
    };
    all.await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["slow", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn those_behind_do_not_take_the_room_that_a_retry_in_front_needs() {
    let log = Log::default();
    let stack = ServiceBuilder::new()
        .layer(KeyOrderLayer::new())
        .layer(RetryLayer::default())
        .concurrency_limit(2)
        .service(publisher(&log));
    let publish = async |payload: &'static str| -> Published {
        stack.clone().oneshot(record("a", payload)).await
    };
    let all =
        async { tokio::try_join!(publish("fails"), publish("1"), publish("2"), publish("3")) };
    let all = tokio::time::timeout(Duration::from_secs(3600), all);
    all.await.expect("room for the first").unwrap();
    assert_eq!(*log.lock().unwrap(), ["fails", "1", "2", "3"]);
}

#[tokio::test]
async fn no_more_than_a_bound_wait_for_their_keys() {
    let hanging = service_fn(|_: ProducerRecord| std::future::pending::<Published>());
    let mut service = KeyOrderLayer::new().layer(hanging);
    let mut waiting = Vec::new();
    while let Some(ready) = service.ready().now_or_never() {
        waiting.push(ready.unwrap().call(record("a", "1")));
        assert!(waiting.len() < 20_000, "without a bound");
    }
    // One more by each that is given up.
    waiting.pop();
    assert!(service.ready().now_or_never().is_some());
}

#[tokio::test]
async fn a_service_that_ends_meanwhile_fails_those_that_wait() {
    let (give, gate) = tokio::sync::oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gate)));
    let fake = Fake::new([delivered()]);
    let ending = fake.handle();
    let mut service =
        ServiceBuilder::new()
            .layer(KeyOrderLayer::new())
            .service(fake.handle().and_then(move |delivery| {
                let gate = gate.lock().unwrap().take();
                async move {
                    let _ = gate.expect("once").await;
                    Published::Ok(delivery)
                }
            }));
    let first = service.ready().await.unwrap().call(record("a", "1"));
    let second = service.ready().await.unwrap().call(record("a", "2"));
    ending.end();
    give.send(()).unwrap();
    let (first, second) = tokio::join!(first, second);
    first.unwrap();
    let error = second.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal);
    assert_eq!(
        error.into_record().unwrap().payload.as_deref(),
        Some(&b"2"[..])
    );
}

#[tokio::test]
async fn a_foreign_error_gets_its_record_back() {
    let failing = service_fn(async |_: ProducerRecord| Err::<Delivery, _>(std::fmt::Error));
    let error = KeyOrderLayer::new()
        .layer(failing)
        .oneshot(record("a", "1"))
        .await
        .unwrap_err();
    assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    assert!(error.record().is_some());
}
