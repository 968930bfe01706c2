//! What a send puts into the headers, and what it leaves there.

use kafka_tower::{ConsumerRecord, ProducerRecord, Record, layers::TraceLayer};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    trace::{FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tower::{Layer, ServiceExt};

use crate::{
    exported::{PARENT, ids, ids_of, links, read, sent, span, spans, topic},
    fake::{Fake, delivered},
};

/// Publishes a record and gives it as it comes out of the layer.
async fn publish(record: ProducerRecord) -> ProducerRecord {
    let fake = Fake::new([delivered()]);
    let stack = TraceLayer::new().layer(fake.handle());
    stack.oneshot(record).await.unwrap();
    fake.calls().remove(0)
}

fn text(record: &ProducerRecord, name: &str) -> Option<String> {
    let value = record.headers.get(name)?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

/// The context of somebody who calls.
fn calling(state: &str) -> Context {
    let state = state.parse::<TraceState>().unwrap_or_default();
    let (trace, span) = (TraceId::from(1), SpanId::from(2));
    let caller = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, state);
    Context::new().with_remote_span_context(caller)
}

#[tokio::test]
async fn state_and_baggage_travel_and_what_is_empty_does_not() {
    let topic = topic();
    let context = calling("rojo=1").with_baggage([KeyValue::new("customer", "4711")]);
    let record = ProducerRecord::to(topic.as_str());
    let published = publish(record.clone()).with_context(context).await;
    assert_eq!(text(&published, "tracestate").unwrap(), "rojo=1");
    assert_eq!(text(&published, "baggage").unwrap(), "customer=4711");
    let span = span(&topic);
    assert_eq!(sent(&published.headers), ids_of(&span));
    let (trace, parent) = (span.span_context.trace_id(), span.parent_span_id);
    assert_eq!((trace, parent), (TraceId::from(1), SpanId::from(2)));

    let published = publish(record).await;
    assert_eq!(published.headers.len(), 1);
}

#[tokio::test]
async fn a_context_that_the_sender_set_stays_and_is_linked_to() {
    let topic = topic();
    let record = ProducerRecord::to(topic.as_str()).header("traceparent", PARENT);
    let context = calling("rojo=1").with_baggage([KeyValue::new("customer", "4711")]);
    let published = publish(record).with_context(context).await;
    assert_eq!(sent(&published.headers), ids(PARENT));
    assert_eq!(text(&published, "tracestate"), None);
    assert_eq!(text(&published, "baggage").unwrap(), "customer=4711");
    let span = span(&topic);
    assert_eq!(span.span_context.trace_id(), TraceId::from(1));
    assert_eq!(links(&span), [ids(PARENT)]);
}

#[tokio::test]
async fn baggage_that_the_sender_set_stays() {
    let topic = topic();
    let record = ProducerRecord::to(topic.as_str()).header("baggage", "mine=1");
    let context = calling("").with_baggage([KeyValue::new("customer", "4711")]);
    let published = publish(record).with_context(context).await;
    assert_eq!(text(&published, "baggage").unwrap(), "mine=1");
    assert_eq!(sent(&published.headers), ids_of(&span(&topic)));
    // And still when a copy goes elsewhere.
    let copy = published.to_producer_record(topic.as_str());
    let context = calling("").with_baggage([KeyValue::new("customer", "1")]);
    let published = publish(copy).with_context(context).await;
    assert_eq!(text(&published, "baggage").unwrap(), "mine=1");
}

#[tokio::test]
async fn a_state_without_its_parent_gives_way() {
    let topic = topic();
    let record = ProducerRecord::to(topic.as_str()).header("tracestate", "stale=1");
    let published = publish(record).await;
    assert_eq!(text(&published, "tracestate"), None);
    assert_eq!(sent(&published.headers), ids_of(&span(&topic)));
}

#[tokio::test]
async fn what_came_along_from_elsewhere_gives_way() {
    let topic = topic();
    let headers: [(&str, &[u8]); 3] = [
        ("traceparent", PARENT.as_bytes()),
        ("tracestate", b"stale=1"),
        ("other", &[0xff]),
    ];
    let copy = read("elsewhere", &headers).to_producer_record(topic.as_str());
    let published = publish(copy.clone()).await;
    assert_eq!(sent(&published.headers), ids_of(&span(&topic)));
    assert_eq!(text(&published, "tracestate"), None);
    assert_eq!(published.headers.get("other"), Some(&[0xff][..]));

    // Unless the sender then sets one himself.
    let mine = "00-00000000000000000000000000000007-0000000000000008-01";
    let mut copy = copy;
    copy.headers.insert("traceparent", mine);
    let published = publish(copy).await;
    assert_eq!(sent(&published.headers), ids(mine));
}

#[tokio::test]
async fn a_record_that_an_error_gave_back_has_the_context_of_its_next_send() {
    let topic = topic();
    let fake = Fake::new([
        crate::fake::refused(kafka_tower::ErrorClass::NonRetriable),
        delivered(),
    ]);
    let stack = TraceLayer::new().layer(fake.handle());
    let record = ProducerRecord::to(topic.as_str());
    let error = stack.clone().oneshot(record).await.unwrap_err();
    let record = error.into_record().unwrap();
    stack.oneshot(record).await.unwrap();
    let spans = spans(&topic);
    assert_eq!(spans.len(), 2);
    for (call, span) in fake.calls().iter().zip(&spans) {
        assert_eq!(sent(&call.headers), ids_of(span));
    }
}

#[tokio::test]
async fn a_copy_without_a_span_is_a_copy() {
    let record: ConsumerRecord = read("elsewhere", &[("traceparent", PARENT.as_bytes())]);
    let copy = record.to_producer_record("orders");
    assert_eq!(copy.headers, *record.headers());
}
