//! Layers together: with tower's own, with a hand-written one, and in wrong orders.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use kafka_tower::{
    Backoff, BoxError, Classified, Classifier, Classify, ConsumerRecord, Delivery, ErrorClass,
    MessageId, Outcome, ProducerRecord, PublishError, PublishExt,
    layers::{
        CircuitBreakerLayer, DeadLetter, FallbackLayer, RateLimitLayer, RetryLayer,
        ServiceBuilderExt,
    },
};
use tokio::{runtime::Builder, task::JoinSet};
use tower::{
    Service, ServiceBuilder, ServiceExt, layer::layer_fn, limit::GlobalConcurrencyLimitLayer,
    service_fn,
};

use crate::{
    bed::{Bed, Calls},
    fake::{Fake, Handled, Published, delivered, order, read, refused},
    support::{log, run},
    topics::beside,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a user might write, knowing nothing of this crate: counts, and passes everything on.
#[derive(Clone)]
struct Counting<S>(S, Arc<AtomicUsize>);

impl<R, S: Service<R>> Service<R> for Counting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn towers_layers_and_a_users_own_fit_in_a_publishing_stack() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let fake = Fake::new([refused(ErrorClass::Retriable), delivered()]);
    let dead = Fake::new([delivered()]);
    let stack = ServiceBuilder::new()
        .message_id()
        .track(())
        .key_order()
        .dead_letter(DeadLetter::to(dead.handle()))
        .retry_with(Backoff::default())
        .circuit_breaker(CircuitBreakerLayer::consecutive(5, SECOND))
        .throttle(RateLimitLayer::new(100, SECOND))
        .catch_panic()
        .layer(layer_fn(move |inner| Counting(inner, Arc::clone(&counted))))
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .concurrency_limit(1)
        .map_request(|record: ProducerRecord| record.header("mapped", "yes"))
        .filter(|record: ProducerRecord| match record.payload {
            Some(_) => Ok::<_, BoxError>(record),
            None => Err(Classified::non_retriable("no tombstones").into()),
        })
        .map_response(|delivery: Delivery| delivery)
        .map_err(BoxError::from)
        .timeout(SECOND)
        .service(fake.handle());
    let delivery = stack.send(order()).await.unwrap();
    assert_eq!((delivery.attempts, count.load(Ordering::SeqCst)), (2, 2));
    assert!(fake.calls()[1].headers.contains("mapped"));
    // The class of an error comes through all of them, and so does the record.
    let error = stack.send(order().tombstone()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NonRetriable);
    assert!(error.dead_letter().is_some() && error.record().is_some());
    assert_eq!(dead.calls()[0].payload, None);
}

#[tokio::test(start_paused = true)]
async fn towers_layers_and_a_users_own_fit_in_a_consuming_stack() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let dead = Fake::new([delivered()]);
    let handler = service_fn(async |record: ConsumerRecord| match record.attempt() {
        1 => pending().await,
        2 => Ok::<_, BoxError>(()),
        _ => panic!("oh no"),
    });
    let stack = ServiceBuilder::new()
        .dead_letter(DeadLetter::to(dead.handle()))
        .retry_with(Backoff::default().max_attempts(3))
        .fallback(FallbackLayer::new(async |_, error: BoxError| {
            Handled::Err(error)
        }))
        .circuit_breaker(CircuitBreakerLayer::consecutive(5, SECOND))
        .throttle(RateLimitLayer::new(100, SECOND))
        .catch_panic()
        .layer(layer_fn(move |inner| Counting(inner, Arc::clone(&counted))))
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .concurrency_limit(1)
        .filter(|record: ConsumerRecord| match record.payload() {
            Some(_) => Ok::<_, BoxError>(record),
            None => Err(Classified::fatal("no tombstones").into()),
        })
        .timeout(SECOND)
        .map_err(|error: BoxError| error)
        .service(handler);
    let answer = stack.clone().oneshot(read(1)).await.unwrap();
    assert_eq!(
        answer,
        Outcome::Retry {
            after: Some(SECOND)
        }
    );
    assert_eq!(stack.clone().oneshot(read(2)).await.unwrap(), Outcome::Ack);
    let answer = stack.clone().oneshot(read(3)).await.unwrap();
    assert!(matches!(answer, Outcome::Moved { .. }), "{answer:?}");
    let tombstone = ConsumerRecord::builder("orders", 0, 7).build();
    stack.oneshot(tombstone).await.unwrap_err();
    assert_eq!((count.load(Ordering::SeqCst), dead.calls().len()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_class_comes_through_buffer_load_shed_and_anyhow() {
    let failing = service_fn(async |_: ConsumerRecord| -> Result<(), anyhow::Error> {
        let error = anyhow::Error::new(Classified::fatal("wrong password"));
        Err(error.context("while handling"))
    });
    let dead = Fake::new([]);
    let stack = ServiceBuilder::new()
        .dead_letter(DeadLetter::to(dead.handle()))
        .retry_with(Backoff::default())
        .buffer(4)
        .timeout(SECOND)
        .load_shed()
        .catch_panic()
        .service(failing);
    let error = stack.oneshot(read(1)).await.unwrap_err();
    let class = Classifier::new().classify(&*error);
    assert_eq!((class, dead.calls().len()), (ErrorClass::Fatal, 0));

    let stack = ServiceBuilder::new()
        .buffer(4)
        .timeout(SECOND)
        .load_shed()
        .service(Fake::new([refused(ErrorClass::NonRetriable)]));
    let error = stack.erased().send(order()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NonRetriable);
    assert!(error.record().is_some());
}

/// One record of each key is in front, and many behind; there is room for two, and every first attempt
/// fails.
#[test]
fn a_publishing_preset_without_room_comes_to_an_end() {
    run(async {
        let failed = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
        let flaky = service_fn(move |record: ProducerRecord| {
            let first = failed.lock().unwrap().insert(record.payload.clone());
            async move {
                tokio::task::yield_now().await;
                match first {
                    true => refused(ErrorClass::Retriable),
                    false => delivered(),
                }
            }
        });
        let stack = ServiceBuilder::new()
            .publishing(
                (),
                DeadLetter::to(Fake::new([])),
                Backoff::constant(Duration::from_millis(1)),
            )
            .concurrency_limit(2)
            .service(flaky);
        let mut publishes = JoinSet::new();
        for n in 0..1000 {
            let record = order().key((n % 7).to_string()).payload(n.to_string());
            publishes.spawn(stack.send(record));
        }
        let all = tokio::time::timeout(30 * SECOND, publishes.join_all()).await;
        assert!(all.expect("an end").iter().all(Result::is_ok));
    });
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_fails_fast_also_where_there_is_no_room() {
    let full = service_fn(|_: ProducerRecord| pending::<Published>());
    let mut stack = ServiceBuilder::new()
        .circuit_breaker(CircuitBreakerLayer::consecutive(1, SECOND))
        .timeout(SECOND)
        .concurrency_limit(1)
        .service(full);
    stack
        .ready()
        .await
        .unwrap()
        .call(order())
        .await
        .unwrap_err();
    let mut occupied = stack.clone();
    occupied.get_mut().ready().now_or_never();
    let refused: PublishError = stack
        .ready()
        .await
        .unwrap()
        .call(order())
        .await
        .unwrap_err();
    assert_eq!(refused.class(), ErrorClass::Unavailable);
}

#[test]
fn none_of_many_publishes_through_a_full_stack_is_lost() {
    const RECORDS: usize = 1000;
    let runtime = Builder::new_multi_thread()
        .worker_threads(10)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let bed = Bed::new(3).await;
        let dlq = beside(&bed, ".dlq").await;
        let stack = ServiceBuilder::new()
            .message_id()
            .track(())
            .key_order()
            .dead_letter(DeadLetter::to(bed.publisher.clone()))
            .retry_with(Backoff::constant(Duration::from_millis(1)))
            .circuit_breaker(CircuitBreakerLayer::consecutive(100, SECOND))
            .throttle(RateLimitLayer::new(1_000_000, SECOND))
            .catch_panic()
            .service(bed.publisher.clone());
        let mut publishes = JoinSet::new();
        for n in 0..RECORDS {
            let stack = stack.clone();
            let record = ProducerRecord::to(bed.topic.as_str())
                .key((n % 50).to_string())
                .payload(n.to_string());
            // Every hundredth goes to a partition that can't be.
            let record = match n % 100 {
                99 => record.partition(-1),
                _ => record,
            };
            publishes.spawn(async move { (n, stack.send(record).await) });
        }
        let (mut delivered, mut dead) = (0, 0);
        let mut ids = std::collections::HashSet::<MessageId>::new();
        while let Some(publish) = publishes.join_next().await {
            match publish.expect("no panic") {
                (_, Ok(delivery)) => {
                    delivered += 1;
                    ids.insert(delivery.message_id);
                }
                (n, Err(error)) => {
                    assert!(error.dead_letter().is_some(), "{error}");
                    let record = error.into_record().expect("its record");
                    assert_eq!(record.payload, Some(n.to_string().into()));
                    ids.extend(record.message_id);
                    dead += 1;
                }
            }
        }
        assert_eq!((delivered, dead, ids.len()), (990, 10, RECORDS));
        assert_eq!(log(bed.brokers(), &bed.topic).await.len(), 990);
        assert_eq!(log(bed.brokers(), &dlq).await.len(), 10);
    });
}

#[test]
fn a_whole_stack_is_served() {
    run(async {
        let bed = Bed::new(4).await;
        let dlq = beside(&bed, ".dlq").await;
        bed.fill(25).await;
        let calls = Calls::default();
        let handler = calls.service(async |record| match (record.offset(), record.attempt()) {
            (5, _) => Err(Classified::non_retriable("poison").into()),
            (7, ..3) => Err("not yet".into()),
            (9, 1) => panic!("at first"),
            (11, 1) => pending().await,
            _ => Ok(()),
        });
        let stack = ServiceBuilder::new()
            .dead_letter(DeadLetter::to(bed.publisher.clone()).group(&*bed.group))
            .retry_with(RetryLayer::new(Backoff::constant(Duration::from_millis(1))))
            .circuit_breaker(CircuitBreakerLayer::consecutive(100, SECOND))
            .throttle(RateLimitLayer::new(1_000_000, SECOND))
            .concurrency_limit(2)
            .timeout(Duration::from_millis(50))
            .catch_panic()
            .service(handler);
        let running = bed.serve(stack);
        bed.committed_soon(&bed.all_at(25)).await;
        let summary = running.stop().await;
        let counts = (summary.acked, summary.moved, summary.retried);
        assert_eq!(counts, (96, 4, 16));
        assert_eq!(calls.all().len(), 116);
        assert_eq!(log(bed.brokers(), &dlq).await.len(), 4);
    });
}
