//! Process spans: names, and how they stand to the spans that the records were sent in.

use std::sync::{Arc, Mutex};

use kafka_tower::{
    BoxError, Classified, ConsumerRecord, Delivery, MatchedRoute, MessageId, Outcome,
    layers::{CatchPanicLayer, TraceLayer, trace::TraceRelation},
    otel::semconv::SemConv,
};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    trace::{SpanId, SpanKind, Status, TraceContextExt},
};
use opentelemetry_sdk::trace::SpanData;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tracing::{Instrument, info_span};

use crate::{
    exported::{
        PARENT, assert_attributes, attributes, ids, ids_of, links, named_now, read, span, spans,
        topic,
    },
    fake::{Fake, Handled},
};

/// Handles a record and gives its span.
async fn process(layer: TraceLayer, record: ConsumerRecord) -> SpanData {
    let topic = record.topic().to_owned();
    let stack = layer.layer(Fake::new([Ok(Outcome::Ack)]));
    let _ = stack.oneshot(record).await.unwrap();
    span(&topic)
}

#[tokio::test]
async fn a_process_span_has_the_names_of_the_conventions() {
    let topic = topic();
    let headers: [(&str, &[u8]); 2] = [
        ("traceparent", PARENT.as_bytes()),
        ("message-id", b"order-1"),
    ];
    let layer = TraceLayer::new()
        .group("order-service")
        .client_id("order-service-1")
        .server("kafka.internal", 9092);
    // What happens to be entered is no parent.
    let span = process(layer, read(&topic, &headers))
        .instrument(info_span!("who polls"))
        .await;
    assert_eq!(span.name, format!("process {topic}"));
    assert_eq!(span.span_kind, SpanKind::Consumer);
    assert_eq!(span.status, Status::Unset);
    assert_attributes(
        &span,
        &[
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", &topic),
            ("messaging.destination.partition.id", "3"),
            ("messaging.kafka.offset", "7"),
            ("messaging.consumer.group.name", "order-service"),
            ("messaging.client.id", "order-service-1"),
            ("messaging.message.id", "order-1"),
            ("server.address", "kafka.internal"),
            ("server.port", "9092"),
            ("kafka_tower.attempt", "1"),
            ("kafka_tower.outcome", "acked"),
        ],
    );
    let (trace, parent) = ids(PARENT);
    assert_eq!(span.span_context.trace_id(), trace);
    assert_eq!(span.parent_span_id, parent);
    assert!(span.parent_span_is_remote);
    assert_eq!(links(&span), [ids(PARENT)]);
    assert!(!format!("{span:?}").contains("secret"));
}

#[tokio::test]
async fn the_newer_names_and_a_route() {
    let topic = topic();
    let mut record = ConsumerRecord::builder(topic.as_str(), 3, 7)
        .attempt(2)
        .build();
    record
        .extensions_mut()
        .insert(MatchedRoute::new("orders-*"));
    let span = process(TraceLayer::new().semconv(SemConv::V1_45), record).await;
    assert_eq!(span.name, "process orders-*");
    assert_attributes(
        &span,
        &[
            ("messaging.system.name", "kafka"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", &topic),
            ("messaging.destination.template", "orders-*"),
            ("messaging.destination.partition.id", "3"),
            ("kafka.offset", "7"),
            ("kafka.message.tombstone", "true"),
            ("kafka_tower.attempt", "2"),
            ("kafka_tower.outcome", "acked"),
        ],
    );
}

#[tokio::test]
async fn the_user_chooses_parent_and_links() {
    let sent = ids(PARENT);
    let cases = [
        (TraceRelation::ParentAndLink, Some(sent), vec![sent]),
        (TraceRelation::Parent, Some(sent), vec![]),
        (TraceRelation::Link, None, vec![sent]),
        (TraceRelation::Unrelated, None, vec![]),
    ];
    for (relation, parent, linked) in cases {
        let topic = topic();
        let record = read(&topic, &[("traceparent", PARENT.as_bytes())]);
        let span = process(TraceLayer::new().relation(relation), record).await;
        let (trace, span_id) = parent.unwrap_or((span.span_context.trace_id(), SpanId::INVALID));
        assert_eq!(span.span_context.trace_id(), trace, "{relation:?}");
        assert_eq!(span.parent_span_id, span_id, "{relation:?}");
        assert_eq!(span.span_context.trace_id() == sent.0, parent.is_some());
        assert_eq!(links(&span), linked, "{relation:?}");
    }
}

#[tokio::test]
async fn the_last_header_of_a_name_counts() {
    let topic = topic();
    let first = "00-00000000000000000000000000000007-0000000000000008-01";
    let headers = [
        ("traceparent", first.as_bytes()),
        ("traceparent", PARENT.as_bytes()),
    ];
    let span = process(TraceLayer::new(), read(&topic, &headers)).await;
    assert_eq!(links(&span), [ids(PARENT)]);
}

#[tokio::test]
async fn forged_headers_do_no_harm() {
    let long = [b"00-".as_slice(), &[b'-'; 100_000]].concat();
    let forged: [&[u8]; 7] = [
        b"",
        b"nonsense",
        b"00-00000000000000000000000000000000-0000000000000000-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-\xff\xfe-00f067aa0ba902b7-01",
        &long,
    ];
    for value in forged {
        let topic = topic();
        // The last one counts, also where it is good for nothing.
        let headers = [
            ("traceparent", PARENT.as_bytes()),
            ("traceparent", value),
            ("tracestate", &b"\xff"[..]),
            ("baggage", &b"==;;,,\0"[..]),
        ];
        let span = process(TraceLayer::new(), read(&topic, &headers)).await;
        assert!(span.span_context.is_valid());
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        assert_eq!(links(&span), []);
    }
}

#[tokio::test]
async fn the_handler_runs_in_the_span_with_the_baggage() {
    for relation in [TraceRelation::ParentAndLink, TraceRelation::Link] {
        let topic = topic();
        let seen = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&seen);
        let handler = service_fn(move |_: ConsumerRecord| {
            let noted = Arc::clone(&noted);
            let called = Context::current().span().span_context().span_id();
            async move {
                let context = Context::current();
                let customer = context.baggage().get("customer").cloned();
                let polled = context.span().span_context().span_id();
                *noted.lock().unwrap() = Some((called, polled, customer));
                Ok::<_, BoxError>(())
            }
        });
        let headers: [(&str, &[u8]); 2] = [
            ("traceparent", PARENT.as_bytes()),
            ("baggage", b"customer=4711"),
        ];
        let stack = TraceLayer::new().relation(relation).layer(handler);
        let _ = stack.oneshot(read(&topic, &headers)).await.unwrap();
        let id = ids_of(&span(&topic)).1;
        let seen = seen.lock().unwrap().take();
        assert_eq!(seen, Some((id, id, Some("4711".into()))), "{relation:?}");
    }
}

#[tokio::test]
async fn only_what_has_failed_for_good_is_an_error() {
    let answers: [(Handled, &str, Option<&str>); 9] = [
        (Ok(Outcome::Ack), "acked", None),
        (Ok(Outcome::Skip), "skipped", None),
        (Ok(moved()), "moved", None),
        (Ok(Outcome::Retry { after: None }), "retried", None),
        (Ok(defer()), "deferred", None),
        (Ok(Outcome::Stop), "stopped", None),
        (Ok(dead_letter()), "dead_letter", Some("dead_letter")),
        (Err("secret-payload".into()), "failed", Some("retriable")),
        (Err(fatal()), "failed", Some("fatal")),
    ];
    for (answer, outcome, error) in answers {
        let topic = topic();
        let stack = TraceLayer::new().layer(Fake::new([answer]));
        let _ = stack.oneshot(read(&topic, &[])).await;
        let span = span(&topic);
        let mut attributes = attributes(&span);
        assert_eq!(attributes["kafka_tower.outcome"], outcome);
        assert_eq!(attributes.remove("error.type").as_deref(), error);
        let status = error.map_or(Status::Unset, |_| Status::error(""));
        assert_eq!(span.status, status, "{outcome}");
        assert!(!format!("{span:?}").contains("secret"));
    }
}

fn moved() -> Outcome {
    Delivery::new("orders.dlq", 0, 7, MessageId::new()).into()
}

fn defer() -> Outcome {
    let after = std::time::Duration::from_secs(1);
    Outcome::Defer { after }
}

fn dead_letter() -> Outcome {
    let reason = "no".into();
    Outcome::DeadLetter { reason }
}

fn fatal() -> BoxError {
    Classified::fatal("secret-payload").into()
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_kind() {
    let topic = topic();
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .layer(CatchPanicLayer::new())
        .service(service_fn(async |record: ConsumerRecord| {
            assert!(record.payload().is_none(), "secret-payload");
            Ok::<_, BoxError>(())
        }));
    stack.oneshot(read(&topic, &[])).await.unwrap_err();
    assert_eq!(attributes(&span(&topic))["error.type"], "panic");
}

#[tokio::test]
async fn a_dropped_future_ends_its_span_without_an_outcome() {
    let topic = topic();
    let stack = TraceLayer::new().layer(service_fn(|_: ConsumerRecord| {
        std::future::pending::<Result<(), BoxError>>()
    }));
    let call = stack.oneshot(read(&topic, &[]));
    let mut call = Box::pin(call);
    assert!(futures_util::poll!(&mut call).is_pending());
    assert_eq!(spans(&topic).len(), 0);
    drop(call);
    assert!(!attributes(&span(&topic)).contains_key("kafka_tower.outcome"));
}

#[tokio::test]
async fn spans_of_ones_own_get_the_parent_too() {
    let topic = topic();
    let name: &'static str = topic.clone().leak();
    let make = move |_: &ConsumerRecord| info_span!(parent: None, "mine", otel.name = name);
    let layer = TraceLayer::new().make_span_with(make);
    let stack = layer.layer(Fake::new([Ok(Outcome::Ack)]));
    let record = read(&topic, &[("traceparent", PARENT.as_bytes())]);
    let _ = stack.oneshot(record).await.unwrap();
    let span = named_now(name);
    assert_eq!(
        (span.span_context.trace_id(), span.parent_span_id),
        ids(PARENT)
    );
}

#[tokio::test]
async fn a_span_that_was_entered_is_linked_at_least() {
    let topic = topic();
    let name: &'static str = topic.clone().leak();
    let make = move |_: &ConsumerRecord| {
        let span = info_span!(parent: None, "mine", otel.name = name);
        span.in_scope(|| ());
        span
    };
    let layer = TraceLayer::new()
        .make_span_with(make)
        .relation(TraceRelation::Parent);
    let stack = layer.layer(Fake::new([Ok(Outcome::Ack)]));
    let record = read(&topic, &[("traceparent", PARENT.as_bytes())]);
    let _ = stack.oneshot(record).await.unwrap();
    assert_eq!(links(&named_now(name)), [ids(PARENT)]);
}
