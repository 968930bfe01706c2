//! An order goes from an HTTP request through Kafka, fails twice, becomes a dead letter and is looked
//! after: one trace, with metrics and logs, sent by OTLP.
//!
//! ```text
//! cargo run --example opentelemetry
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 cargo run --example opentelemetry
//! ```
//!
//! Without a collector to send to, one inside the process prints what it receives. Runs on an embedded
//! broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. `telemetry.rs` is what to copy.

mod print;
mod received;
mod receiver;
mod telemetry;

use std::{env, future::IntoFuture, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    routing::post,
};
use kafka_tower::{
    Backoff, BoxError, BoxPublisher, Consumer, ConsumerRecord, ConsumerSettings, ProducerRecord,
    ProducerSettings, PublishExt, Publisher,
    layers::{DeadLetter, MetricsLayer, ServiceBuilderExt, TraceLayer},
    otel::OtelMetrics,
    serve,
    testing::TestKafka,
};
use opentelemetry::trace::TraceContextExt;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tracing::{Span, error, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{receiver::Receiver, telemetry::Telemetry};

#[derive(Clone)]
struct Orders {
    topic: String,
    publisher: BoxPublisher,
}

/// `POST /orders`: answers with the id of its trace.
async fn post_order(State(orders): State<Orders>, order: String) -> Result<String, StatusCode> {
    let record = ProducerRecord::to(orders.topic).key("42").payload(order);
    let delivery = orders.publisher.send(record).await.map_err(|failed| {
        error!(%failed, "an order is not published");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    info!(offset = delivery.offset, "an order is published");
    let context = Span::current().context();
    Ok(context.span().span_context().trace_id().to_string())
}

fn http(orders: Orders) -> axum::Router {
    let spans =
        tower_http::trace::TraceLayer::new_for_http().make_span_with(|request: &Request| {
            info_span!(
                "request",
                otel.kind = "server",
                otel.name = %format_args!("{} {}", request.method(), request.uri().path()),
            )
        });
    axum::Router::new()
        .route("/orders", post(post_order))
        .layer(spans)
        .with_state(orders)
}

async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
    info!(attempt = record.attempt(), "no stock for an order");
    Err("out of stock".into())
}

async fn on_dead_letter(_: ConsumerRecord) -> Result<(), BoxError> {
    info!("somebody looks after a dead letter");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (endpoint, receiver) = match env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Ok(endpoint) => (endpoint, None),
        Err(_) => {
            let receiver = Receiver::start().await?;
            (receiver.endpoint(), Some(receiver))
        }
    };
    let telemetry = Telemetry::init("order-service", &endpoint, "info")?;

    let trace = run(&telemetry).await?;
    telemetry.shutdown();
    match receiver {
        None => println!("trace {trace} is at {endpoint}"),
        Some(receiver) => {
            let all = |received: &received::Received| {
                let spans = received.spans.iter().filter(|span| span.trace == trace);
                spans.count() == 6
            };
            let received = receiver.wait_for("the six spans", all).await;
            print::print(&received, &trace);
            assert!(received.logs.iter().any(|log| log.trace == trace));
            assert!(received.metrics.contains_key("messaging.process.duration"));
        }
    }
    Ok(())
}

/// The service: its trace is told.
async fn run(telemetry: &Telemetry) -> Result<String, BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topic = kafka.unique_topic("orders", 1).await?;
    let dead = format!("{topic}.dlq");
    kafka.create_topic(&dead, 1).await?;
    let brokers = kafka.bootstrap_servers();
    let publisher = Publisher::new(ProducerSettings::high_reliability(brokers))?;
    let metrics = OtelMetrics::new();
    metrics.observe_publisher(&publisher, "order-service");

    // Publishing: also the dead letters.
    let traced = ServiceBuilder::new()
        .kafka_trace()
        .kafka_metrics(metrics.clone())
        .service(publisher.clone())
        .erased();
    let http = http(Orders {
        topic: topic.clone(),
        publisher: traced.clone(),
    });
    let request = Request::post("/orders").body(Body::from("a pound of tea"))?;
    let answer = http.oneshot(request).await?.into_body();
    let trace = axum::body::to_bytes(answer, 100).await?;

    // Consuming: a span and a measurement for each attempt.
    let observed = |group: &str| {
        let metrics = MetricsLayer::new(metrics.clone()).group(group);
        (TraceLayer::new().group(group), metrics)
    };
    let handler = ServiceBuilder::new()
        .layer(observed("order-service"))
        .dead_letter(DeadLetter::to(traced).group("order-service"))
        .retry_with(Backoff::constant(Duration::from_millis(100)).max_attempts(2))
        .service(service_fn(on_order));
    let settings = ConsumerSettings::new(brokers, "order-service").topics([topic]);
    let orders = serve(Consumer::with_settings(settings)?, handler);
    metrics.observe_consumer(&orders.handle(), "order-service");

    let handler = ServiceBuilder::new()
        .layer(observed("repair-service"))
        .service(service_fn(on_dead_letter));
    let settings = ConsumerSettings::new(brokers, "repair-service").topics([dead]);
    let letters = serve(Consumer::with_settings(settings)?, handler);
    metrics.observe_consumer(&letters.handle(), "repair-service");

    // First all orders, which make the letters.
    let (on_orders, on_letters) = (orders.handle(), letters.handle());
    let orders = tokio::spawn(orders.into_future());
    let letters = tokio::spawn(letters.into_future());
    on_orders.drained().await?;
    on_letters.drained().await?;
    telemetry.flush_metrics()?;
    on_orders.stop();
    on_letters.stop();
    let (orders, letters) = (orders.await??, letters.await??);
    assert_eq!((orders.moved, letters.acked), (1, 1));

    let flushed = publisher.close(Duration::from_secs(5)).await;
    assert!(flushed.undelivered.is_empty(), "everything was delivered");
    Ok(String::from_utf8(trace.to_vec())?)
}
