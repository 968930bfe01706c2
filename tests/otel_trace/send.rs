//! Send spans.

use kafka_tower::{
    BoxError, ErrorClass, MatchedRoute, Persistence, ProducerRecord, PublishError,
    layers::{
        ServiceBuilderExt, TraceLayer,
        trace::{DefaultMakeSpan, DefaultOnFailure},
    },
    otel::semconv::SemConv,
};
use opentelemetry::trace::{SpanKind, Status};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tracing::{Instrument, info_span};

use crate::{
    exported::{assert_attributes, attributes, ids_of, named_now, sent, span, spans, topic},
    fake::{Fake, Published, delivered, refused},
};

fn record(topic: &str) -> ProducerRecord {
    let record = ProducerRecord::to(topic).key("secret-key");
    record.payload("secret-payload")
}

fn too_large() -> Published {
    let error = PublishError::new(
        ErrorClass::NonRetriable,
        Persistence::NotPersisted,
        "secret-payload is too large",
    );
    Err(error.with_code(10))
}

#[tokio::test]
async fn a_send_span_has_the_names_of_the_conventions() {
    let topic = topic();
    let fake = Fake::new([delivered()]);
    let stack = ServiceBuilder::new().kafka_trace().service(fake.handle());
    let caller = info_span!("caller of a send");
    stack
        .oneshot(record(&topic))
        .instrument(caller)
        .await
        .unwrap();
    let span = span(&topic);
    assert_eq!(span.name, format!("send {topic}"));
    assert_eq!(span.span_kind, SpanKind::Producer);
    assert_eq!(span.status, Status::Unset);
    assert_attributes(
        &span,
        &[
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", &topic),
            ("messaging.destination.partition.id", "0"),
            ("messaging.kafka.offset", "7"),
            ("messaging.message.id", "1"),
            ("kafka_tower.attempt", "1"),
            ("kafka_tower.outcome", "delivered"),
        ],
    );
    let caller = named_now("caller of a send");
    assert_eq!(span.parent_span_id, caller.span_context.span_id());
    assert_eq!(span.links.len(), 0);
    assert_eq!(sent(&fake.calls()[0].headers), ids_of(&span));
}

#[tokio::test]
async fn what_is_asked_for_is_shown_in_the_names_of_the_version() {
    let topic = topic();
    let maker = DefaultMakeSpan::new()
        .semconv(SemConv::V1_45)
        .client_id("order-service-1")
        .server("kafka.internal", 9092)
        .include_key(true)
        .include_body_size(true);
    let layer = TraceLayer::new().make_span_with(maker);
    let record = record(&topic).partition(0).message_id("mine");
    let record = record.extension(MatchedRoute::new("orders-*"));
    layer
        .layer(Fake::new([delivered()]))
        .oneshot(record)
        .await
        .unwrap();
    let span = span(&topic);
    assert_eq!(span.name, "send orders-*");
    assert_attributes(
        &span,
        &[
            ("messaging.system.name", "kafka"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", &topic),
            ("messaging.destination.template", "orders-*"),
            ("messaging.destination.partition.id", "0"),
            ("messaging.client.id", "order-service-1"),
            ("server.address", "kafka.internal"),
            ("server.port", "9092"),
            ("kafka.message.key", "secret-key"),
            ("messaging.message.body.size", "14"),
            ("kafka.offset", "7"),
            // What it was given last.
            ("messaging.message.id", "1"),
            ("kafka_tower.attempt", "1"),
            ("kafka_tower.outcome", "delivered"),
        ],
    );
}

#[tokio::test]
async fn a_tombstone_is_told_and_a_key_that_is_no_text_is_not() {
    let topic = topic();
    let maker = DefaultMakeSpan::new()
        .include_key(true)
        .include_body_size(true);
    let stack = TraceLayer::new()
        .make_span_with(maker)
        .layer(Fake::new([delivered()]));
    let record = ProducerRecord::to(topic.as_str()).key(&[0xff_u8]);
    stack.oneshot(record).await.unwrap();
    let attributes = attributes(&span(&topic));
    assert_eq!(attributes["messaging.kafka.message.tombstone"], "true");
    assert!(!attributes.contains_key("messaging.kafka.message.key"));
    assert!(!attributes.contains_key("messaging.message.body.size"));
}

#[tokio::test]
async fn a_failure_is_an_error_of_the_span_and_shows_no_message() {
    let topic = topic();
    let answers = [too_large(), refused(ErrorClass::Unavailable)];
    let stack = TraceLayer::new().layer(Fake::new(answers));
    for _ in 0..2 {
        let record = record(&topic).partition(3).message_id("m");
        let failed = stack.clone().oneshot(record).await;
        failed.unwrap_err();
    }
    let [first, second] = &spans(&topic)[..] else {
        panic!("two spans");
    };
    assert_eq!(first.status, Status::error(""));
    assert_attributes(
        first,
        &[
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", &topic),
            ("messaging.destination.partition.id", "3"),
            ("messaging.message.id", "m"),
            ("kafka_tower.attempt", "1"),
            ("kafka_tower.outcome", "failed"),
            ("error.type", "MessageSizeTooLarge"),
        ],
    );
    assert_eq!(second.status, Status::error(""));
    assert_eq!(attributes(second)["error.type"], "unavailable");
    assert!(!format!("{first:?}{second:?}").contains("secret"));
}

#[tokio::test]
async fn messages_of_errors_are_shown_on_demand() {
    let topic = topic();
    let layer = TraceLayer::new().on_failure(DefaultOnFailure::new().include_messages(true));
    let failed = layer.layer(Fake::new([too_large()]));
    let error: BoxError = failed.oneshot(record(&topic)).await.unwrap_err().into();
    let Status::Error { description } = span(&topic).status else {
        panic!("an error");
    };
    assert!(
        description.contains("is too large"),
        "{description} {error}"
    );
}

#[tokio::test]
async fn what_is_filtered_out_leaves_the_record_alone() {
    let topic = topic();
    let fake = Fake::new([delivered()]);
    let stack = TraceLayer::new()
        .level(tracing::Level::DEBUG)
        .layer(fake.handle());
    stack.oneshot(record(&topic)).await.unwrap();
    assert_eq!(spans(&topic).len(), 0);
    let calls = fake.calls();
    assert!(calls[0].headers.is_empty() && calls[0].extensions.is_empty());
}
