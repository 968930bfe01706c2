//! What the layer observes.

use std::{collections::BTreeMap, time::Duration};

use kafka_tower::{
    BoxError, Delivery, ErrorClass, MatchedRoute, MessageId, Outcome, Persistence, PublishError,
    Record,
    layers::{CircuitBreakerLayer, MetricsLayer},
    otel::{OtelMetrics, semconv::SemConv},
};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tower::{Layer, ServiceExt, service_fn};

use crate::{Exported, Sdk, handled, owned, published};

async fn call<R: Record>(
    layer: &MetricsLayer<OtelMetrics>,
    record: R,
    done: Result<R::Done, BoxError>,
) where
    R::Done: Clone + Sync,
{
    let mut done = Some(done);
    let service = service_fn(move |_: R| std::future::ready(done.take().expect("one call")));
    let _ = layer.layer(service).oneshot(record).await;
}

/// Every outcome that has a metric of its own, once.
async fn exercise(metrics: &OtelMetrics) {
    let layer = MetricsLayer::new(metrics.clone()).group("shop");
    let to = Delivery::new("orders", 0, 0, MessageId::new());
    let mut retried = to.clone();
    retried.attempts = 3;
    call(&layer, published(), Ok(retried)).await;
    let timed_out =
        PublishError::new(ErrorClass::Unavailable, Persistence::NotPersisted, "no").with_code(-192);
    call(&layer, published(), Err(timed_out.into())).await;
    let after = Duration::ZERO;
    for outcome in [
        Outcome::Ack,
        Outcome::Ack,
        Outcome::Retry { after: None },
        Outcome::Defer { after },
        Outcome::Moved { to },
    ] {
        call(&layer, handled(), Ok(outcome)).await;
    }
    let mut routed = handled();
    routed
        .extensions_mut()
        .insert(MatchedRoute::new("tenant-*"));
    call(&layer, routed, Err("no".into())).await;
}

#[tokio::test]
async fn names_units_and_attributes() {
    let sdk = Sdk::new();
    exercise(&sdk.metrics()).await;
    let send = "messaging.destination.name=orders messaging.operation.name=send \
                messaging.operation.type=send";
    let process = |outcome: &str, destination: &str| {
        format!(
            "kafka_tower.outcome={outcome} messaging.consumer.group.name=shop \
             messaging.destination.name={destination} messaging.operation.name=process \
             messaging.operation.type=process"
        )
    };
    let common = "messaging.consumer.group.name=shop messaging.destination.name=orders \
                  messaging.operation.name=process messaging.operation.type=process";
    let exported = |unit: &str, kind, points: &[(&str, f64)]| Exported {
        unit: unit.to_owned(),
        kind,
        points: owned(points),
    };
    let sent = [
        (send, 1.0),
        (&*format!("error.type=MessageTimedOut {send}"), 1.0),
    ];
    let consumed = [
        (&*process("acked", "orders"), 2.0),
        (
            &*format!("error.type=retriable {}", process("retried", "orders")),
            1.0,
        ),
        (&*process("deferred", "orders"), 1.0),
        (&*process("moved", "orders"), 1.0),
        (
            &*format!("error.type=retriable {}", process("failed", "tenant-*")),
            1.0,
        ),
    ];
    let expected = [
        (
            "messaging.client.operation.duration",
            exported("s", "histogram", &sent),
        ),
        (
            "messaging.client.sent.messages",
            exported("{message}", "counter", &sent),
        ),
        (
            "messaging.process.duration",
            exported("s", "histogram", &consumed),
        ),
        (
            "messaging.client.consumed.messages",
            exported("{message}", "counter", &consumed),
        ),
        (
            "kafka_tower.retries",
            exported("{retry}", "counter", &[(send, 2.0), (common, 1.0)]),
        ),
        (
            "kafka_tower.dead_letters",
            exported("{message}", "counter", &[(common, 1.0)]),
        ),
        (
            "kafka_tower.deferrals",
            exported("{message}", "counter", &[(common, 1.0)]),
        ),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(name, one)| (name.to_owned(), one))
        .collect();
    assert_eq!(sdk.collect(), expected);
}

#[tokio::test]
async fn the_version_of_the_conventions_is_a_choice() {
    let sdk = Sdk::new();
    let metrics = OtelMetrics::builder()
        .meter(sdk.provider.meter("test"))
        .semconv(SemConv::V1_45)
        .build();
    exercise(&metrics).await;
    let points = sdk.points("kafka_tower.dead_letters");
    let (attributes, _) = points.first_key_value().expect("a point");
    assert!(
        attributes.contains("messaging.system.name=kafka"),
        "{attributes}"
    );
}

#[tokio::test]
async fn the_global_provider_is_the_default() {
    let sdk = Sdk::new();
    // Nothing is heard of what was made before.
    let early = OtelMetrics::new();
    opentelemetry::global::set_meter_provider(sdk.provider.clone());
    exercise(&early).await;
    assert_eq!(sdk.points("messaging.client.sent.messages"), [].into());
    exercise(&OtelMetrics::default()).await;
    assert_eq!(sdk.points("messaging.client.sent.messages").len(), 2);
    let finished = sdk.exporter.get_finished_metrics().expect("metrics");
    let scope = finished[0].scope_metrics().next().expect("a scope").scope();
    assert_eq!(scope.name(), "kafka-tower");
    let schema = "https://opentelemetry.io/schemas/1.44.0";
    assert_eq!(scope.schema_url(), Some(schema));
}

#[tokio::test]
async fn prometheus_names_them_as_the_conventions_say() {
    let registry = prometheus::Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()
        .expect("an exporter");
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let metrics = OtelMetrics::builder().meter(provider.meter("test")).build();
    exercise(&metrics).await;
    let breaker = CircuitBreakerLayer::consecutive(1, Duration::from_secs(1));
    metrics.observe_circuit("payments", &breaker.monitor());
    let mut names: Vec<_> = registry
        .gather()
        .iter()
        .map(|family| family.name().to_owned())
        .filter(|name| !name.starts_with("target_info") && !name.starts_with("otel_scope"))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "kafka_tower_circuit_breaker_open_circuits",
            "kafka_tower_circuit_breaker_state",
            "kafka_tower_dead_letters_total",
            "kafka_tower_deferrals_total",
            "kafka_tower_retries_total",
            "messaging_client_consumed_messages_total",
            "messaging_client_operation_duration_seconds",
            "messaging_client_sent_messages_total",
            "messaging_process_duration_seconds",
        ]
    );
    let mut text = String::new();
    prometheus::TextEncoder::new()
        .encode_utf8(&registry.gather(), &mut text)
        .expect("text");
    let acked = "messaging_process_duration_seconds_count{kafka_tower_outcome=\"acked\",\
                 messaging_consumer_group_name=\"shop\",messaging_destination_name=\"orders\"";
    assert!(text.contains(acked), "{text}");
}
