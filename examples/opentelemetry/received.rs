//! What a collector is sent, as plain data.
#![allow(dead_code, reason = "the test looks at more of it than the example")]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{self as metrics, metric::Data, number_data_point},
    trace::v1::{self as trace, status::StatusCode},
};

/// Attributes by their names, all as text.
pub(crate) type Attributes = BTreeMap<String, String>;

/// All that has come so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) spans: Vec<Span>,
    /// By name, each as it was sent last.
    pub(crate) metrics: BTreeMap<String, Metric>,
    pub(crate) logs: Vec<Log>,
    /// Who sent it.
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// `SERVER`, `PRODUCER` and so on.
    pub(crate) kind: &'static str,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    /// The trace and the span of each.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) attributes: Attributes,
    pub(crate) events: Vec<(String, Attributes)>,
    pub(crate) is_error: bool,
    pub(crate) start: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) unit: String,
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: &'static str,
    /// Values, those of histograms are counts, by the attributes on one line.
    pub(crate) points: BTreeMap<String, f64>,
    /// Of a histogram.
    pub(crate) bounds: Vec<f64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) target: String,
    pub(crate) level: String,
    pub(crate) message: String,
    pub(crate) attributes: Attributes,
    /// Empty outside of spans.
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) time: u64,
}

impl From<trace::Span> for Span {
    fn from(span: trace::Span) -> Self {
        let kind = span.kind().as_str_name();
        let links = span.links.iter();
        let events = span.events.into_iter();
        let status = span.status.unwrap_or_default();
        Self {
            kind: kind.trim_start_matches("SPAN_KIND_"),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: links
                .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                .collect(),
            attributes: attributes(span.attributes),
            events: events
                .map(|event| (event.name, attributes(event.attributes)))
                .collect(),
            is_error: status.code() == StatusCode::Error,
            start: span.start_time_unix_nano,
        }
    }
}

impl From<metrics::Metric> for Metric {
    fn from(metric: metrics::Metric) -> Self {
        let mut bounds = Vec::new();
        let (kind, points) = match metric.data {
            Some(Data::Gauge(gauge)) => ("gauge", numbers(gauge.data_points)),
            Some(Data::Sum(sum)) if sum.is_monotonic => ("counter", numbers(sum.data_points)),
            Some(Data::Histogram(histogram)) => {
                let points = histogram.data_points.into_iter().map(|point| {
                    bounds = point.explicit_bounds;
                    (line(point.attributes), point.count as f64)
                });
                ("histogram", points.collect())
            }
            other => panic!("{}: {other:?}", metric.name),
        };
        Self {
            unit: metric.unit,
            kind,
            points,
            bounds,
        }
    }
}

impl Log {
    pub(crate) fn new(target: String, record: LogRecord) -> Self {
        Self {
            target,
            level: record.severity_text,
            message: record.body.map(text).unwrap_or_default(),
            attributes: attributes(record.attributes),
            trace: hex(&record.trace_id),
            span: hex(&record.span_id),
            time: record.observed_time_unix_nano,
        }
    }
}

fn numbers(points: Vec<metrics::NumberDataPoint>) -> BTreeMap<String, f64> {
    let value = |value| match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => f64::NAN,
    };
    let points = points.into_iter();
    points
        .map(|point| (line(point.attributes), value(point.value)))
        .collect()
}

pub(crate) fn attributes(attributes: Vec<KeyValue>) -> Attributes {
    let attributes = attributes.into_iter();
    attributes
        .map(|one| (one.key, one.value.map(text).unwrap_or_default()))
        .collect()
}

fn line(all: Vec<KeyValue>) -> String {
    let named = attributes(all).into_iter();
    let named: Vec<_> = named.map(|(key, value)| format!("{key}={value}")).collect();
    named.join(" ")
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
