//! The layer that brings errors, delays, panics and unready services.

use std::{panic::catch_unwind, thread, time::Duration};

use futures_util::{FutureExt, future::join_all};
use kafka_tower::{
    Backoff, Classifier, Classify, ConsumerRecord, ErrorClass, Ordering, Outcome, PanicError,
    Persistence, ProducerRecord, PublishExt, find_error,
    layers::{CatchPanicLayer, DeadLetter, RetryLayer, ServiceBuilderExt},
    testing::{ChaosLayer, MockPublisher, chaos::ChaosError},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    bed::{Bed, Calls, Running, soon},
    support::run,
};

const SECOND: Duration = Duration::from_secs(1);
const AN_HOUR: Duration = Duration::from_secs(3600);

fn read(offset: i64) -> ConsumerRecord {
    ConsumerRecord::builder("orders", 0, offset).build()
}

#[tokio::test]
async fn without_rates_it_does_nothing() {
    let publisher = MockPublisher::new();
    let stack = ChaosLayer::new(1).layer(publisher.clone());
    for _ in 0..100 {
        let sent = stack.send(ProducerRecord::to("orders")).now_or_never();
        sent.expect("at once").unwrap();
    }
    assert_eq!(publisher.written("orders").len(), 100);
}

#[tokio::test]
async fn a_failed_record_is_not_passed_on_and_comes_back() {
    let publisher = MockPublisher::new();
    let chaos = ChaosLayer::new(1)
        .errors(0.5)
        .error_class(ErrorClass::Unavailable);
    let stack = chaos.layer(publisher.clone());
    let records = (0..100).map(|n: i32| ProducerRecord::to("orders").payload(n.to_string()));
    let results = join_all(records.map(|record| stack.send(record))).await;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!((30..70).contains(&failed.len()), "{}", failed.len());
    for error in &failed {
        assert_eq!(error.class(), ErrorClass::Unavailable, "{error:?}");
        assert_eq!(error.persistence(), Persistence::NotPersisted);
        assert!(find_error::<ChaosError>(error).is_some());
        let back = error.record().expect("the record");
        let is_it = |one: &ProducerRecord| one.payload == back.payload;
        assert!(!publisher.records().iter().any(is_it));
    }
    assert_eq!(publisher.records().len() + failed.len(), 100);
}

#[tokio::test]
async fn the_class_of_an_error_is_told_consuming_too() {
    let chaos = ChaosLayer::new(1)
        .errors(1.0)
        .error_class(ErrorClass::NonRetriable);
    let service = chaos.layer(service_fn(
        async |_: ConsumerRecord| Ok::<_, ChaosError>(()),
    ));
    let error = service.oneshot(read(0)).await.unwrap_err();
    assert_eq!(
        Classifier::new().classify(&*error),
        ErrorClass::NonRetriable
    );
}

#[tokio::test]
async fn a_panic_comes_in_the_future() {
    let chaos = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(ChaosLayer::new(1).panics(1.0).errors(1.0));
    let service = chaos.service(service_fn(
        async |_: ConsumerRecord| Ok::<_, ChaosError>(()),
    ));
    let error = service.oneshot(read(0)).await.unwrap_err();
    assert!(find_error::<PanicError>(&*error).is_some(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_is_begun_late() {
    let started = Instant::now();
    let chaos = ChaosLayer::new(1).delays(1.0, AN_HOUR..=AN_HOUR * 2);
    let began = service_fn(move |_: ConsumerRecord| async move {
        assert!(started.elapsed() >= AN_HOUR);
        Ok::<_, ChaosError>(())
    });
    let mut service = chaos.layer(began);
    let call = service.ready().await.unwrap().call(read(0));
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(call.await.unwrap(), Outcome::Ack);
    assert!((AN_HOUR..=AN_HOUR * 2).contains(&started.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn readiness_comes_late_or_never_and_is_drawn_once_a_call() {
    let acks = || service_fn(async |_: ConsumerRecord| Ok::<_, ChaosError>(()));
    let started = Instant::now();
    let mut late = ChaosLayer::new(1).unready(1.0, SECOND).layer(acks());
    for calls in 1..=3 {
        late.ready().await.unwrap();
        // Once ready it stays so.
        late.ready().now_or_never().expect("ready").unwrap();
        assert_eq!(late.call(read(0)).await.unwrap(), Outcome::Ack);
        assert_eq!(started.elapsed().as_secs(), calls);
    }
    let mut never = ChaosLayer::new(1).unready(1.0, Duration::MAX).layer(acks());
    let waited = tokio::time::timeout(AN_HOUR, never.ready()).await;
    assert!(waited.is_err());
}

#[test]
fn a_rate_is_a_share() {
    let rates = [-0.1, 1.1, 50.0, f64::NAN, f64::INFINITY];
    let setters: [fn(f64) -> ChaosLayer; 4] = [
        |rate| ChaosLayer::new(1).errors(rate),
        |rate| ChaosLayer::new(1).panics(rate),
        |rate| ChaosLayer::new(1).delays(rate, SECOND..=SECOND),
        |rate| ChaosLayer::new(1).unready(rate, SECOND),
    ];
    for set in setters {
        for rate in rates {
            let refused = catch_unwind(|| drop(set(rate))).expect_err("no share");
            let message = refused.downcast::<String>().expect("a message");
            assert!(message.contains("from 0 to 1"), "{message}");
        }
        drop((set(0.0), set(1.0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_of_delays_the_wrong_way_round_is_its_start() {
    let started = Instant::now();
    let chaos = ChaosLayer::new(1).delays(1.0, std::ops::RangeInclusive::new(AN_HOUR, SECOND));
    let acks = service_fn(async |_: ConsumerRecord| Ok::<_, ChaosError>(()));
    let outcome = chaos.layer(acks).oneshot(read(0)).await;
    assert_eq!(outcome.unwrap(), Outcome::Ack);
    assert_eq!(started.elapsed(), AN_HOUR);
}

/// Threads come by in any order: what happens to a record is the seed's word all the same.
#[test]
fn clones_in_several_threads_fail_the_same_records() {
    let failed = |threads: i64| {
        let chaos = ChaosLayer::new(7).errors(0.5);
        let service = chaos.layer(service_fn(
            async |_: ConsumerRecord| Ok::<_, ChaosError>(()),
        ));
        let parts = (0..threads).map(|number| {
            let mut service = service.clone();
            thread::spawn(move || {
                let offsets = (0..200).filter(|offset| offset % threads == number);
                let fails = |offset: &i64| {
                    let ready = service.ready().now_or_never().expect("ready").unwrap();
                    ready
                        .call(read(*offset))
                        .now_or_never()
                        .expect("done")
                        .is_err()
                };
                offsets.filter(fails).collect::<Vec<i64>>()
            })
        });
        let parts = Vec::from_iter(parts).into_iter();
        let parts = parts.map(|part| part.join().expect("no panic"));
        let mut failed: Vec<i64> = parts.flatten().collect();
        failed.sort_unstable();
        failed
    };
    let alone = failed(1);
    assert!((70..130).contains(&alone.len()), "{}", alone.len());
    assert_eq!(failed(4), alone);
}

#[test]
fn a_consumer_under_chaos_handles_or_moves_everything_and_commits_it() {
    run(async {
        let bed = Bed::new(3).await;
        bed.fill(100).await;
        let calls = Calls::default();
        let letters = MockPublisher::new();
        let waits = Duration::from_millis(1)..=Duration::from_millis(20);
        let stack = ServiceBuilder::new()
            .dead_letter(DeadLetter::to(letters.clone()))
            .layer(RetryLayer::new(Backoff::exponential(waits).max_attempts(3)))
            .catch_panic()
            .layer(
                ChaosLayer::new(7)
                    .errors(0.3)
                    .panics(0.05)
                    .delays(0.2, Duration::ZERO..=Duration::from_millis(5))
                    .unready(0.1, Duration::from_millis(5)),
            )
            .service(calls.service(async |_| Ok(())));
        let running = Running::start(bed.settings().ordering(Ordering::Unordered), stack);
        soon("it is drained", running.handle.drained())
            .await
            .expect("it runs");
        let moved = letters.records().len();
        assert_eq!(calls.all().len() + moved, 300);
        assert!(moved > 0);
        let summary = running.stop().await;
        assert_eq!(summary.moved, moved as u64);
        assert_eq!(bed.committed().await, bed.all_at(100));
    });
}

#[test]
fn deferred_records_pass_in_the_end() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(50).await;
        let calls = Calls::default();
        let waits = Duration::from_millis(1)..=Duration::from_millis(5);
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::new(Backoff::exponential(waits)))
            .layer(
                ChaosLayer::new(7)
                    .errors(0.5)
                    .error_class(ErrorClass::Unavailable),
            )
            .service(calls.service(async |_| Ok(())));
        let running = bed.serve(stack);
        soon("it is drained", running.handle.drained())
            .await
            .expect("it runs");
        assert_eq!(calls.all().len(), 50);
        assert!(calls.all().iter().all(|call| call.attempt == 1));
        assert!(running.stop().await.deferred > 0);
    });
}

#[test]
fn a_service_that_is_never_ready_holds_up_no_shutdown() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let calls = Calls::default();
        let chaos = ChaosLayer::new(1).unready(1.0, Duration::MAX);
        let running = bed.serve(chaos.layer(calls.service(async |_| Ok(()))));
        running
            .status(0, "it is read", |one| one.lag == Some(1))
            .await;
        let summary = running.stop().await;
        assert!(calls.all().is_empty());
        assert_eq!(summary.acked, 0);
    });
}
