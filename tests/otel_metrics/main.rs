//! Metrics by OpenTelemetry: names, units, buckets and attributes, and what is observed of consumers.

#[path = "../support/consume.rs"]
mod bed;
#[path = "../support/mod.rs"]
mod support;

mod layer;
mod observed;
mod page;

use std::{collections::BTreeMap, time::Duration};

use kafka_tower::{ConsumerRecord, ProducerRecord, otel::OtelMetrics};
use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};
use tokio::time::interval;

/// An SDK that exports into memory when it is asked.
pub(crate) struct Sdk {
    pub(crate) provider: SdkMeterProvider,
    pub(crate) exporter: InMemoryMetricExporter,
}

/// A metric as it was exported: its unit, what it is, and its points by their attributes.
#[derive(Debug, PartialEq)]
pub(crate) struct Exported {
    pub(crate) unit: String,
    pub(crate) kind: &'static str,
    pub(crate) points: BTreeMap<String, f64>,
}

impl Sdk {
    pub(crate) fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone())
            .with_interval(Duration::from_secs(3600))
            .build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        Self { provider, exporter }
    }

    pub(crate) fn metrics(&self) -> OtelMetrics {
        OtelMetrics::builder()
            .meter(self.provider.meter("test"))
            .build()
    }

    /// All that is exported now, by name.
    pub(crate) fn collect(&self) -> BTreeMap<String, Exported> {
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
    pub(crate) fn points(&self, name: &str) -> BTreeMap<String, f64> {
        let exported = self.collect().remove(name);
        exported.map_or_else(BTreeMap::new, |exported| exported.points)
    }

    /// Waits until these are the points of a metric.
    pub(crate) async fn shows(&self, name: &str, expected: &[(&str, f64)]) {
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

pub(crate) fn owned(points: &[(&str, f64)]) -> BTreeMap<String, f64> {
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

pub(crate) fn handled() -> ConsumerRecord {
    ConsumerRecord::builder("orders", 3, 7).key("k").build()
}

pub(crate) fn published() -> ProducerRecord {
    ProducerRecord::to("orders").key("k")
}
