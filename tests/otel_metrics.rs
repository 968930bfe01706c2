//! Metrics by OpenTelemetry: names, units, buckets and attributes, and what is observed of consumers.

#[path = "support/consume.rs"]
mod bed;
mod support;

use std::{collections::BTreeMap, time::Duration};

use bed::{Bed, Calls, Running, soon};
use futures_util::FutureExt;
use kafka_tower::{
    BoxError, ConsumerRecord, Delivery, ErrorClass, MatchedRoute, MessageId, Outcome, Persistence,
    ProducerRecord, PublishError, Record,
    layers::{CircuitBreakerLayer, MetricsLayer},
    otel::{OtelMetrics, semconv::SemConv},
    testing::EmbeddedKafka,
};
use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};
use support::run;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn};

/// An SDK that exports into memory when it is asked.
struct Sdk {
    provider: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

/// A metric as it was exported: its unit, what it is, and its points by their attributes.
#[derive(Debug, PartialEq)]
struct Exported {
    unit: String,
    kind: &'static str,
    points: BTreeMap<String, f64>,
}

impl Sdk {
    fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone())
            .with_interval(Duration::from_secs(3600))
            .build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        Self { provider, exporter }
    }

    fn metrics(&self) -> OtelMetrics {
        OtelMetrics::builder()
            .meter(self.provider.meter("test"))
            .build()
    }

    /// All that is exported now, by name.
    fn collect(&self) -> BTreeMap<String, Exported> {
        self.exporter.reset();
        self.provider.force_flush().expect("an export");
        let finished = self.exporter.get_finished_metrics().expect("metrics");
        let metrics = finished.iter().flat_map(|one| one.scope_metrics());
        let metrics = metrics.flat_map(|scope| scope.metrics());
        let exported = metrics.map(|metric| {
            let (kind, points) = match metric.data() {
                AggregatedMetrics::F64(data) => points(data, |value| value),
                AggregatedMetrics::U64(data) => points(data, |value| value as f64),
                AggregatedMetrics::I64(data) => points(data, |value| value as f64),
            };
            let unit = metric.unit().to_owned();
            let exported = Exported { unit, kind, points };
            (metric.name().to_owned(), exported)
        });
        exported.collect()
    }

    /// The points of one metric.
    fn points(&self, name: &str) -> BTreeMap<String, f64> {
        let exported = self.collect().remove(name);
        exported.map_or_else(BTreeMap::new, |exported| exported.points)
    }

    /// Waits until these are the points of a metric.
    async fn shows(&self, name: &str, expected: &[(&str, f64)]) {
        let expected = owned(expected);
        let mut often = interval(Duration::from_millis(20));
        let mut last = BTreeMap::new();
        let waited = async {
            while last != expected {
                often.tick().await;
                last = self.points(name);
            }
        };
        if tokio::time::timeout(bed::SOON, waited).await.is_err() {
            assert_eq!(last, expected, "{name}");
        }
    }
}

fn owned(points: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let points = points.iter();
    points
        .map(|(at, value)| ((*at).to_owned(), *value))
        .collect()
}

fn points<T: Copy>(
    data: &MetricData<T>,
    value: impl Fn(T) -> f64,
) -> (&'static str, BTreeMap<String, f64>) {
    match data {
        MetricData::Gauge(gauge) => {
            let points = gauge.data_points();
            let points = points.map(|one| (named(one.attributes()), value(one.value())));
            ("gauge", points.collect())
        }
        MetricData::Sum(sum) => {
            let points = sum.data_points();
            let points = points.map(|one| (named(one.attributes()), value(one.value())));
            assert!(sum.is_monotonic());
            ("counter", points.collect())
        }
        MetricData::Histogram(histogram) => {
            let points = histogram.data_points().map(|one| {
                let bounds: Vec<f64> = one.bounds().collect();
                assert_eq!(bounds, BUCKETS);
                (named(one.attributes()), one.count() as f64)
            });
            ("histogram", points.collect())
        }
        MetricData::ExponentialHistogram(_) => panic!("the buckets are explicit"),
    }
}

const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Attributes on one line, in the order of their names, without the system.
fn named<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut named: Vec<_> = attributes
        .map(|one| format!("{}={}", one.key, one.value))
        .filter(|one| one != "messaging.system=kafka")
        .collect();
    named.sort_unstable();
    named.join(" ")
}

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

fn handled() -> ConsumerRecord {
    ConsumerRecord::builder("orders", 3, 7).key("k").build()
}

fn published() -> ProducerRecord {
    ProducerRecord::to("orders").key("k")
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

#[tokio::test(start_paused = true)]
async fn circuits_are_reported_while_they_are_there() {
    let sdk = Sdk::new();
    let metrics = sdk.metrics();
    let layer = CircuitBreakerLayer::consecutive(1, Duration::from_secs(5));
    let keys = CircuitBreakerLayer::consecutive(1, Duration::from_secs(5)).per_key();
    metrics.observe_circuit("one", &layer.monitor());
    metrics.observe_circuit("keys", &keys.monitor());
    let state = |one, keys| {
        let points = [
            ("kafka_tower.circuit_breaker.name=one", one),
            ("kafka_tower.circuit_breaker.name=keys", keys),
        ];
        owned(&points)
    };
    let state_name = "kafka_tower.circuit_breaker.state";
    let open_name = "kafka_tower.circuit_breaker.open_circuits";
    assert_eq!(sdk.points(state_name), state(0.0, 0.0));

    let no = async |_: ConsumerRecord| Err::<Outcome, BoxError>("no".into());
    let _ = layer.layer(service_fn(no)).oneshot(handled()).await;
    for key in ["a", "b"] {
        let record = ConsumerRecord::builder("orders", 0, 0).key(key).build();
        let _ = keys.layer(service_fn(no)).oneshot(record).await;
    }
    assert_eq!(sdk.points(state_name), state(2.0, 2.0));
    assert_eq!(sdk.points(open_name), state(1.0, 2.0));
    tokio::time::advance(Duration::from_secs(5)).await;
    let hanging =
        service_fn(|_: ConsumerRecord| std::future::pending::<Result<Outcome, BoxError>>());
    let mut probe = Box::pin(layer.layer(hanging).oneshot(handled()));
    assert!(probe.as_mut().now_or_never().is_none());
    assert_eq!(sdk.points(state_name), state(1.0, 2.0));
    drop((probe, layer, keys));
    assert_eq!(sdk.points(state_name), [].into());
}

#[tokio::test]
async fn a_publisher_is_reported_while_it_is_there() {
    let kafka = EmbeddedKafka::start().await.expect("a cluster");
    let sdk = Sdk::new();
    let settings = kafka_tower::ProducerSettings::high_reliability(kafka.bootstrap_servers());
    let publisher = kafka_tower::Publisher::new(settings).expect("a publisher");
    sdk.metrics().observe_publisher(&publisher, "orders");
    let name = "kafka_tower.publisher.in_flight";
    kafka.broker_down(1).expect("a broker");
    let mut service = publisher.clone();
    let future = tower::Service::call(service.ready().await.expect("room"), published());
    assert_eq!(publisher.in_flight(), 1);
    sdk.shows(name, &[("messaging.client.id=orders", 1.0)])
        .await;
    kafka.broker_up(1).expect("a broker");
    soon("it is delivered", future).await.expect("a delivery");
    sdk.shows(name, &[("messaging.client.id=orders", 0.0)])
        .await;
    drop((publisher, service));
    sdk.shows(name, &[]).await;
}

/// Everything that is reported of a consumer.
const OF_CONSUMERS: [&str; 11] = [
    "kafka_tower.consumer.assigned_partitions",
    "kafka_tower.consumer.bytes_held",
    "kafka_tower.consumer.commits",
    "kafka_tower.consumer.commits_refused",
    "kafka_tower.consumer.in_flight",
    "kafka_tower.consumer.lag",
    "kafka_tower.consumer.paused_partitions",
    "kafka_tower.consumer.poll_age",
    "kafka_tower.consumer.rebalances",
    "kafka_tower.consumer.stale_completions",
    "kafka_tower.consumer.waiting",
];

#[test]
fn a_consumer_is_reported_while_it_runs() {
    run(async {
        let bed = Bed::new(2).await;
        bed.publish(0, 5).await;
        bed.publish(1, 3).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let opened = gate.clone();
        let service = calls.service(move |record| {
            let opened = opened.clone();
            async move {
                Ok(match (record.partition(), record.offset()) {
                    (0, 2) => {
                        opened.cancelled().await;
                        Outcome::Ack
                    }
                    (1, 1) if record.attempt() == 1 => Outcome::Retry {
                        after: Some(Duration::from_secs(3600)),
                    },
                    _ => Outcome::Ack,
                })
            }
        });
        let sdk = Sdk::new();
        let settings = bed.settings().drain_timeout(Duration::from_millis(50));
        let running = Running::start_with(settings, service, |serve| {
            sdk.metrics().observe_consumer(&serve.handle(), "shop");
            serve
        });
        calls.of(0, 2).await;
        running.runs(0).await;

        let group = "messaging.consumer.group.name=shop";
        let topic = format!("{group} messaging.destination.name={}", bed.topic);
        let [first, second] =
            [0, 1].map(|one| format!("{topic} messaging.destination.partition.id={one}"));
        let (first, second) = (first.as_str(), second.as_str());
        sdk.shows("kafka_tower.consumer.lag", &[(first, 3.0), (second, 2.0)])
            .await;
        sdk.shows(
            "kafka_tower.consumer.in_flight",
            &[(first, 1.0), (second, 0.0)],
        )
        .await;
        let waiting = "kafka_tower.consumer.waiting";
        sdk.shows(waiting, &[(first, 0.0), (second, 1.0)]).await;
        let paused = "kafka_tower.consumer.paused_partitions";
        assert_eq!(sdk.points(paused), owned(&[(&topic, 0.0)]));
        let handle = running.handle.clone();
        handle.pause(&bed.topic, 1).await.expect("it is assigned");
        sdk.shows(paused, &[(&topic, 1.0)]).await;
        let assigned = "kafka_tower.consumer.assigned_partitions";
        assert_eq!(sdk.points(assigned), owned(&[(&topic, 2.0)]));
        let rebalances = "kafka_tower.consumer.rebalances";
        assert_eq!(sdk.points(rebalances), owned(&[(group, 1.0)]));
        let stale = "kafka_tower.consumer.stale_completions";
        assert_eq!(sdk.points(stale), owned(&[(group, 0.0)]));
        let collected = sdk.collect();
        assert_eq!(collected.keys().collect::<Vec<_>>(), OF_CONSUMERS);
        let bytes = &collected["kafka_tower.consumer.bytes_held"];
        assert_eq!(bytes.unit, "By");
        assert!(bytes.points[group] > 0.0);
        let poll_age = &collected["kafka_tower.consumer.poll_age"];
        assert_eq!(poll_age.unit, "s");
        assert!(poll_age.points[group] < 60.0);

        // The call that hangs is cut off.
        let summary = running.stop().await;
        assert_eq!(sdk.points(stale), owned(&[(group, 1.0)]));
        let commits = sdk.points("kafka_tower.consumer.commits");
        assert_eq!(commits, owned(&[(group, summary.commits as f64)]));
        assert!(summary.commits > 0);
        let left = sdk.collect();
        assert!(left.values().all(|one| one.kind == "counter"), "{left:?}");
        drop(handle);
        assert_eq!(sdk.collect(), [].into());
    });
}

#[test]
fn consumers_of_a_group_are_added_up() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(1).await;
        let sdk = Sdk::new();
        let metrics = sdk.metrics();
        let both = [0, 1].map(|_| {
            let calls = Calls::default();
            Running::start_with(bed.settings(), calls.acking(), |serve| {
                metrics.observe_consumer(&serve.handle(), "shop");
                serve
            })
        });
        let topic = format!(
            "messaging.consumer.group.name=shop messaging.destination.name={}",
            bed.topic
        );
        let each_has_one = async {
            let mut often = interval(Duration::from_millis(20));
            while !both.iter().all(|one| one.handle.partitions().len() == 1) {
                often.tick().await;
            }
        };
        soon("each has a partition", each_has_one).await;
        sdk.shows("kafka_tower.consumer.assigned_partitions", &[(&topic, 2.0)])
            .await;
        for one in both {
            one.stop().await;
        }
    });
}
