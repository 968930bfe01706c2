//! All that this process exports, to look at.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use kafka_tower::{ConsumerRecord, Headers};
use opentelemetry::{
    global,
    propagation::TextMapCompositePropagator,
    trace::{SpanId, TraceId, TracerProvider},
};
use opentelemetry_sdk::{
    propagation::{BaggagePropagator, TraceContextPropagator},
    trace::{InMemorySpanExporter, SdkTracerProvider, SpanData},
};
use tokio::time::interval;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::bed::soon;

/// A context as somebody else would send it.
pub(crate) const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Exports the spans of all threads from the first call on.
fn exporter() -> &'static InMemorySpanExporter {
    static EXPORTER: OnceLock<InMemorySpanExporter> = OnceLock::new();
    EXPORTER.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("test"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        tracing_subscriber::registry()
            .with(EnvFilter::new(
                "info,kafka_tower::poll=debug,kafka_tower::commit=debug",
            ))
            .with(spans)
            .init();
        global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ]));
        exporter
    })
}

/// Starts to export, and gives a topic that no other test has.
pub(crate) fn topic() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    exporter();
    format!("orders-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The spans of a topic that have ended, as they ended.
pub(crate) fn spans(topic: &str) -> Vec<SpanData> {
    let all = exporter().get_finished_spans().expect("spans");
    let of_topic = |span: &SpanData| {
        let name = attributes(span).remove("messaging.destination.name");
        name.as_deref() == Some(topic)
    };
    let spans: Vec<_> = all.into_iter().filter(of_topic).collect();
    spans.iter().for_each(assert_no_key_is_there_twice);
    spans
}

/// OTLP forbids that, of spans and of their events.
#[track_caller]
fn assert_no_key_is_there_twice(span: &SpanData) {
    let events = span.events.iter().map(|event| &event.attributes);
    for attributes in events.chain([&span.attributes]) {
        let mut keys: Vec<_> = attributes.iter().map(|one| one.key.as_str()).collect();
        keys.sort_unstable();
        assert!(keys.is_sorted_by(|a, b| a < b), "{}: {keys:?}", span.name);
    }
}

/// The only one.
pub(crate) fn span(topic: &str) -> SpanData {
    let mut spans = spans(topic);
    assert_eq!(spans.len(), 1, "{spans:?}");
    spans.remove(0)
}

/// Waits for a number of spans of this name.
pub(crate) async fn named(topic: &str, name: &str, count: usize) -> Vec<SpanData> {
    let mut often = interval(Duration::from_millis(10));
    soon(&format!("{count} spans `{name}`"), async {
        loop {
            let mut spans = spans(topic);
            spans.retain(|span| span.name == name);
            if spans.len() >= count {
                return spans;
            }
            often.tick().await;
        }
    })
    .await
}

/// A span of this name that is none of a record's.
pub(crate) fn named_now(name: &str) -> SpanData {
    let all = exporter().get_finished_spans().expect("spans");
    let mut found = all.into_iter().filter(|span| span.name == name);
    found.next().expect("such a span")
}

pub(crate) fn attributes(span: &SpanData) -> BTreeMap<String, String> {
    let attributes = span.attributes.iter();
    attributes
        .map(|one| (one.key.to_string(), one.value.to_string()))
        .collect()
}

/// Asserts that a span has these attributes and no others.
#[track_caller]
pub(crate) fn assert_attributes(span: &SpanData, expected: &[(&str, &str)]) {
    let expected = expected.iter();
    let expected: BTreeMap<_, _> = expected
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(attributes(span), expected);
}

/// The trace and the span that the last `traceparent` names.
#[track_caller]
pub(crate) fn sent(headers: &Headers) -> (TraceId, SpanId) {
    assert_eq!(headers.get_all("traceparent").count(), 1);
    let value = headers.get("traceparent").expect("a traceparent");
    ids(std::str::from_utf8(value).expect("text"))
}

pub(crate) fn ids(traceparent: &str) -> (TraceId, SpanId) {
    let mut parts = traceparent.split('-').skip(1);
    let mut next = || parts.next().expect("a part");
    let trace = TraceId::from_hex(next()).expect("a trace");
    (trace, SpanId::from_hex(next()).expect("a span"))
}

pub(crate) fn ids_of(span: &SpanData) -> (TraceId, SpanId) {
    (span.span_context.trace_id(), span.span_context.span_id())
}

/// The spans that a span is linked to.
pub(crate) fn links(span: &SpanData) -> Vec<(TraceId, SpanId)> {
    let links = span.links.iter().map(|link| &link.span_context);
    links
        .map(|context| (context.trace_id(), context.span_id()))
        .collect()
}

/// A record at offset 7 of partition 3, with these headers.
pub(crate) fn read(topic: &str, headers: &[(&str, &[u8])]) -> ConsumerRecord {
    let mut all = Headers::new();
    for (key, value) in headers {
        all.append(*key, *value);
    }
    let record = ConsumerRecord::builder(topic, 3, 7).key("secret-key");
    record.payload("secret-payload").headers(all).build()
}
