//! A layer of your own that serves both flows: it measures calls, of a publisher and of a handler, and
//! stands in a stack with the built-in ones.
//!
//! ```text
//! cargo run --example custom_layer
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! Publish, attempt 1: ok in 51.0ms
//! Publish, attempt 1: ok in 5.3ms
//! Consume, attempt 1: ok in 21.3ms
//! Consume, attempt 1: failed in 21.3ms
//! Consume, attempt 2: ok in 21.3ms
//! ok and failed: publishing (2, 0), consuming (2, 1)
//! ```

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use kafka_tower::{
    Backoff, BoxError, Consumer, ConsumerRecord, ConsumerSettings, ProducerRecord,
    ProducerSettings, PublishExt, Publisher, Record, RecordService, layers::ServiceBuilderExt,
    serve, testing::TestKafka,
};
use pin_project::pin_project;
use tokio::{select, signal::ctrl_c, sync::Semaphore, time::sleep};
use tower::{Layer, Service, ServiceBuilder, service_fn};

/// What was measured, shared by all services that are made with the same layer: one for each partition,
/// one for each caller of a publisher.
#[derive(Debug, Default)]
struct Calls {
    ok: AtomicU32,
    failed: AtomicU32,
}

#[derive(Debug, Clone, Default)]
struct MeasureLayer {
    calls: Arc<Calls>,
}

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure {
            inner,
            calls: Arc::clone(&self.calls),
        }
    }
}

#[derive(Debug, Clone)]
struct Measure<S> {
    inner: S,
    calls: Arc<Calls>,
}

/// `R` is a `ProducerRecord` or a `ConsumerRecord`, and `S` a publisher, a handler, or a stack of layers
/// around one. Answers and errors pass unchanged; a layer that makes errors of its own answers with
/// `R::Done` and `R::Error` instead, see the documentation of [`Record`].
impl<R: Record, S: RecordService<R>> Service<R> for Measure<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = MeasureFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, record: R) -> Self::Future {
        let view = record.view();
        let label = format!("{:?}, attempt {}", R::SIDE, view.attempt);
        MeasureFuture {
            started: Instant::now(),
            label,
            calls: Arc::clone(&self.calls),
            inner: self.inner.call(record),
        }
    }
}

#[pin_project]
struct MeasureFuture<F> {
    #[pin]
    inner: F,
    started: Instant,
    label: String,
    calls: Arc<Calls>,
}

impl<F, T, E> Future for MeasureFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let (count, what) = match result {
            Ok(_) => (&this.calls.ok, "ok"),
            Err(_) => (&this.calls.failed, "failed"),
        };
        count.fetch_add(1, Relaxed);
        println!("{}: {what} in {:.1?}", this.label, this.started.elapsed());
        Poll::Ready(result)
    }
}

/// Fails at the first attempt at the second order.
async fn on_order(handled: Arc<Semaphore>, record: ConsumerRecord) -> Result<(), BoxError> {
    sleep(Duration::from_millis(20)).await;
    if record.payload() == Some(b"coffee") && record.attempt() == 1 {
        return Err("the warehouse is busy".into());
    }
    handled.add_permits(1);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topic = kafka.unique_topic("orders", 1).await?;
    let backoff = Backoff::exponential(Duration::from_millis(100)..=Duration::from_secs(5));

    let published = MeasureLayer::default();
    let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
    let orders = ServiceBuilder::new()
        .message_id()
        .layer(published.clone()) // Outside of retry: a record counts once.
        .retry_with(backoff.clone())
        .service(Publisher::new(settings)?);
    for item in ["tea", "coffee"] {
        orders
            .send(ProducerRecord::to(topic.as_str()).payload(item))
            .await?;
    }

    let consumed = MeasureLayer::default();
    let handled = Arc::new(Semaphore::new(0));
    let all = Arc::clone(&handled);
    let service = ServiceBuilder::new()
        .retry_with(backoff)
        .layer(consumed.clone()) // Inside of retry: each attempt counts.
        .catch_panic()
        .service(service_fn(move |record| {
            on_order(Arc::clone(&handled), record)
        }));
    let settings = ConsumerSettings::new(kafka.bootstrap_servers(), format!("{topic}-service"));
    serve(Consumer::with_settings(settings.topics([&topic]))?, service)
        .with_graceful_shutdown(async move {
            select! {
                _ = all.acquire_many(2) => {}
                _ = ctrl_c() => {}
            }
        })
        .await?;

    let [published, consumed] = [published, consumed].map(|layer| {
        (
            layer.calls.ok.load(Relaxed),
            layer.calls.failed.load(Relaxed),
        )
    });
    println!("ok and failed: publishing {published:?}, consuming {consumed:?}");
    assert_eq!((published, consumed), ((2, 0), (2, 1)));
    Ok(())
}
