//! What a layer costs while nothing fails: nanoseconds and allocations for each record, around a service
//! that does nothing.
//!
//! `cargo bench --bench layers`

use std::{
    alloc::{GlobalAlloc, Layout, System},
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_tower::{
    App, Backoff, BoxError, ConsumerRecord, Delivery, Headers, MessageId, Outcome, ProducerRecord,
    PublishError, Record, Router,
    extract::{Key, State},
    layers::{
        CircuitBreakerLayer, DeadLetter, FallbackLayer, RateLimitLayer, ServiceBuilderExt,
        dead_letter::DeadLetterBudget,
    },
    otel::OtelMetrics,
    router::handler_service,
};
use opentelemetry::{global, metrics::MeterProvider, trace::TracerProvider};
use opentelemetry_sdk::{
    metrics::{ManualReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};
use tower::{Service, ServiceBuilder, layer::util::Identity};
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

const RECORDS: u32 = 500_000;
const ROUNDS: usize = 5;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A service that does nothing.
#[derive(Clone)]
struct Leaf<R: Record>(R::Done)
where
    R::Done: Clone;

impl<R: Record<Done: Clone>> Service<R> for Leaf<R> {
    type Response = R::Done;
    type Error = R::Error;
    type Future = Ready<Result<R::Done, R::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: R) -> Self::Future {
        drop(black_box(record));
        ready(Ok(self.0.clone()))
    }
}

/// The fastest of some rounds: nanoseconds, and allocations.
fn measure<R: Record, S: Service<R>>(service: &mut S, record: &R) -> (f64, f64) {
    let mut context = Context::from_waker(Waker::noop());
    let mut best = (f64::MAX, 0.0);
    for _ in 0..ROUNDS {
        let allocations = ALLOCATIONS.load(Relaxed);
        let started = Instant::now();
        for _ in 0..RECORDS {
            let is_ready = service.poll_ready(&mut context).is_ready();
            assert!(is_ready, "nothing holds it up");
            let future = pin!(service.call(record.clone()));
            let answer = future.poll(&mut context);
            assert!(answer.is_ready(), "nothing has to be waited for");
        }
        let each = |count: f64| count / f64::from(RECORDS);
        let nanos = each(started.elapsed().as_nanos() as f64);
        let allocations = each((ALLOCATIONS.load(Relaxed) - allocations) as f64);
        if nanos < best.0 {
            best = (nanos, allocations);
        }
    }
    best
}

fn report<R: Record, S: Service<R>>(name: &str, mut service: S, record: &R, bare: (f64, f64)) {
    let (nanos, allocations) = measure(&mut service, record);
    let (nanos, allocations) = (nanos - bare.0, allocations - bare.1);
    println!("{name:34} {nanos:7.1} ns {allocations:5.2} allocations");
}

fn builder() -> ServiceBuilder<Identity> {
    ServiceBuilder::new()
}

/// A macro, since each stack is a type of its own.
macro_rules! both_sides {
    ($publish:ident, $consume:ident: $($name:literal => $stack:expr;)*) => {$({
        let name = concat!($name, ", publish");
        report(name, $stack.service($publish.1.clone()), &$publish.0, $publish.2);
        let name = concat!($name, ", consume");
        report(name, $stack.service($consume.1.clone()), &$consume.0, $consume.2);
    })*};
}

fn main() {
    // Some layers ask the runtime for the time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _context = runtime.enter();

    let id = MessageId::new();
    let record = ProducerRecord::to("orders")
        .key("42")
        .payload("tea")
        .message_id(id.clone());
    let leaf = Leaf::<ProducerRecord>(Delivery::new("orders", 0, 7, id));
    let bare = measure(&mut leaf.clone(), &record);
    let publish = (record, leaf, bare);

    let record = ConsumerRecord::builder("orders", 0, 7)
        .key("42")
        .payload("tea")
        .build();
    let leaf = Leaf::<ConsumerRecord>(Outcome::Ack);
    let bare = measure(&mut leaf.clone(), &record);
    let consume = (record, leaf, bare);
    println!(
        "{:34} {:7.1} ns {:5.2} allocations",
        "the service alone, publish", publish.2.0, publish.2.1
    );
    println!(
        "{:34} {:7.1} ns {:5.2} allocations\n",
        "the service alone, consume", consume.2.0, consume.2.1
    );

    let second = Duration::from_secs(1);
    let dead = || DeadLetter::to(publish.1.clone());
    let budget = DeadLetterBudget::new()
        .max_consecutive(10)
        .max_ratio(0.1, 1000);
    let provider = SdkMeterProvider::builder()
        .with_reader(ManualReader::builder().build())
        .build();
    let sdk = OtelMetrics::builder()
        .meter(provider.meter("bench"))
        .build();
    let breaker = || CircuitBreakerLayer::consecutive(5, second);
    both_sides! { publish, consume:
        "retry" => builder().retry_with(Backoff::default());
        "dead_letter" => builder().dead_letter(dead());
        "dead_letter with a budget" => builder().dead_letter(dead().budget(budget.clone()));
        "circuit_breaker" => builder().circuit_breaker(breaker());
        "circuit_breaker per key" => builder().circuit_breaker(breaker().per_key());
        "circuit_breaker by rate" => builder().circuit_breaker(
            CircuitBreakerLayer::failure_rate(0.5, second, 10, second)
        );
        "throttle" => builder().throttle(RateLimitLayer::new(1_000_000_000, second));
        "catch_panic" => builder().catch_panic();
        "kafka_metrics that do nothing" => builder().kafka_metrics(());
        "kafka_metrics to no SDK" => builder().kafka_metrics(OtelMetrics::new());
        "kafka_metrics to the SDK" => builder().kafka_metrics(sdk.clone());
        "trace without subscriber" => builder().kafka_trace();
        "dead_letter, retry, catch_panic" =>
            builder().dead_letter(dead()).retry_with(Backoff::default()).catch_panic();
    }
    let fallback = FallbackLayer::new(async |_, error: BoxError| Err::<Outcome, _>(error));
    let stack = builder().fallback(fallback).service(consume.1.clone());
    report("fallback, consume", stack, &consume.0, consume.2);
    let fallback = FallbackLayer::new(async |_, error: PublishError| Err::<Delivery, _>(error));
    let stack = builder().fallback(fallback).service(publish.1.clone());
    report("fallback, publish", stack, &publish.0, publish.2);
    let stack = builder().message_id().service(publish.1.clone());
    report("message_id, already there", stack, &publish.0, publish.2);
    let stack = builder().key_order().service(publish.1.clone());
    report("key_order", stack, &publish.0, publish.2);
    let stack = builder().track(()).service(publish.1.clone());
    report("track", stack, &publish.0, publish.2);

    // Spans are made and thrown away: an exporter's cost is its own.
    let provider = SdkTracerProvider::builder().build();
    let spans = || tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    global::set_text_map_propagator(TraceContextPropagator::new());
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::WARN)
        .with(spans());
    tracing::subscriber::with_default(subscriber, || {
        both_sides! { publish, consume:
            "trace, filtered out" => builder().kafka_trace();
        }
    });
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(spans());
    tracing::subscriber::with_default(subscriber, || {
        both_sides! { publish, consume:
            "trace, OpenTelemetry" => builder().kafka_trace();
        }
        let mut headers = Headers::new();
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.append("traceparent", traceparent);
        let sent = ConsumerRecord::builder("orders", 0, 7)
            .key("42")
            .payload("tea");
        let sent = sent.headers(headers).build();
        let stack = builder().kafka_trace().service(consume.1.clone());
        report("the same with a parent, consume", stack, &sent, consume.2);
    });
    println!();
    routers(&consume);
}

/// Handlers, by themselves and in a router, beside the service alone.
fn routers((record, leaf, bare): &(ConsumerRecord, Leaf<ConsumerRecord>, (f64, f64))) {
    async fn handler(_: State<u32>, key: Key<Bytes>) {
        black_box(key);
    }
    let service = handler_service(async || {}, ());
    report("handler_service", service, record, *bare);
    let service = handler_service(handler, 7);
    report("handler_service, State and Key", service, record, *bare);
    let lane = |router: Router| router.into_make_lane()("orders", 0);
    let service = Router::new().topic_service("orders", leaf.clone());
    report("router, topic_service", lane(service), record, *bare);
    let service = Router::new().topic("orders", async || {});
    report("router, topic", lane(service), record, *bare);
    let service = Router::new().topic("orders", handler).with_state(7);
    report("router, State and Key", lane(service), record, *bare);
    let service = Router::new()
        .topic("orders", async || {})
        .layer(builder().retry_with(Backoff::default()));
    report("router, retry", lane(service), record, *bare);
    let service = Router::new().topic_prefix("ord", async || {});
    report("router, topic_prefix", lane(service), record, *bare);
}
