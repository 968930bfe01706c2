//! What goes wrong in another order than the documented one: the rows of docs/layers.md.

use std::{
    future::{pending, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use kafka_tower::{
    Backoff, BoxError, Classified, ConsumerRecord, ErrorClass, Outcome, PanicError, Persistence,
    ProducerRecord, PublishExt, find_error,
    layers::{
        CircuitBreakerLayer, DeadLetter, FallbackLayer, MetricsLayer, RateLimitLayer, RetryLayer,
        ServiceBuilderExt, circuit_breaker::CircuitState, metrics::Field,
    },
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    bed::{Bed, soon},
    fake::{Fake, Handled, Published, delivered, order, read, refused},
    support::run,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_dead_letter_layer_inside_of_retry_moves_the_first_failure() {
    let dead = Fake::new([delivered()]);
    let fake = Fake::<ConsumerRecord>::new([Err("no".into())]);
    let stack = ServiceBuilder::new()
        .retry_with(Backoff::default())
        .dead_letter(DeadLetter::to(dead))
        .service(fake);
    let answer = stack.oneshot(read(1)).await.unwrap();
    assert!(matches!(answer, Outcome::Moved { .. }), "{answer:?}");

    let stack = ServiceBuilder::new()
        .retry_with(Backoff::default())
        .dead_letter(DeadLetter::to(Fake::new([delivered()])))
        .service(Fake::new([refused(ErrorClass::Retriable)]));
    let error = stack.oneshot(order()).await.unwrap_err();
    assert!(error.dead_letter().is_some());
}

#[tokio::test]
async fn catch_panic_outside_of_retry_repeats_no_panic() {
    let handler = service_fn(async |_: ConsumerRecord| -> Handled { panic!("oh no") });
    let stack = ServiceBuilder::new()
        .catch_panic()
        .retry_with(Backoff::default())
        .service(handler);
    stack.oneshot(read(1)).await.unwrap_err();
}

#[test]
fn without_catch_panic_a_panic_stops_the_consumer() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let panicking = service_fn(async |_: ConsumerRecord| -> Handled { panic!("oh no") });
        let stack = ServiceBuilder::new()
            .dead_letter(DeadLetter::to(bed.publisher.clone()))
            .retry_with(Backoff::default())
            .service(panicking);
        let ended = soon("the end", bed.serve(stack).task).await;
        let error = ended.expect("no panic").unwrap_err();
        assert!(find_error::<PanicError>(&error).is_some(), "{error}");
    });
}

#[tokio::test(start_paused = true)]
async fn a_breaker_outside_of_retry_sees_one_failure_where_there_were_several() {
    let breaker = CircuitBreakerLayer::consecutive(2, SECOND);
    let monitor = breaker.monitor();
    let stack = ServiceBuilder::new()
        .circuit_breaker(breaker.clone())
        .retry_with(Backoff::default())
        .service(Fake::new((0..4).map(|_| refused(ErrorClass::Retriable))));
    stack.oneshot(order()).await.unwrap_err();
    assert_eq!(monitor.state(), CircuitState::Closed);
    // Consuming, each attempt comes by.
    let mut stack = ServiceBuilder::new()
        .circuit_breaker(breaker)
        .retry_with(Backoff::default())
        .service(Fake::<ConsumerRecord>::new([Err("no".into())]));
    let answer = stack.ready().await.unwrap().call(read(1)).await.unwrap();
    assert!(matches!(answer, Outcome::Retry { .. }), "{answer:?}");
    assert_eq!(monitor.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_of_retry_ends_the_waiting_too() {
    let fake = Fake::new([refused(ErrorClass::Retriable)]);
    let stack = ServiceBuilder::new()
        .message_id()
        .dead_letter(DeadLetter::to(Fake::new([delivered()])))
        .timeout(SECOND / 2)
        .retry_with(Backoff::default())
        .service(fake.handle());
    let error = stack.oneshot(order()).await.unwrap_err();
    assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn key_order_inside_of_retry_lets_the_second_pass_the_first() {
    let fake = Fake::new([refused(ErrorClass::Retriable), delivered(), delivered()]);
    let mut stack = ServiceBuilder::new()
        .retry_with(Backoff::default())
        .key_order()
        .service(fake.handle());
    let first = stack.ready().await.unwrap().call(order().payload("1"));
    let second = stack.ready().await.unwrap().call(order().payload("2"));
    tokio::try_join!(first, second).unwrap();
    let last = fake.calls().pop().unwrap();
    assert_eq!(last.payload.as_deref(), Some(&b"1"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_message_id_inside_of_retry_changes_with_the_attempt() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ids);
    let hanging_once = service_fn(move |record: ProducerRecord| {
        let mut ids = seen.lock().unwrap();
        ids.push(record.message_id);
        let is_first = ids.len() == 1;
        async move {
            if is_first {
                pending::<()>().await;
            }
            delivered()
        }
    });
    let retry = || RetryLayer::default().accept_duplicates();
    let inside = ServiceBuilder::new()
        .retry_with(retry())
        .timeout(SECOND)
        .message_id()
        .service(hanging_once.clone());
    inside.send(order()).await.unwrap();
    let [first, second] = &ids.lock().unwrap().split_off(0)[..] else {
        panic!("two attempts");
    };
    assert_ne!(first, second);

    let outside = ServiceBuilder::new()
        .message_id()
        .retry_with(retry())
        .timeout(SECOND)
        .service(hanging_once);
    outside.send(order()).await.unwrap();
    let ids = ids.lock().unwrap();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_outside_of_retry_lets_repetitions_pass() {
    let answers = || Fake::new([refused(ErrorClass::Retriable), delivered()]);
    let at_once = || Backoff::constant(Duration::from_millis(1));
    let limit = || RateLimitLayer::new(1, SECOND);
    let fake = answers();
    let outside = ServiceBuilder::new()
        .throttle(limit())
        .retry_with(at_once())
        .service(fake.handle());
    outside.send(order()).await.unwrap();
    assert_eq!(fake.times(), [0, 1]);

    let fake = answers();
    let inside = ServiceBuilder::new()
        .retry_with(at_once())
        .throttle(limit())
        .service(fake.handle());
    inside.send(order()).await.unwrap();
    assert_eq!(fake.times(), [0, 1000]);
}

#[tokio::test]
async fn a_breaker_outside_of_dead_letters_sees_no_failure_of_a_handler() {
    let poison = || Handled::Err(Classified::non_retriable("poison").into());
    let classify = |_: &(dyn std::error::Error + 'static)| ErrorClass::Retriable;
    for (outside, expected) in [(true, CircuitState::Closed), (false, CircuitState::Open)] {
        let breaker = CircuitBreakerLayer::consecutive(1, SECOND).classify(classify);
        let monitor = breaker.monitor();
        let letters = DeadLetter::to(Fake::new([delivered()]));
        let fake = Fake::<ConsumerRecord>::new([poison()]);
        let answer = match outside {
            true => {
                let stack = ServiceBuilder::new()
                    .circuit_breaker(breaker)
                    .dead_letter(letters);
                stack.service(fake).oneshot(read(1)).await
            }
            false => {
                let stack = ServiceBuilder::new()
                    .dead_letter(letters)
                    .circuit_breaker(breaker);
                stack.service(fake).oneshot(read(1)).await
            }
        };
        assert!(matches!(answer, Ok(Outcome::Moved { .. })), "{answer:?}");
        assert_eq!(monitor.state(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_of_dead_letters_cuts_their_writing_off() {
    let hanging = service_fn(|_: ProducerRecord| pending::<Published>());
    let stack = ServiceBuilder::new()
        .timeout(SECOND)
        .dead_letter(DeadLetter::to(hanging))
        .service(Fake::<ConsumerRecord>::new([Err(
            Classified::non_retriable("poison").into(),
        )]));
    let error = stack.oneshot(read(1)).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
}

#[tokio::test]
async fn a_fallback_outside_of_dead_letters_is_not_asked() {
    let asked = Arc::new(Mutex::new(0));
    let fallback = |asked: &Arc<Mutex<u32>>| {
        let asked = Arc::clone(asked);
        FallbackLayer::new(move |_: ConsumerRecord, _: BoxError| {
            *asked.lock().unwrap() += 1;
            ready(Ok::<_, BoxError>(()))
        })
    };
    let poison = || Fake::<ConsumerRecord>::new([Err(Classified::non_retriable("poison").into())]);
    let letters = || DeadLetter::to(Fake::new([delivered()]));
    let outside = ServiceBuilder::new()
        .fallback(fallback(&asked))
        .dead_letter(letters())
        .service(poison());
    let answer = outside.oneshot(read(1)).await.unwrap();
    assert!(matches!(answer, Outcome::Moved { .. }), "{answer:?}");
    assert_eq!(*asked.lock().unwrap(), 0);

    let inside = ServiceBuilder::new()
        .dead_letter(letters())
        .fallback(fallback(&asked))
        .service(poison());
    assert_eq!(inside.oneshot(read(1)).await.unwrap(), Outcome::Ack);
    assert_eq!(*asked.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn metrics_inside_of_retry_count_attempts_of_a_publish() {
    for (inside, expected) in [(true, 2), (false, 1)] {
        let sends = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&sends);
        let metrics = MetricsLayer::new(move |name: &'static str, _: f64, _: &[Field<'_>]| {
            *counted.lock().unwrap() += u32::from(name == "messaging.client.operation.duration");
        });
        let fake = Fake::new([refused(ErrorClass::Retriable), delivered()]);
        let builder = ServiceBuilder::new();
        let sent = match inside {
            true => {
                let builder = builder
                    .retry_with(Backoff::default())
                    .kafka_metrics(metrics);
                builder.service(fake).oneshot(order()).await
            }
            false => {
                let builder = builder
                    .kafka_metrics(metrics)
                    .retry_with(Backoff::default());
                builder.service(fake).oneshot(order()).await
            }
        };
        sent.unwrap();
        assert_eq!(*sends.lock().unwrap(), expected, "{inside}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_presets_have_the_documented_order() {
    let dead = Fake::new([delivered()]);
    let handler = service_fn(async |_: ConsumerRecord| -> Handled { panic!("oh no") });
    let stack = ServiceBuilder::new()
        .consuming(
            (),
            DeadLetter::to(dead.handle()),
            Backoff::default().max_attempts(2),
        )
        .service(handler);
    let again = stack.clone().oneshot(read(1)).await.unwrap();
    assert!(matches!(again, Outcome::Retry { .. }), "{again:?}");
    let moved = stack.oneshot(read(2)).await.unwrap();
    assert!(matches!(moved, Outcome::Moved { .. }), "{moved:?}");

    let fake = Fake::new((0..2).map(|_| refused(ErrorClass::Retriable)));
    let dead = Fake::new([delivered()]);
    let stack = ServiceBuilder::new()
        .publishing(
            (),
            DeadLetter::to(dead.handle()),
            Backoff::default().max_attempts(2),
        )
        .service(fake.handle());
    let error = stack.send(order()).await.unwrap_err();
    assert!(error.dead_letter().is_some());
    let ids = fake.calls().into_iter().map(|record| record.message_id);
    let ids: Vec<_> = ids.collect();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert_eq!(dead.calls()[0].message_id, ids[0]);
}
