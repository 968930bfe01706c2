//! What is called while a circuit is open, and by whom it is closed.

use std::{future::pending, time::Duration};

use futures_util::FutureExt;
use kafka_tower::{
    Backoff, BoxError, Classified, Classifier, ConsumerRecord, ErrorClass, Outcome, Persistence,
    ProducerRecord, Record, find_error,
    layers::{
        RetryLayer, ServiceBuilderExt,
        circuit_breaker::{CircuitBreakerLayer, CircuitMonitor, CircuitOpen, CircuitState},
    },
};
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::subscriber::set_default;
use tracing_subscriber::fmt;

use crate::{
    bed::{Bed, Calls, Level, soon},
    capture::Logs,
    fake::{Fake, Handled, Published, delivered, order, read, refused},
    support::run,
};

use ErrorClass::{Fatal, NonRetriable, Retriable, Unavailable};

const SECOND: Duration = Duration::from_secs(1);

fn breaker(failures: u32) -> CircuitBreakerLayer {
    CircuitBreakerLayer::consecutive(failures, SECOND)
}

async fn call<R: Record, S: Service<R>>(
    service: &mut S,
    record: R,
) -> Result<S::Response, S::Error> {
    service.ready().await?.call(record).await
}

fn down() -> Handled {
    Err("down".into())
}

#[tokio::test(start_paused = true)]
async fn the_log_says_why_a_circuit_opened_and_for_which_topic_but_no_key() {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = fmt().with_ansi(false).with_writer(move || writer.clone());
    let _default = set_default(subscriber.finish());
    let opened = "a circuit opened: too many calls failed";
    let topic = read(1).topic().to_owned();
    let fake = Fake::new([down(), Ok(Outcome::Retry { after: None }), Ok(Outcome::Ack)]);
    let mut service = breaker(1).per_key().layer(fake.handle());
    let keyed = || ConsumerRecord::builder(topic.as_str(), 3, 7).key("secret");
    for _ in 0..3 {
        let _ = call(&mut service, keyed().build()).await;
        advance(SECOND).await;
    }
    let of_topic = [&*format!("topic=\"{topic}\""), "partition=3"];
    let count = |parts: &[&str]| logs.count(&[&of_topic, parts].concat());
    assert_eq!(count(&["WARN", opened, "error=\"down\"", "open_for=1s"]), 1);
    assert_eq!(count(&["WARN", opened, "error=\"the answer asks"]), 1);
    assert_eq!(count(&["WARN", "a circuit closed: the probe succeeded"]), 1);
    assert_eq!(logs.count(&["secret"]), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_fails_a_publish_at_once_with_its_record() {
    let fake = Fake::new([refused(Retriable), refused(Unavailable), delivered()]);
    let layer = breaker(2);
    let mut service = layer.layer(fake.handle());
    for _ in 0..2 {
        call(&mut service, order()).await.unwrap_err();
    }
    // The publisher isn't asked, be it full or gone.
    let error = call(&mut service.clone(), order()).await.unwrap_err();
    assert_eq!(
        (error.class(), error.persistence()),
        (Unavailable, Persistence::NotPersisted)
    );
    assert_eq!(
        error.record().unwrap().payload.as_deref(),
        Some(&b"tea"[..])
    );
    assert!(find_error::<CircuitOpen>(&error).is_some());
    assert_eq!(fake.calls().len(), 2);
    advance(SECOND).await;
    call(&mut service, order()).await.unwrap();
    assert_eq!(layer.monitor().state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_retry_outside_comes_back_when_the_circuit_is_half_open() {
    let fake = Fake::new([refused(Retriable), delivered()]);
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::default())
        .layer(CircuitBreakerLayer::consecutive(1, 5 * SECOND))
        .service(fake.handle());
    let delivery = stack.oneshot(order()).await.unwrap();
    // The first failed, after a second the second was refused, and the third was the probe.
    assert_eq!((delivery.attempts, fake.times()), (3, vec![0, 5000]));
}

#[tokio::test(start_paused = true)]
async fn a_retry_outside_with_less_time_than_the_circuit_stays_open_fails_at_once() {
    let fake = Fake::new([refused(Retriable)]);
    let backoff = Backoff::constant(SECOND).max_elapsed(4 * SECOND);
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::new(backoff))
        .layer(CircuitBreakerLayer::consecutive(1, 5 * SECOND))
        .service(fake.handle());
    let started = Instant::now();
    let error = stack.clone().oneshot(order()).await.unwrap_err();
    assert_eq!(error.class(), Unavailable);
    // The one wait is the backoff's; it would be half-open 5 s after the failure.
    assert_eq!(started.elapsed(), SECOND);
    // Another record waits: from its first refusal on it has the time.
    let delivery = stack.oneshot(order());
    assert!(delivery.now_or_never().is_none());
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_an_attempt_unless_its_error_says_unavailable() {
    // The attempt that it came to in four calls, and whether it was given up then.
    let result = async |answer: fn() -> Handled| {
        let fake = Fake::new((0..4).map(|_| answer()));
        let mut service = ServiceBuilder::new()
            .layer(RetryLayer::default())
            .layer(breaker(1))
            .service(fake);
        let mut attempt = 1;
        for _ in 0..4 {
            let record = ConsumerRecord::builder("orders", 0, 1).attempt(attempt);
            match call(&mut service, record.build()).await {
                Ok(Outcome::Retry { .. }) => attempt += 1,
                Ok(_) => {}
                Err(_) => return (attempt, true),
            }
        }
        (attempt, false)
    };
    assert_eq!(result(down).await, (4, true));
    let unavailable = || Err(Classified::unavailable("down").into());
    assert_eq!(result(unavailable).await, (1, false));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_ready_to_consume() {
    let fake = Fake::new([down(), Ok(Outcome::Ack), Ok(Outcome::Ack)]);
    let mut service = breaker(1).layer(fake.handle());
    call(&mut service, read(1)).await.unwrap_err();
    assert!(service.ready().now_or_never().is_none());
    let mut clone = service.clone();
    assert!(clone.ready().now_or_never().is_none());
    // Time passes by itself while nothing else is to be done.
    assert_eq!(call(&mut service, read(1)).await.unwrap(), Outcome::Ack);
    assert_eq!(call(&mut clone, read(1)).await.unwrap(), Outcome::Ack);
    assert_eq!(fake.times(), [0, 1000, 1000]);
}

#[tokio::test(start_paused = true)]
async fn exactly_one_of_all_clones_probes() {
    let fake = Fake::new([down(), Ok(Outcome::Ack)]);
    let service = breaker(1).layer(fake.handle());
    call(&mut service.clone(), read(1)).await.unwrap_err();
    advance(SECOND).await;
    let mut lanes: Vec<_> = (0..12).map(|_| service.clone()).collect();
    let mut is_ready = |lane: usize| {
        let ready = ServiceExt::<ConsumerRecord>::ready(&mut lanes[lane]).now_or_never();
        ready.is_some()
    };
    let ready: Vec<_> = (0..12).filter(|lane| is_ready(*lane)).collect();
    assert_eq!(ready, [0]);
    // It keeps its turn until it is gone.
    assert!(is_ready(0) && !is_ready(1));
    drop(lanes.remove(0));
    // A lane that waits is woken, at once.
    let woken = call(&mut lanes[3], read(1)).now_or_never();
    assert_eq!(woken.expect("ready").unwrap(), Outcome::Ack);
    for lane in &mut lanes {
        let ready = ServiceExt::<ConsumerRecord>::ready(lane).now_or_never();
        assert!(ready.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_lane_is_woken_by_the_probes_success() {
    let layer = breaker(1);
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let finished = std::sync::Mutex::new(Some(finished));
    let finished = std::sync::Arc::new(finished);
    let handler = service_fn(move |record: ConsumerRecord| {
        let finished = finished.clone();
        async move {
            if record.attempt() == 1 {
                return down();
            }
            let finished = finished.lock().unwrap().take();
            if let Some(finished) = finished {
                finished.await?;
            }
            Ok(Outcome::Ack)
        }
    });
    let mut service = layer.layer(handler);
    call(&mut service, read(1)).await.unwrap_err();
    advance(SECOND).await;
    let mut other = service.clone();
    let probe = tokio::spawn(service.ready().await.unwrap().call(read(2)));
    assert!(other.ready().now_or_never().is_none());
    finish.send(()).unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(call(&mut other, read(2)).await.unwrap(), Outcome::Ack);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(probe.await.unwrap().unwrap(), Outcome::Ack);
}

#[tokio::test(start_paused = true)]
async fn a_pass_from_before_it_opened_is_worth_nothing() {
    let fake = Fake::new([down()]);
    let mut service = breaker(1).layer(fake);
    let mut early = service.clone();
    early.ready().await.unwrap();
    call(&mut service, read(1)).await.unwrap_err();
    assert!(early.ready().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_counts_as_a_failure() {
    let after = SECOND;
    let opens = async |answer: Handled| {
        let layer = breaker(1);
        let _ = layer.layer(Fake::new([answer])).oneshot(read(1)).await;
        layer.monitor().state() == CircuitState::Open
    };
    let error = |class| Err(BoxError::from(Classified::new(class, "no")));
    assert!(opens(error(Retriable)).await);
    assert!(opens(error(Unavailable)).await);
    assert!(!opens(error(NonRetriable)).await);
    assert!(!opens(error(Fatal)).await);
    assert!(opens(Ok(Outcome::Retry { after: None })).await);
    assert!(opens(Ok(Outcome::Defer { after })).await);
    assert!(
        !opens(Ok(Outcome::DeadLetter {
            reason: "bad".into()
        }))
        .await
    );
    assert!(!opens(Ok(Outcome::Ack)).await);

    let rules = Classifier::new().otherwise(NonRetriable);
    let layer = breaker(1).classify(rules);
    let _ = layer.layer(Fake::new([down()])).oneshot(read(1)).await;
    assert_eq!(layer.monitor().open_circuits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_inside_is_a_failure_and_a_dropped_call_is_none() {
    let layer = breaker(1);
    let stuck = service_fn(|_: ProducerRecord| pending::<Published>());
    let mut service = layer.layer(stuck);
    drop(service.ready().await.unwrap().call(order()));
    assert_eq!(layer.monitor().state(), CircuitState::Closed);
    let stack = ServiceBuilder::new().layer(layer.clone()).timeout(SECOND);
    stack.service(stuck).oneshot(order()).await.unwrap_err();
    assert_eq!(layer.monitor().state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_opens_it_too() {
    let layer = CircuitBreakerLayer::failure_rate(0.5, 10 * SECOND, 4, SECOND);
    let answers = [
        delivered(),
        delivered(),
        refused(Retriable),
        refused(Retriable),
    ];
    let mut service = layer.layer(Fake::new(answers));
    for open in [0, 0, 0, 1] {
        let _ = call(&mut service, order()).await;
        assert_eq!(layer.monitor().open_circuits(), open);
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_told() {
    let layer = breaker(1);
    let monitor: CircuitMonitor = layer.monitor();
    let mut changes = monitor.subscribe().expect("one circuit");
    let mut service = layer.layer(Fake::new([refused(Retriable), delivered()]));
    call(&mut service, order()).await.unwrap_err();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), CircuitState::Open);
    advance(SECOND).await;
    let probe = service.ready().await.unwrap().call(order());
    assert_eq!(*changes.borrow_and_update(), CircuitState::HalfOpen);
    probe.await.unwrap();
    assert_eq!(*changes.borrow_and_update(), CircuitState::Closed);
    assert!(layer.per_key().monitor().subscribe().is_none());
}

fn of_key(partition: i32, key: &str) -> ConsumerRecord {
    let record = ConsumerRecord::builder("orders", partition, 7);
    record.key(key).build()
}

#[tokio::test(start_paused = true)]
async fn a_circuit_for_each_key_defers_only_its_own() {
    let layer = breaker(1).per_key();
    let fake = Fake::new([down(), Ok(Outcome::Ack), Ok(Outcome::Ack), Ok(Outcome::Ack)]);
    let mut service = layer.layer(fake.handle());
    call(&mut service, of_key(0, "a")).await.unwrap_err();
    let deferred = call(&mut service.clone(), of_key(0, "a")).await.unwrap();
    assert_eq!(deferred, Outcome::Defer { after: SECOND });
    assert_eq!(
        call(&mut service, of_key(0, "b")).await.unwrap(),
        Outcome::Ack
    );
    let no_key = ConsumerRecord::builder("orders", 0, 7).build();
    assert_eq!(call(&mut service, no_key).await.unwrap(), Outcome::Ack);
    let monitor = layer.monitor();
    assert_eq!(
        (monitor.open_circuits(), monitor.state()),
        (1, CircuitState::Open)
    );
    advance(SECOND).await;
    assert_eq!(
        call(&mut service, of_key(0, "a")).await.unwrap(),
        Outcome::Ack
    );
    assert_eq!(monitor.state(), CircuitState::Closed);
    fake.end();
    assert!(
        ServiceExt::<ConsumerRecord>::ready(&mut service)
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_circuit_for_each_partition_does_not_mind_the_key() {
    let mut service = breaker(1)
        .per_partition()
        .layer(Fake::new([down(), Ok(Outcome::Ack)]));
    call(&mut service, of_key(0, "a")).await.unwrap_err();
    let deferred = call(&mut service, of_key(0, "b")).await.unwrap();
    assert_eq!(deferred, Outcome::Defer { after: SECOND });
    assert_eq!(
        call(&mut service, of_key(1, "a")).await.unwrap(),
        Outcome::Ack
    );

    let mut service = breaker(1)
        .per_partition()
        .layer(Fake::new([refused(Retriable)]));
    call(&mut service, order().partition(3)).await.unwrap_err();
    let error = call(&mut service, order().partition(3)).await.unwrap_err();
    assert!(find_error::<CircuitOpen>(&error).is_some());
}

#[test]
fn an_open_circuit_leaves_other_topics_alone_and_its_own_unread() {
    run(async {
        let bed = Bed::new(4).await;
        let other = Bed::new(1).await;
        bed.fill(5).await;
        other.fill(5).await;
        let open_for = Duration::from_secs(3600);
        let layer = CircuitBreakerLayer::consecutive(1, open_for);
        let monitor = layer.monitor();
        let calls = Calls::default();
        let handler = calls.service(async |_| Err::<(), _>("down".into()));
        // Gives back what failed, as a retry layer would.
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::default())
            .layer(layer)
            .service(handler);
        let running = bed.serve(stack);
        let mut changes = monitor.subscribe().expect("one circuit");
        soon("it opens", async {
            drop(
                changes
                    .wait_for(|state| *state == CircuitState::Open)
                    .await
                    .expect("a sender"),
            );
        })
        .await;
        let handled = Calls::default();
        let beside = other.serve(handled.acking());
        handled.reach(5).await;
        assert_eq!(beside.stop().await.acked, 5);
        // Calls that had begun before it opened; none after.
        let begun = calls.all().len();
        assert!((1..20).contains(&begun), "{begun}");
        let summary = running.stop().await;
        assert_eq!((summary.acked, calls.all().len()), (0, begun));
        assert!(bed.committed().await.values().all(|offset| *offset == 0));
    });
}

#[test]
fn of_twelve_lanes_one_probes_at_a_time() {
    const PROBES: usize = 5;
    const OPEN_FOR: Duration = Duration::from_millis(20);
    run(async {
        let bed = Bed::new(12).await;
        bed.fill(2).await;
        let layer = CircuitBreakerLayer::consecutive(1, OPEN_FOR);
        // Open before the first lane comes.
        let mut down = layer.clone().layer(Fake::<ConsumerRecord>::new([down()]));
        call(&mut down, read(1)).await.unwrap_err();
        let (calls, level) = (Calls::default(), Level::default());
        let (counted, entered) = (calls.clone(), level.clone());
        let handler = calls.service(move |_| {
            let nth = counted.all().len();
            // Once it has closed, they may all run.
            let inside = (nth <= PROBES).then(|| entered.enter());
            async move {
                let _inside = inside;
                if nth > PROBES {
                    return Ok(());
                }
                // Longer than the circuit stays open: it's the probe that holds the others back.
                tokio::time::sleep(OPEN_FOR * 3).await;
                Err("still down".into())
            }
        });
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::new(Backoff::constant(OPEN_FOR)))
            .layer(layer)
            .service(handler);
        let running = bed.serve(stack);
        calls.reach(PROBES).await;
        assert_eq!(level.most(), 1);
        bed.committed_soon(&bed.all_at(2)).await;
        assert_eq!(running.stop().await.acked, 24);
    });
}

#[tokio::test(start_paused = true)]
async fn what_was_ready_before_it_opened_does_not_pass() {
    let fake = Fake::new([refused(Retriable)]);
    let mut service = breaker(1).layer(fake.handle());
    let mut early = service.clone();
    early.ready().await.unwrap();
    call(&mut service, order()).await.unwrap_err();
    let error = early.call(order()).await.unwrap_err();
    assert!(find_error::<CircuitOpen>(&error).is_some(), "{error}");

    let fake = Fake::new([down()]);
    let mut service = breaker(1).layer(fake.handle());
    let mut early = service.clone();
    early.ready().await.unwrap();
    call(&mut service, read(1)).await.unwrap_err();
    let answer = early.call(read(2)).await.unwrap();
    assert!(matches!(answer, Outcome::Defer { .. }), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_for_their_key_do_not_pass_an_open_circuit() {
    let fake = Fake::new([refused(Retriable)]);
    let mut service = ServiceBuilder::new()
        .key_order()
        .circuit_breaker(breaker(1))
        .service(fake.handle());
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(service.ready().await.unwrap().call(order()));
    }
    let answers = futures_util::future::join_all(calls).await;
    let open = |answer: &Published| {
        answer
            .as_ref()
            .is_err_and(|e| find_error::<CircuitOpen>(e).is_some())
    };
    assert_eq!(
        answers.iter().map(open).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_ready_and_publishes_nothing_keeps_no_probe_from_others() {
    let fake = Fake::new([refused(Retriable), delivered()]);
    let mut service = breaker(1).layer(fake.handle());
    call(&mut service, order()).await.unwrap_err();
    advance(SECOND).await;
    let mut idle = service.clone();
    idle.ready().await.unwrap();
    call(&mut service, order()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_of_being_open_is_no_overflow() {
    let fake = Fake::new([refused(Retriable)]);
    let layer = CircuitBreakerLayer::consecutive(1, Duration::MAX);
    let monitor = layer.monitor();
    let mut service = layer.layer(fake);
    call(&mut service, order()).await.unwrap_err();
    assert_eq!(monitor.state(), CircuitState::Open);
    let error = call(&mut service, order()).await.unwrap_err();
    assert!(find_error::<CircuitOpen>(&error).is_some());
    let layer = CircuitBreakerLayer::failure_rate(0.5, Duration::MAX, 1, Duration::MAX);
    let mut service = layer.per_key().layer(Fake::new([down()]));
    call(&mut service, of_key(0, "a")).await.unwrap_err();
    let answer = call(&mut service, of_key(0, "a")).await.unwrap();
    assert!(matches!(answer, Outcome::Defer { .. }), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_a_scope_opened_does_not_open_it_again() {
    let (hold, held) = tokio::sync::oneshot::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(Some(held)));
    let handler = service_fn(move |record: ConsumerRecord| {
        let held = match record.attempt() {
            1 => held.lock().unwrap().take(),
            _ => None,
        };
        async move {
            if let Some(held) = held {
                let _ = held.await;
            }
            down()
        }
    });
    let layer = breaker(1).per_key();
    let monitor = layer.monitor();
    let service = layer.layer(handler);
    let early = tokio::spawn(service.clone().oneshot(of_key(0, "a")));
    tokio::task::yield_now().await;
    let second = ConsumerRecord::builder("orders", 0, 8).key("a").attempt(2);
    service.clone().oneshot(second.build()).await.unwrap_err();
    assert_eq!(monitor.open_circuits(), 1);
    advance(SECOND).await;
    hold.send(()).unwrap();
    early.await.unwrap().unwrap_err();
    // The next one is the probe, and isn't put off.
    service.oneshot(of_key(0, "a")).await.unwrap_err();
}
