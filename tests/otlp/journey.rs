//! An order that fails twice and is looked after as a dead letter, and one that is too large to be sent:
//! exported once, looked at by all tests.

use std::{sync::LazyLock, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    routing::post,
};
use kafka_tower::{
    Backoff, BoxError, BoxPublisher, ConsumerRecord, ProducerRecord, ProducerSettings, PublishExt,
    Publisher,
    layers::{DeadLetter, MetricsLayer, ServiceBuilderExt, TraceLayer},
    otel::OtelMetrics,
    testing::TestKafka,
};
use opentelemetry::trace::TraceContextExt;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tracing::{Span, info, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    bed::{Bed, Running, is_done},
    received::{self, Received},
    receiver::Receiver,
    support::run,
    telemetry::Telemetry,
};

pub(crate) static JOURNEY: LazyLock<Journey> = LazyLock::new(|| {
    let mut journey = None;
    run(async { journey = Some(travel().await.expect("a journey")) });
    journey.expect("it came to its end")
});

/// What was received, and what it is about.
pub(crate) struct Journey {
    pub(crate) received: Received,
    pub(crate) topic: String,
    pub(crate) dead: String,
    pub(crate) group: String,
    pub(crate) repair_group: String,
    /// The trace, as the HTTP request answered it.
    pub(crate) trace: String,
}

impl Journey {
    /// The spans of this name, oldest first.
    pub(crate) fn spans(&self, name: &str) -> Vec<&received::Span> {
        let mut spans: Vec<_> = self.received.spans.iter().collect();
        spans.retain(|span| span.name == name);
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The only span of this name in the trace.
    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> &received::Span {
        let mut spans = self.spans(name);
        spans.retain(|span| span.trace == self.trace);
        assert_eq!(spans.len(), 1, "{name}: {spans:?}");
        spans[0]
    }
}

async fn travel() -> Result<Journey, BoxError> {
    let receiver = Receiver::start().await?;
    let filter = "info,kafka_tower::poll=debug,kafka_tower::commit=debug";
    let telemetry = Telemetry::init("order-service", &receiver.endpoint(), filter)?;

    let mut bed = Bed::new(1).await;
    let (topic, group) = (bed.topic.clone(), bed.group.clone());
    let dead = format!("{topic}.dlq");
    match bed.mock() {
        Some(kafka) => kafka.create_topic(&dead, 1)?,
        None => TestKafka::from_env().await?.create_topic(&dead, 1).await?,
    }
    let publisher = Publisher::new(ProducerSettings::high_reliability(bed.brokers()))?;
    let metrics = OtelMetrics::new();
    metrics.observe_publisher(&publisher, "order-service");
    let orders = ServiceBuilder::new()
        .kafka_trace()
        .kafka_metrics(metrics.clone())
        .service(publisher)
        .erased();

    let http = http(&topic, orders.clone());
    let order = async |body: Vec<u8>| {
        let request = Request::post("/orders").body(Body::from(body))?;
        let answer = http.clone().oneshot(request).await?;
        let (status, body) = (answer.status(), to_bytes(answer.into_body(), 100).await?);
        Ok::<_, BoxError>((status, String::from_utf8(body.to_vec())?))
    };
    let (status, trace) = order(b"secret tea".to_vec()).await?;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = order(vec![b'x'; 2_000_000]).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);

    let observed = |group: &str| {
        let spans = TraceLayer::new().group(group).client_id("order-service-1");
        let metrics = MetricsLayer::new(metrics.clone()).group(group);
        (spans.server("kafka.internal", 9092), metrics)
    };
    let handler = ServiceBuilder::new()
        .layer(observed(&group))
        .dead_letter(DeadLetter::to(orders).group(group.as_str()))
        .retry_with(Backoff::constant(Duration::from_millis(10)).max_attempts(2))
        .catch_panic()
        .service(service_fn(async |record: ConsumerRecord| {
            warn!(attempt = record.attempt(), "no stock");
            Err::<(), BoxError>("out of stock".into())
        }));
    let working = Running::start(bed.settings(), handler);
    metrics.observe_consumer(&working.handle, group.as_str());

    bed.topic.clone_from(&dead);
    bed.group.push_str("-repair");
    let repair_group = bed.group.clone();
    let handler = ServiceBuilder::new()
        .layer(observed(&repair_group))
        .service(service_fn(async |_: ConsumerRecord| {
            info!("looked after");
            Ok::<_, BoxError>(())
        }));
    let repairing = Running::start(bed.settings(), handler);
    metrics.observe_consumer(&repairing.handle, repair_group.as_str());

    // Gauges are there while the consumers run, and the lag since they know where a partition ends.
    working.status(0, "moved", is_done).await;
    repairing.status(0, "looked after", is_done).await;
    telemetry.flush_metrics()?;
    assert_eq!(working.stop().await.moved, 1);
    assert_eq!(repairing.stop().await.acked, 1);
    telemetry.shutdown();

    let everything = |received: &Received| {
        let has = |name: &str| received.spans.iter().any(|span| span.name == name);
        has("POST /orders")
            && has(&format!("commit {dead}"))
            && received
                .logs
                .iter()
                .any(|log| log.message == "looked after")
            && received.metrics.contains_key("kafka_tower.consumer.lag")
    };
    Ok(Journey {
        received: receiver.wait_for("everything", everything).await,
        topic,
        dead,
        group,
        repair_group,
        trace,
    })
}

/// `POST /orders` in a server span, which answers with the id of its trace.
fn http(topic: &str, orders: BoxPublisher) -> axum::Router {
    let topic = topic.to_owned();
    let handler = async move |State(orders): State<BoxPublisher>, order: axum::body::Bytes| {
        let record = ProducerRecord::to(topic).key("secret-42").payload(order);
        let sent = orders.send(record).await;
        info!("answered");
        match sent {
            Ok(_) => {
                let context = Span::current().context();
                Ok(context.span().span_context().trace_id().to_string())
            }
            Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    };
    let spans =
        tower_http::trace::TraceLayer::new_for_http().make_span_with(|request: &Request| {
            let name = format!("{} {}", request.method(), request.uri().path());
            info_span!("request", otel.kind = "server", otel.name = name)
        });
    axum::Router::new()
        .route("/orders", post(handler))
        .layer(spans)
        .with_state(orders)
}
