//! What metrics are told of a call.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use kafka_tower::{
    Backoff, BoxError, Classified, ConsumerRecord, Delivery, ErrorClass, MatchedRoute, MessageId,
    Outcome, Persistence, ProducerRecord, PublishError, Record, RecordService, Side,
    layers::{
        DeadLetter, MetricsLayer, RetryLayer, ServiceBuilderExt,
        metrics::{Disposition, Field, Metrics, Observation},
    },
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    capture::logs,
    fake::{Fake, Handled, Published, delivered, failed, order, read, refused},
};

use ErrorClass::{Fatal, NonRetriable, Retriable, Unavailable};

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Metrics for Notes {
    fn observe(&self, call: &Observation<'_>) {
        assert!(call.duration < Duration::from_secs(600));
        let side = match call.side {
            Side::Publish => "publish",
            _ => "consume",
        };
        let mut line = format!(
            "{side} {} {:?} {} {}+{}",
            call.destination,
            call.partition,
            call.disposition.as_str(),
            call.attempts,
            call.retries
        );
        if let (Some(class), Some(kind)) = (call.error_class, call.error_type) {
            line += &format!(" {class} {kind}");
        }
        if let Some(group) = call.group {
            line += &format!(" of {group}");
        }
        self.0.lock().unwrap().push(line);
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// What is told of one call.
async fn told<R: Record>(service: impl RecordService<R>, record: R) -> String {
    let notes = Arc::new(Notes::default());
    let layer = MetricsLayer::new(Arc::clone(&notes));
    let _ = layer.layer(service).oneshot(record).await;
    let [line] = &notes.take()[..] else {
        panic!("one call is one observation");
    };
    line.clone()
}

async fn told_of_publish(answer: Published) -> String {
    told(Fake::new([answer]), order()).await
}

async fn told_of_handling(answer: Handled) -> String {
    told(Fake::new([answer]), read(1)).await
}

#[tokio::test]
async fn what_became_of_a_published_record() {
    let line = told_of_publish(delivered()).await;
    assert_eq!(line, "publish orders Some(0) delivered 1+0");
    let line = told_of_publish(failed(Retriable, Persistence::PossiblyPersisted)).await;
    assert_eq!(line, "publish orders None failed 1+0 retriable retriable");
    let timed_out = PublishError::new(Unavailable, Persistence::NotPersisted, "no").with_code(-192);
    let line = told_of_publish(Err(timed_out)).await;
    assert_eq!(
        line,
        "publish orders None failed 1+0 unavailable MessageTimedOut"
    );
    let unknown = PublishError::new(Fatal, Persistence::NotPersisted, "no").with_code(12345);
    let line = told_of_publish(Err(unknown)).await;
    assert_eq!(line, "publish orders None failed 1+0 fatal _OTHER");
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_publish_are_counted_from_its_result() {
    let stack = |answers: Vec<Published>| {
        let backoff = Backoff::default().max_attempts(3);
        RetryLayer::new(backoff).layer(Fake::new(answers))
    };
    let no = || refused(Retriable);
    let line = told(stack(vec![no(), no(), delivered()]), order()).await;
    assert_eq!(line, "publish orders Some(0) delivered 3+2");
    let line = told(stack(vec![no(), no(), no()]), order()).await;
    assert_eq!(line, "publish orders None failed 3+2 retriable retriable");
    let line = told(stack(vec![refused(NonRetriable)]), order()).await;
    assert_eq!(
        line,
        "publish orders None failed 1+0 non-retriable non-retriable"
    );
}

#[tokio::test]
async fn dead_letters_have_moved_on_both_sides() {
    let dead = || DeadLetter::to(Fake::new([delivered()]));
    let inner = Fake::new([refused(NonRetriable)]);
    let line = told(dead().layer(inner), order().partition(3)).await;
    assert_eq!(
        line,
        "publish orders Some(3) moved 1+0 non-retriable non-retriable"
    );
    let inner = Fake::new([Err(Classified::non_retriable("no").into())]);
    let line = told(dead().layer(inner), read(2)).await;
    assert_eq!(line, "consume orders Some(3) moved 2+0");
}

#[tokio::test]
async fn what_became_of_a_handled_record() {
    let after = Duration::from_secs(1);
    let to = Delivery::new("elsewhere", 0, 0, MessageId::new());
    let reason = "no".into();
    for (outcome, expected) in [
        (Outcome::Ack, "acked 1+0"),
        (Outcome::Skip, "skipped 1+0"),
        (Outcome::Moved { to }, "moved 1+0"),
        (Outcome::Stop, "stopped 1+0"),
        (Outcome::Defer { after }, "deferred 1+0"),
        (
            Outcome::Retry { after: None },
            "retried 1+1 retriable retriable",
        ),
        (
            Outcome::DeadLetter { reason },
            "dead_letter 1+0 non-retriable dead_letter",
        ),
    ] {
        let line = told_of_handling(Ok(outcome)).await;
        assert_eq!(line, format!("consume orders Some(3) {expected}"));
    }
    for (error, expected) in [
        (BoxError::from("no"), "retriable retriable"),
        (Classified::fatal("no").into(), "fatal fatal"),
        (
            PublishError::new(NonRetriable, Persistence::NotPersisted, "no")
                .with_code(10)
                .into(),
            "non-retriable MessageSizeTooLarge",
        ),
    ] {
        let line = told_of_handling(Err(error)).await;
        let expected = format!("consume orders Some(3) failed 1+0 {expected}");
        assert_eq!(line, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_of_handling_are_counted_one_by_one() {
    let no = || Handled::Err("no".into());
    let retry = || RetryLayer::new(Backoff::default().max_attempts(2));
    let line = told(retry().layer(Fake::new([no()])), read(1)).await;
    assert_eq!(
        line,
        "consume orders Some(3) retried 1+1 retriable retriable"
    );
    let line = told(retry().layer(Fake::new([no()])), read(2)).await;
    assert_eq!(
        line,
        "consume orders Some(3) failed 2+0 retriable retriable"
    );
    // In place all attempts are one call.
    let in_place = retry().in_place().layer(Fake::new([no(), no()]));
    let line = told(in_place, read(1)).await;
    assert_eq!(
        line,
        "consume orders Some(3) failed 1+1 retriable retriable"
    );
    let busy = Handled::Err(Classified::unavailable("busy").into());
    let line = told(retry().layer(Fake::new([busy])), read(1)).await;
    assert_eq!(line, "consume orders Some(3) deferred 1+0");
}

#[tokio::test(start_paused = true)]
async fn timeouts_and_panics_have_names() {
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .service(service_fn(|_: ConsumerRecord| pending::<Handled>()));
    let line = told(stack, read(1)).await;
    assert_eq!(line, "consume orders Some(3) failed 1+0 retriable timeout");
    let stack = ServiceBuilder::new().catch_panic().service(service_fn(
        async |_: ProducerRecord| -> Published { panic!("on purpose") },
    ));
    let line = told(stack, order()).await;
    assert_eq!(line, "publish orders None failed 1+0 retriable panic");
}

#[tokio::test]
async fn the_error_and_its_record_come_through() {
    let layer = MetricsLayer::new(());
    let foreign = service_fn(async |_: ProducerRecord| Err::<Delivery, BoxError>("no".into()));
    let error = layer.layer(foreign).oneshot(order()).await.unwrap_err();
    assert_eq!(&*error.record().unwrap().topic, "orders");
    let fake = Fake::<ProducerRecord>::new([]);
    fake.end();
    assert!(layer.layer(fake).ready().await.is_err());
}

#[tokio::test]
async fn a_dropped_call_is_not_observed() {
    let notes = Arc::new(Notes::default());
    let never = service_fn(|_: ConsumerRecord| pending::<Handled>());
    let mut service = MetricsLayer::new(Arc::clone(&notes)).layer(never);
    drop(service.ready().await.unwrap().call(read(1)));
    assert_eq!(notes.take(), [""; 0]);
}

#[tokio::test]
async fn a_route_is_named_in_place_of_its_topics() {
    let mut record = read(1);
    record
        .extensions_mut()
        .insert(MatchedRoute::new("tenant-*"));
    let line = told(Fake::new([Ok(Outcome::Ack)]), record).await;
    assert_eq!(line, "consume tenant-* Some(3) acked 1+0");
}

#[tokio::test]
async fn the_number_of_destinations_is_bounded_over_all_services() {
    let notes = Arc::new(Notes::default());
    let layer = MetricsLayer::new(Arc::clone(&notes))
        .group("shop")
        .max_destinations(2);
    let answers = std::iter::repeat_with(|| Ok(Outcome::Ack));
    let fake = Fake::new(answers.take(5));
    let mut services = [layer.layer(fake.handle()), layer.clone().layer(fake)];
    for (service, topic) in [(0, "a"), (1, "b"), (0, "c"), (1, "a"), (0, "b")] {
        let record = ConsumerRecord::builder(topic, 0, 0).build();
        let service = services[service].ready().await.unwrap();
        let _ = service.call(record).await.unwrap();
    }
    let told = ["a", "b", "_OTHER", "a", "b"];
    let told = told.map(|name| format!("consume {name} Some(0) acked 1+0 of shop"));
    assert_eq!(notes.take(), told);
}

#[tokio::test]
async fn a_closure_gets_names_values_and_fields() {
    let (notes, told) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
    let write = Arc::clone(&notes);
    let metrics = move |name: &'static str, value: f64, fields: &[Field<'_>]| {
        let value = if name.ends_with("duration") {
            0.0
        } else {
            value
        };
        let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        write
            .lock()
            .unwrap()
            .push(format!("{name} {value} {}", fields.join(" ")));
    };
    let told: &Arc<Notes> = &told;
    let answers = [
        Ok(Outcome::Ack),
        Ok(Outcome::Retry { after: None }),
        Ok(Outcome::Defer {
            after: Duration::ZERO,
        }),
        Ok(Outcome::Moved {
            to: Delivery::new("u", 0, 0, MessageId::new()),
        }),
    ];
    let count = answers.len();
    let mut service = ServiceBuilder::new()
        .kafka_metrics(Arc::clone(told))
        .kafka_metrics(MetricsLayer::new(metrics.clone()).group("shop"))
        .service(Fake::new(answers));
    for _ in 0..count {
        let record = ConsumerRecord::builder("orders", 0, 0).key("k").build();
        let _ = service.ready().await.unwrap().call(record).await.unwrap();
    }
    assert_eq!(told.take().len(), count);
    let common = "messaging.system=kafka messaging.operation.name=process \
                  messaging.operation.type=process messaging.destination.name=orders \
                  messaging.consumer.group.name=shop";
    let mut expected = Vec::new();
    for (outcome, more) in [
        ("acked", None),
        (
            "retried error.type=retriable",
            Some("kafka_tower.retries 1"),
        ),
        ("deferred", Some("kafka_tower.deferrals 1")),
        ("moved", Some("kafka_tower.dead_letters 1")),
    ] {
        for metric in [
            "messaging.process.duration 0",
            "messaging.client.consumed.messages 1",
        ] {
            expected.push(format!("{metric} {common} kafka_tower.outcome={outcome}"));
        }
        expected.extend(more.map(|more| format!("{more} {common}")));
    }
    assert_eq!(std::mem::take(&mut *notes.lock().unwrap()), expected);

    let service = ServiceBuilder::new()
        .kafka_metrics(metrics)
        .service(Fake::new([refused(Fatal)]));
    service.oneshot(order()).await.unwrap_err();
    let fields = "messaging.system=kafka messaging.operation.name=send \
                  messaging.operation.type=send messaging.destination.name=orders \
                  error.type=fatal";
    let expected = [
        format!("messaging.client.operation.duration 0 {fields}"),
        format!("messaging.client.sent.messages 1 {fields}"),
    ];
    assert_eq!(*notes.lock().unwrap(), expected);
}

#[tokio::test]
async fn metrics_that_panic_harm_nobody_and_are_logged_once() {
    struct Panics;
    impl Metrics for Panics {
        fn observe(&self, call: &Observation<'_>) {
            assert_eq!(call.disposition, Disposition::Failed, "on purpose");
        }
    }
    let logs = logs();
    let layer = MetricsLayer::new(Panics);
    for _ in 0..2 {
        let service = layer.layer(Fake::new([delivered()]));
        service.oneshot(order()).await.unwrap();
    }
    assert_eq!(logs.count(&["metrics panicked", "on purpose"]), 1);
}

/// Whether it is enabled is told by the record of attempts; 0 panics.
struct Moody(Arc<Mutex<Vec<u32>>>, AtomicU32);

impl Metrics for Moody {
    fn observe(&self, call: &Observation<'_>) {
        self.0.lock().unwrap().push(call.attempts);
    }

    fn is_enabled(&self) -> bool {
        match self.1.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("oh no"),
            nth => nth.is_multiple_of(2),
        }
    }
}

#[tokio::test]
async fn what_is_not_enabled_is_not_observed_and_passes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let metrics = Moody(Arc::clone(&seen), AtomicU32::new(0));
    let answers = (0..4).map(|_| Err("no".into()));
    let mut service = MetricsLayer::new(metrics).layer(Fake::<ConsumerRecord>::new(answers));
    for attempt in 1..=4 {
        let error = service
            .ready()
            .await
            .unwrap()
            .call(read(attempt))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "no");
    }
    assert_eq!(*seen.lock().unwrap(), [3]);
}
