//! One trace over all attempts, and into the dead letter and through its handler.

use kafka_tower::{
    Backoff, Classified, ConsumerRecord, ErrorClass, Headers, Outcome, ProducerRecord,
    layers::{DeadLetter, RetryLayer, ServiceBuilderExt, TraceLayer, TrackLayer},
};
use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry_sdk::trace::SpanData;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::{
    exported::{PARENT, attributes, ids, ids_of, links, read, sent, span, spans, topic},
    fake::{Fake, Handled, delivered, refused},
};

fn dying() -> Handled {
    Err(Classified::non_retriable("no such customer").into())
}

fn trace(span: &SpanData) -> TraceId {
    span.span_context.trace_id()
}

#[tokio::test(start_paused = true)]
async fn one_send_span_over_all_attempts_with_an_event_for_each_repetition() {
    let topic = topic();
    let retriable = || refused(ErrorClass::Retriable);
    let fake = Fake::new([retriable(), retriable(), delivered()]);
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .layer(TrackLayer::new(()))
        // A second one, for what stands further in.
        .layer(TraceLayer::new().level(tracing::Level::TRACE))
        .layer(RetryLayer::default())
        .service(fake.handle());
    stack
        .oneshot(ProducerRecord::to(topic.as_str()))
        .await
        .unwrap();
    let span = span(&topic);
    let events = span.events.iter().map(|event| {
        let value = |key| {
            let found = event.attributes.iter().find(|one| one.key.as_str() == key);
            found.map(|one| one.value.to_string()).unwrap_or_default()
        };
        (event.name.to_string(), value("attempt"), value("after_ms"))
    });
    let events: Vec<_> = events.collect();
    let event = |attempt: &str, after: &str| {
        let name = "a publish failed and is repeated";
        (name.to_owned(), attempt.to_owned(), after.to_owned())
    };
    assert_eq!(events, [event("2", "1000"), event("3", "2000")]);
    assert_eq!(span.status, Status::Unset);
    assert_eq!(attributes(&span)["kafka_tower.attempt"], "3");
    let calls = fake.calls();
    assert_eq!(calls.len(), 3);
    for call in calls {
        assert_eq!(sent(&call.headers), ids_of(&span));
    }
}

#[tokio::test(start_paused = true)]
async fn inside_of_retry_each_attempt_is_a_span_of_its_own() {
    let topic = topic();
    let fake = Fake::new([refused(ErrorClass::Retriable), delivered()]);
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::default())
        .kafka_trace()
        .service(fake.handle());
    stack
        .oneshot(ProducerRecord::to(topic.as_str()))
        .await
        .unwrap();
    let spans = spans(&topic);
    assert_eq!(spans.len(), 2);
    assert_ne!(trace(&spans[0]), trace(&spans[1]));
    // Each sends its own context.
    for (call, span) in fake.calls().iter().zip(&spans) {
        assert_eq!(sent(&call.headers), ids_of(span));
    }
}

#[tokio::test]
async fn each_attempt_at_a_consumed_record_has_a_span_in_the_same_trace() {
    let topic = topic();
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .retry_with(Backoff::default())
        .service(Fake::new([Err("not yet".into()), Ok(Outcome::Ack)]));
    for attempt in [1, 2] {
        let mut headers = Headers::new();
        headers.append("traceparent", PARENT);
        let record = ConsumerRecord::builder(topic.as_str(), 3, 7).headers(headers);
        let outcome = stack.clone().oneshot(record.attempt(attempt).build()).await;
        let is_retry = matches!(outcome.unwrap(), Outcome::Retry { .. });
        assert_eq!(is_retry, attempt == 1);
    }
    let spans = spans(&topic);
    let told = |key| spans.iter().map(move |span| attributes(span)[key].clone());
    assert_eq!(Vec::from_iter(told("kafka_tower.attempt")), ["1", "2"]);
    assert_eq!(
        Vec::from_iter(told("kafka_tower.outcome")),
        ["retried", "acked"]
    );
    for span in &spans {
        assert_eq!((trace(span), span.parent_span_id), ids(PARENT));
        assert_eq!(span.status, Status::Unset);
    }
}

#[tokio::test]
async fn a_trace_goes_into_the_dead_letter_and_through_its_handler() {
    let topic = topic();
    let dead = format!("{topic}.dlq");
    let letters = Fake::new([delivered()]);
    let letter_box = ServiceBuilder::new()
        .kafka_trace()
        .service(letters.handle());
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .dead_letter(DeadLetter::to(letter_box))
        .service(Fake::new([dying()]));
    let headers: [(&str, &[u8]); 2] = [
        ("traceparent", PARENT.as_bytes()),
        ("tracestate", b"stale=1"),
    ];
    let outcome = stack.oneshot(read(&topic, &headers)).await.unwrap();
    assert!(matches!(outcome, Outcome::Moved { .. }));

    let process = span(&topic);
    let send = span(&dead);
    assert_eq!(send.name, format!("send {dead}"));
    assert_eq!(trace(&send), ids(PARENT).0);
    assert_eq!(send.parent_span_id, ids_of(&process).1);
    let letter = letters.calls().remove(0);
    assert_eq!(sent(&letter.headers), ids_of(&send));

    let record = ConsumerRecord::builder(dead.as_str(), 0, 0);
    let record = record.headers(letter.headers).build();
    let stack = TraceLayer::new().layer(Fake::new([Ok(Outcome::Ack)]));
    let _ = stack.oneshot(record).await.unwrap();
    let handled = spans(&dead).remove(1);
    assert_eq!(handled.name, format!("process {dead}"));
    assert_eq!(trace(&handled), ids(PARENT).0);
    assert_eq!(handled.parent_span_id, ids_of(&send).1);
    assert_eq!(links(&handled), [ids_of(&send)]);
}

#[tokio::test]
async fn a_dead_letter_without_a_send_span_carries_the_process_span() {
    let topic = topic();
    let letters = Fake::new([delivered()]);
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .dead_letter(DeadLetter::to(letters.handle()))
        .service(Fake::new([dying()]));
    let record = read(&topic, &[("traceparent", PARENT.as_bytes())]);
    let _ = stack.oneshot(record).await.unwrap();
    let letter = letters.calls().remove(0);
    assert_eq!(sent(&letter.headers), ids_of(&span(&topic)));
}

#[tokio::test]
async fn a_dead_letter_outside_of_spans_keeps_what_it_came_with() {
    let topic = topic();
    let letters = Fake::new([delivered()]);
    let stack = ServiceBuilder::new()
        .dead_letter(DeadLetter::to(letters.handle()))
        .service(Fake::new([dying()]));
    let record = read(&topic, &[("traceparent", PARENT.as_bytes())]);
    let _ = stack.oneshot(record).await.unwrap();
    assert_eq!(sent(&letters.calls().remove(0).headers), ids(PARENT));
}

#[tokio::test]
async fn a_publish_that_died_carries_its_trace_into_the_dead_letter() {
    let topic = topic();
    let dead = format!("{topic}.dlq");
    let letters = Fake::new([delivered()]);
    let letter_box = TraceLayer::new().layer(letters.handle());
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .dead_letter(DeadLetter::to(letter_box))
        .service(Fake::new([refused(ErrorClass::NonRetriable)]));
    let record = ProducerRecord::to(topic.as_str());
    stack.oneshot(record).await.unwrap_err();
    let (send, moved) = (span(&topic), span(&dead));
    assert_eq!(attributes(&send)["kafka_tower.outcome"], "moved");
    assert_eq!(send.status, Status::error(""));
    assert_eq!(send.parent_span_id, SpanId::INVALID);
    assert_eq!(trace(&moved), trace(&send));
    assert_eq!(moved.parent_span_id, ids_of(&send).1);
    assert_eq!(sent(&letters.calls().remove(0).headers), ids_of(&moved));
}

#[tokio::test]
async fn a_dead_publish_with_a_context_of_the_senders_keeps_it() {
    let topic = topic();
    let letters = Fake::new([delivered()]);
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .dead_letter(DeadLetter::to(TraceLayer::new().layer(letters.handle())))
        .service(Fake::new([refused(ErrorClass::NonRetriable)]));
    let record = ProducerRecord::to(topic.as_str()).header("traceparent", PARENT);
    stack.oneshot(record).await.unwrap_err();
    assert_eq!(sent(&letters.calls().remove(0).headers), ids(PARENT));
}
