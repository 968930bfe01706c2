//! Which failures are repeated, when, and what is said in the end.

use std::{error::Error, future::pending, time::Duration};

use kafka_tower::{
    Backoff, BoxError, Classified, Classifier, ConsumerRecord, ErrorClass, Failure, GaveUp,
    Outcome, Persistence, ProducerRecord, PublishError, Record, RetryError, find_error,
    layers::RetryLayer,
};
use tokio::time::advance;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    retry::budget::{Budget, TpsBudget},
    service_fn,
};
use tracing::{Level, subscriber::set_default};
use tracing_subscriber::fmt;

use crate::{
    bed::{Bed, Call, Calls},
    capture::Logs,
    fake::{Fake, Handled, Published, delivered, failed, order, read, refused},
    support::run,
};

use ErrorClass::{Fatal, NonRetriable, Retriable, Unavailable};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn publisher(answers: impl IntoIterator<Item = Published>) -> Fake<ProducerRecord> {
    Fake::new(answers)
}

fn handler(answers: impl IntoIterator<Item = Handled>) -> Fake<ConsumerRecord> {
    Fake::new(answers)
}

fn retry() -> RetryLayer {
    RetryLayer::new(Backoff::default())
}

#[tokio::test(start_paused = true)]
async fn a_publish_waits_in_place_and_says_how_many_attempts_it_took() {
    let fake = publisher([refused(Retriable), refused(Unavailable), delivered()]);
    let delivery = retry().layer(fake.handle()).oneshot(order()).await.unwrap();
    assert_eq!(delivery.attempts, 3);
    assert_eq!(fake.times(), [0, 1000, 3000]);
    let calls = fake.calls();
    assert!(
        calls
            .iter()
            .all(|call| call.payload.as_deref() == Some(b"tea"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_error_says_how_many_and_how_long_and_carries_the_last_cause() {
    let fake = publisher((0..4).map(|_| refused(Retriable)));
    let error = retry()
        .layer(fake.handle())
        .oneshot(order())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "publishing to topic `orders` failed: gave up after 4 attempts in 7.0 s"
    );
    assert_eq!(
        error.record().unwrap().payload.as_deref(),
        Some(&b"tea"[..])
    );
    assert_eq!(error.persistence(), Persistence::NotPersisted);
    let retry: &RetryError = find_error(&error).expect("a retry error");
    assert_eq!((retry.attempts(), retry.elapsed()), (4, seconds(7)));
    assert_eq!(
        (retry.class(), retry.reason()),
        (Retriable, GaveUp::NoAttemptsLeft)
    );
    assert_eq!(retry.failures().len(), 4);
    assert!(
        retry
            .source()
            .is_some_and(|cause| cause.is::<PublishError>())
    );
}

#[tokio::test(start_paused = true)]
async fn what_kafka_may_have_written_is_repeated_only_on_request() {
    let doubtful = || failed(Retriable, Persistence::PossiblyPersisted);
    let fake = publisher([refused(Retriable), doubtful()]);
    let error = retry()
        .layer(fake.handle())
        .oneshot(order())
        .await
        .unwrap_err();
    let given_up: &RetryError = find_error(&error).expect("a retry error");
    assert_eq!(given_up.reason(), GaveUp::PossiblyPersisted);
    assert_eq!(fake.calls().len(), 2);

    let fake = publisher([doubtful(), delivered()]);
    let layer = retry().accept_duplicates();
    let delivery = layer.layer(fake.handle()).oneshot(order()).await.unwrap();
    assert_eq!(delivery.attempts, 2);

    // Any of the attempts may have been written, not only the last.
    let fake = publisher([doubtful(), refused(NonRetriable)]);
    let error = layer.layer(fake).oneshot(order()).await.unwrap_err();
    assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_is_not_repeated() {
    let stuck = service_fn(|_: ProducerRecord| pending::<Published>());
    let stack = ServiceBuilder::new().layer(retry()).timeout(seconds(1));
    let error = stack.service(stuck).oneshot(order()).await.unwrap_err();
    assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    assert!(error.record().is_some());
}

#[tokio::test]
async fn one_failed_publish_is_told_as_what_it_was() {
    let fake = publisher([refused(NonRetriable)]);
    let error = retry()
        .layer(fake.handle())
        .oneshot(order())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "publishing to topic `orders` failed: no");
    assert_eq!(error.class(), NonRetriable);
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_message_id_of_the_first_attempt_is_kept() {
    let with_id = |id: &str| {
        let record = order().message_id(id);
        refused(Retriable).map_err(|error| error.with_record(record))
    };
    let fake = publisher([with_id("first"), with_id("second"), delivered()]);
    retry().layer(fake.handle()).oneshot(order()).await.unwrap();
    let ids: Vec<_> = fake
        .calls()
        .into_iter()
        .map(|call| call.message_id)
        .collect();
    assert_eq!(ids, [None, Some("first".into()), Some("first".into())]);
}

#[tokio::test(start_paused = true)]
async fn the_service_is_cloned_only_for_a_repetition() {
    let fake = publisher([delivered(), delivered(), refused(Retriable), delivered()]);
    let mut service = retry().layer(fake.handle());
    let made = fake.clones();
    for _ in 0..2 {
        service.ready().await.unwrap().call(order()).await.unwrap();
    }
    assert_eq!(fake.clones(), made);
    service.ready().await.unwrap().call(order()).await.unwrap();
    assert_eq!(fake.clones(), made + 1);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_ends_meanwhile_ends_the_retry() {
    let fake = publisher([refused(Retriable)]);
    let mut service = retry().layer(fake.handle());
    let publish = service.ready().await.unwrap().call(order());
    fake.end();
    let error = publish.await.unwrap_err();
    assert!(find_error::<RetryError>(&error).is_none(), "{error:?}");
    assert_eq!(error.class(), Fatal);
    assert!(error.to_string().ends_with("ended"), "{error}");
    assert!(error.record().is_some());
    assert!(service.ready().await.is_err());
}

#[tokio::test]
async fn a_consumed_record_goes_back_to_its_lane() {
    let fake = handler([Err("no".into()), Err("no".into()), Ok(Outcome::Ack)]);
    let mut service = retry().layer(fake.handle());
    for (attempt, outcome) in [
        (
            1,
            Outcome::Retry {
                after: Some(seconds(1)),
            },
        ),
        (
            2,
            Outcome::Retry {
                after: Some(seconds(2)),
            },
        ),
        (3, Outcome::Ack),
    ] {
        let answer = service.ready().await.unwrap().call(read(attempt)).await;
        assert_eq!(answer.unwrap(), outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_at_a_consumed_record_is_logged_for_all_to_see() {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = fmt()
        .with_max_level(Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _default = set_default(subscriber.finish());
    let away = || Err(Classified::unavailable("no").into());
    let mut service = retry().layer(handler([Err("no".into()), away()]).handle());
    for _ in 0..2 {
        let answer = service.ready().await.unwrap().call(read(1)).await;
        assert!(!answer.unwrap().is_complete());
    }
    let published = retry().layer(publisher([refused(Retriable), delivered()]).handle());
    published.oneshot(order()).await.unwrap();
    let failed = "a record failed and comes back";
    assert_eq!(logs.count(&["INFO", failed]), 1);
    assert_eq!(logs.count(&["DEBUG", "a record is put off"]), 1);
    // A span tells of it.
    assert_eq!(logs.count(&["DEBUG", failed]), 1);
    assert_eq!(logs.count(&["kafka_tower"]), 3);
}

/// Calls as a lane does, until the record is complete or fails.
async fn dispatch<S>(mut service: S) -> Result<Outcome, BoxError>
where
    S: Service<ConsumerRecord, Response = Outcome, Error = BoxError>,
{
    let mut attempt = 1;
    loop {
        match service.ready().await?.call(read(attempt)).await? {
            Outcome::Retry { after } => {
                attempt += 1;
                advance(after.unwrap_or_default()).await;
            }
            Outcome::Defer { after } => advance(after).await,
            other => return Ok(other),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_failures_of_a_consumed_record_are_told_when_it_is_given_up() {
    let answers = ["one", "two", "three", "four"].map(|error| Err(error.into()));
    let fake = handler(answers);
    let error = dispatch(retry().layer(fake)).await.unwrap_err();
    let error = *error.downcast::<RetryError>().expect("a retry error");
    assert_eq!((error.attempts(), error.elapsed()), (4, seconds(7)));
    let messages: Vec<_> = error.failures().map(|failure| &*failure.message).collect();
    assert_eq!(messages, ["one", "two", "three", "four"]);
    let all = |is: fn(&Failure) -> bool| error.failures().all(is);
    assert!(all(|failure| failure.class == Retriable));
    assert_eq!(error.into_cause().to_string(), "four");
}

#[tokio::test(start_paused = true)]
async fn what_was_before_a_rebalance_is_another_story() {
    let answers = ["one", "two", "three"].map(|error| Err(error.into()));
    let fake = handler(answers);
    let mut service = RetryLayer::new(Backoff::default().max_attempts(2)).layer(fake);
    for attempt in [1, 1] {
        let answer = service.ready().await.unwrap().call(read(attempt)).await;
        assert!(matches!(answer, Ok(Outcome::Retry { .. })), "{answer:?}");
    }
    let error = service
        .ready()
        .await
        .unwrap()
        .call(read(2))
        .await
        .unwrap_err();
    let error: &RetryError = error.downcast_ref().expect("a retry error");
    let messages: Vec<_> = error.failures().map(|failure| &*failure.message).collect();
    assert_eq!(messages, ["two", "three"]);
}

#[tokio::test]
async fn what_is_not_retriable_fails_at_once_with_its_class() {
    for class in [NonRetriable, Fatal] {
        let fake = handler([Err(Classified::new(class, "no").into())]);
        let error = retry().layer(fake).oneshot(read(1)).await.unwrap_err();
        let error: &RetryError = error.downcast_ref().expect("a retry error");
        assert_eq!((error.class(), error.attempts()), (class, 1));
        assert_eq!(error.reason(), GaveUp::NotRetriable);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_unavailable_waits_and_counts_no_attempt() {
    let down = || Err(Classified::unavailable("the database is down").into());
    let fake = handler((0..10).map(|_| down()).chain([Ok(Outcome::Ack)]));
    let outcome = dispatch(retry().layer(fake.handle())).await;
    assert_eq!(outcome.unwrap(), Outcome::Ack);
    assert!(fake.calls().iter().all(|call| call.attempt() == 1));
    let waited: Vec<_> = fake.times().windows(2).map(|two| two[1] - two[0]).collect();
    let doubling = [
        1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000,
    ];
    assert_eq!(waited, doubling);
}

#[tokio::test]
async fn the_rules_of_ones_own_decide() {
    let rules = Classifier::new().on(|_: &std::fmt::Error| Fatal);
    let fake = handler([Err(std::fmt::Error.into())]);
    let layer = retry().classify(rules);
    let error = layer.layer(fake).oneshot(read(1)).await.unwrap_err();
    let error: &RetryError = error.downcast_ref().expect("a retry error");
    assert_eq!(error.class(), Fatal);
}

#[tokio::test]
async fn what_is_marked_inside_of_an_anyhow_error_is_seen() {
    let handler = service_fn(async |_: ConsumerRecord| -> anyhow::Result<()> {
        "no number".parse::<u32>().map_err(Classified::fatal)?;
        Ok(())
    });
    let error = retry().layer(handler).oneshot(read(1)).await.unwrap_err();
    let error: &RetryError = error.downcast_ref().expect("a retry error");
    assert_eq!(error.class(), Fatal);
}

#[tokio::test]
async fn an_error_may_say_when_to_come_back() {
    let hint = Classified::retriable("busy").retry_after(seconds(99));
    let fake = handler([Err(hint.into())]);
    let answer = retry().layer(fake).oneshot(read(1)).await.unwrap();
    assert_eq!(
        answer,
        Outcome::Retry {
            after: Some(seconds(99))
        }
    );
}

#[tokio::test]
async fn a_handler_may_ask_for_another_attempt_as_often_as_the_backoff_allows() {
    let asks = |after| Ok(Outcome::Retry { after });
    let fake = handler([asks(None), asks(Some(seconds(99))), asks(None)]);
    let mut service = retry().layer(fake);
    for (attempt, after) in [(1, seconds(1)), (2, seconds(99))] {
        let answer = service.ready().await.unwrap().call(read(attempt)).await;
        assert_eq!(answer.unwrap(), Outcome::Retry { after: Some(after) });
    }
    let error = service
        .ready()
        .await
        .unwrap()
        .call(read(4))
        .await
        .unwrap_err();
    let error: &RetryError = error.downcast_ref().expect("a retry error");
    assert_eq!(error.reason(), GaveUp::NoAttemptsLeft);
    let cause = error.source().expect("a cause").to_string();
    assert_eq!(cause, "the service asked for another attempt");
}

#[tokio::test]
async fn what_asks_for_something_else_passes_through() {
    let others = [
        Outcome::Skip,
        Outcome::Stop,
        Outcome::Defer { after: seconds(5) },
        Outcome::DeadLetter {
            reason: "bad".into(),
        },
    ];
    for outcome in others {
        let fake = handler([Ok(outcome.clone())]);
        let answer = retry().layer(fake).oneshot(read(1)).await.unwrap();
        assert_eq!(answer, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn in_place_consuming_waits_as_publishing_does() {
    let fake = handler([
        Err("no".into()),
        Err(Classified::unavailable("down").into()),
        Ok(Outcome::Defer { after: seconds(60) }),
        Ok(Outcome::Retry { after: None }),
        Ok(Outcome::Ack),
    ]);
    let service = retry().in_place().layer(fake.handle());
    assert_eq!(service.oneshot(read(1)).await.unwrap(), Outcome::Ack);
    let attempts: Vec<_> = fake.calls().iter().map(ConsumerRecord::attempt).collect();
    assert_eq!(attempts, [1, 2, 2, 2, 3]);
    assert_eq!(fake.times(), [0, 1000, 2000, 62_000, 64_000]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_defers_consuming_and_fails_publishing() {
    let empty = || TpsBudget::new(seconds(10), 0, 1.0);
    let fake = handler([Err("no".into())]);
    let answer = retry().budget(empty()).layer(fake).oneshot(read(1)).await;
    assert_eq!(answer.unwrap(), Outcome::Defer { after: seconds(1) });

    let fake = publisher([refused(Retriable)]);
    let service = retry().budget(empty()).layer(fake.handle());
    service.oneshot(order()).await.unwrap_err();
    assert_eq!(fake.calls().len(), 1);

    // What succeeds fills it.
    let fake = publisher([delivered(), refused(Retriable), delivered()]);
    let mut service = retry().budget(empty()).layer(fake);
    for attempts in [1, 2] {
        let delivery = service.ready().await.unwrap().call(order()).await.unwrap();
        assert_eq!(delivery.attempts, attempts);
    }
}

/// Never has anything, to see that it is asked only for repetitions.
struct Unasked;

impl Budget for Unasked {
    fn deposit(&self) {}

    fn withdraw(&self) -> bool {
        unreachable!("nothing is repeated")
    }
}

#[tokio::test]
async fn what_is_not_repeated_takes_nothing_from_the_budget() {
    let layer = retry().budget(Unasked);
    for error in [Classified::fatal("no"), Classified::unavailable("down")] {
        let fake = handler([Err(error.into())]);
        let _ = layer.layer(fake).oneshot(read(1)).await;
    }
}

#[test]
fn a_handler_that_fails_twice_is_run_three_times() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(2).await;
        let calls = Calls::default();
        let handler = calls.service(async |record| match record.attempt() {
            ..3 => Err("not yet".into()),
            _ => Ok(()),
        });
        let backoff = Backoff::constant(Duration::from_millis(5));
        let running = bed.serve(RetryLayer::new(backoff).layer(handler));
        calls.reach(6).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.retried), (2, 4));
        let attempts = |call: Call| (call.offset, call.attempt);
        let of_each: Vec<_> = calls.all().into_iter().map(attempts).collect();
        assert_eq!(of_each, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]);
        assert_eq!(bed.committed().await, bed.all_at(2));
    });
}

#[test]
fn a_record_that_is_given_up_stops_the_consumer_with_what_became_of_it() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let calls = Calls::default();
        let handler = calls.service(async |_| Handled::Err("never".into()));
        let backoff = Backoff::constant(Duration::from_millis(5));
        let running = bed.serve(RetryLayer::new(backoff).layer(handler));
        let error = running.end().await.unwrap_err();
        let given_up: &RetryError = find_error(&error).expect("a retry error");
        assert_eq!((given_up.attempts(), given_up.failures().len()), (4, 4));
        assert!(bed.committed().await.values().all(|offset| *offset == 0));
    });
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_that_can_be_asked_for_is_no_overflow() {
    let hint = || Classified::retriable("busy").retry_after(Duration::MAX);
    let away = || Classified::unavailable("down").retry_after(Duration::MAX);
    let asked = Outcome::Retry {
        after: Some(Duration::MAX),
    };
    let fake = handler([Err(hint().into()), Err(away().into()), Ok(asked)]);
    let mut service = retry().layer(fake);
    for _ in 0..3 {
        let answer = service.ready().await.unwrap().call(read(1)).await.unwrap();
        assert!(!answer.is_complete(), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_back_with_an_error_begins_anew() {
    let fake = publisher([refused(Retriable), refused(NonRetriable)]);
    let layer = RetryLayer::new(Backoff::default());
    let given_back = service_fn({
        let fake = fake.handle();
        move |record: ProducerRecord| {
            let (kept, call) = (record.clone(), fake.handle().oneshot(record));
            async move { call.await.map_err(|error| error.with_record(kept)) }
        }
    });
    let error = layer.layer(given_back).oneshot(order()).await.unwrap_err();
    assert_eq!(fake.calls()[1].view().attempt, 2);
    let record = error.into_record().expect("the record");
    assert_eq!(record.view().attempt, 1);
}
