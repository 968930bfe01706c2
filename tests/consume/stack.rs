//! Layers around the handler, back-pressure by `poll_ready`, and apps of one's own.

use std::{
    future::{Ready, pending, ready},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Context, Poll},
    time::Duration,
};

use kafka_tower::{App, BoxError, ConsumerRecord, ConsumerSettings, Outcome};
use tokio::{task::yield_now, time::timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::{Layer, Service, ServiceBuilder, timeout::error::Elapsed, util::BoxCloneService};

use crate::{
    bed::{Bed, Calls, Running, soon},
    support::run,
};

/// Adds the number of the lane's call to the record.
#[derive(Clone)]
struct Number;

#[derive(Clone)]
struct Numbered<S> {
    inner: S,
    calls: usize,
}

#[derive(Clone)]
struct Nth(usize);

impl<S> Layer<S> for Number {
    type Service = Numbered<S>;

    fn layer(&self, inner: S) -> Numbered<S> {
        Numbered { inner, calls: 0 }
    }
}

impl<S: Service<ConsumerRecord>> Service<ConsumerRecord> for Numbered<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut record: ConsumerRecord) -> S::Future {
        self.calls += 1;
        record.extensions_mut().insert(Nth(self.calls));
        self.inner.call(record)
    }
}

#[test]
fn a_stack_of_layers_is_dispatched_through() {
    run(async {
        let bed = Bed::new(4).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let running = Arc::new(AtomicUsize::new(0));
        let handler = calls.service(move |record| {
            let running = Arc::clone(&running);
            async move {
                let Some(Nth(nth)) = record.extensions().get() else {
                    panic!("no number");
                };
                if (record.offset(), record.attempt()) == (5, 1) {
                    // Until the timeout.
                    pending::<()>().await;
                }
                // Each partition has a service of its own, which sees every call, and record 5
                // twice.
                let retries = u32::from(record.offset() >= 5);
                assert_eq!(*nth as i64, record.offset() + 1 + i64::from(retries));
                let others = running.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(others < 2, "{others} others are running");
                Ok(Outcome::Ack)
            }
        });
        let stack = ServiceBuilder::new()
            .map_result(|result: Result<Outcome, BoxError>| match result {
                Err(error) if error.is::<Elapsed>() => Ok(Outcome::Retry { after: None }),
                other => other,
            })
            .layer(Number)
            .timeout(Duration::from_millis(500))
            // Shared by the clones of all partitions.
            .concurrency_limit(2)
            .service(handler);
        let consumer = bed.serve(stack);
        calls.reach(44).await;
        let summary = consumer.stop().await;
        assert_eq!((summary.acked, summary.retried), (40, 4));
        assert_eq!(bed.committed().await, bed.all_at(10));
    });
}

/// Ready once for each call, when the gate is open.
struct Gated {
    gate: CancellationToken,
    opened: Pin<Box<WaitForCancellationFutureOwned>>,
    polled: CancellationToken,
    is_ready: bool,
    calls: Calls,
}

impl Gated {
    fn new(gate: CancellationToken, polled: CancellationToken, calls: Calls) -> Self {
        Self {
            opened: Box::pin(gate.clone().cancelled_owned()),
            gate,
            polled,
            is_ready: false,
            calls,
        }
    }
}

impl Clone for Gated {
    fn clone(&self) -> Self {
        Self::new(self.gate.clone(), self.polled.clone(), self.calls.clone())
    }
}

impl Service<ConsumerRecord> for Gated {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.polled.cancel();
        task::ready!(self.opened.as_mut().poll(context));
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: ConsumerRecord) -> Self::Future {
        assert!(mem::take(&mut self.is_ready), "called unready");
        self.calls.note(&record);
        ready(Ok(()))
    }
}

#[test]
fn a_service_that_is_not_ready_gets_no_call() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let (gate, polled) = (CancellationToken::new(), CancellationToken::new());
        let calls = Calls::default();
        let service = Gated::new(gate.clone(), polled.clone(), calls.clone());
        let running = bed.serve(service);
        soon("readiness is asked for", polled.cancelled()).await;
        gate.cancel();
        calls.reach(20).await;
        assert_eq!(running.stop().await.acked, 20);
    });
}

#[test]
fn a_service_that_is_never_ready_does_not_hold_up_the_shutdown() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let polled = CancellationToken::new();
        let calls = Calls::default();
        let service = Gated::new(CancellationToken::new(), polled.clone(), calls.clone());
        let running = bed.serve(service);
        soon("readiness is asked for", polled.cancelled()).await;
        let summary = timeout(Duration::from_secs(20), running.stop()).await;
        assert_eq!(summary.expect("the drain timeout is longer").undone, []);
        assert_eq!(calls.all(), []);
        // A lane that wasn't looked at yet has committed nothing.
        let committed = bed.committed().await;
        assert!(
            committed.values().all(|offset| *offset == 0),
            "{committed:?}"
        );
    });
}

/// Names its topic; acks partition 0 and skips the others.
struct ByPartition {
    topic: String,
    made: Arc<AtomicUsize>,
    calls: Calls,
}

impl App for ByPartition {
    type Service = BoxCloneService<ConsumerRecord, Outcome, BoxError>;

    fn topics(&self) -> Option<Vec<String>> {
        Some(vec![self.topic.clone()])
    }

    fn into_make_lane(self) -> impl Fn(&str, i32) -> Self::Service + Send + Sync + 'static {
        move |topic, partition| {
            assert_eq!(topic, self.topic);
            self.made.fetch_add(1, Ordering::SeqCst);
            BoxCloneService::new(self.calls.service(move |_| {
                ready(Ok(match partition {
                    0 => Outcome::Ack,
                    _ => Outcome::Skip,
                }))
            }))
        }
    }
}

#[test]
fn an_app_may_name_its_topics_and_differ_by_partition() {
    run(async {
        let bed = Bed::new(3).await;
        bed.fill(10).await;
        let app = ByPartition {
            topic: bed.topic.clone(),
            made: Arc::default(),
            calls: Calls::default(),
        };
        let (made, calls) = (Arc::clone(&app.made), app.calls.clone());
        let running = Running::start(ConsumerSettings::new(bed.brokers(), &bed.group), app);
        calls.reach(30).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.skipped), (10, 20));
        assert_eq!(made.load(Ordering::SeqCst), 3);
    });
}
