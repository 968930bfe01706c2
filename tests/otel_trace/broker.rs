//! From a publisher through Kafka to a handler, with the spans of polls and commits.

use kafka_tower::{
    ConsumerRecord, Outcome, ProducerRecord, PublishExt, layers::TraceLayer, otel::semconv::SemConv,
};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use tower::{Layer, service_fn};

use crate::{
    bed::{Bed, Calls},
    exported::{assert_attributes, attributes, ids_of, links, named, spans, topic},
    support::run,
};

#[test]
fn one_record_is_one_trace_from_send_to_commit() {
    run(async {
        topic();
        let bed = Bed::new(1).await;
        let publisher = TraceLayer::new().layer(bed.publisher.clone());
        let record = ProducerRecord::to(bed.topic.as_str())
            .key("secret")
            .payload("secret");
        publisher.send(record).await.unwrap();

        let calls = Calls::default();
        let handler = TraceLayer::new()
            .group(bed.group.as_str())
            .layer(calls.service(async |_| Ok(())));
        let settings = bed.settings().client_id("trace-test");
        let running = crate::bed::Running::start(settings, handler);
        calls.of(0, 0).await;
        bed.committed_soon(&bed.all_at(1)).await;
        running.stop().await;

        let topic = bed.topic.as_str();
        let one = async |operation: &str| {
            let found = named(topic, &format!("{operation} {topic}"), 1).await;
            assert_eq!(found.len(), 1, "{found:?}");
            found.into_iter().next().expect("one")
        };
        let (send, process) = (one("send").await, one("process").await);
        assert_eq!(process.parent_span_id, ids_of(&send).1);
        assert_eq!(links(&process), [ids_of(&send)]);

        let poll = one("poll").await;
        assert_eq!(poll.span_kind, SpanKind::Client);
        assert_eq!(poll.parent_span_id, SpanId::INVALID);
        assert_eq!(links(&poll), [ids_of(&send)]);
        assert_attributes(
            &poll,
            &[
                ("messaging.system", "kafka"),
                ("messaging.operation.name", "poll"),
                ("messaging.operation.type", "receive"),
                ("messaging.destination.name", topic),
                ("messaging.destination.partition.id", "0"),
                ("messaging.consumer.group.name", &bed.group),
                ("messaging.client.id", "trace-test"),
                ("messaging.batch.message_count", "1"),
            ],
        );

        let commit = one("commit").await;
        assert_eq!(commit.span_kind, SpanKind::Client);
        assert_eq!(commit.parent_span_id, ids_of(&process).1);
        assert_eq!(links(&commit), []);
        assert_attributes(
            &commit,
            &[
                ("messaging.system", "kafka"),
                ("messaging.operation.name", "commit"),
                ("messaging.operation.type", "settle"),
                ("messaging.destination.name", topic),
                ("messaging.destination.partition.id", "0"),
                ("messaging.consumer.group.name", &bed.group),
                ("messaging.client.id", "trace-test"),
                ("messaging.kafka.offset", "1"),
            ],
        );

        let trace = send.span_context.trace_id();
        for span in [&process, &commit] {
            assert_eq!(span.span_context.trace_id(), trace, "{}", span.name);
        }
        let all = spans(topic);
        assert!(all.iter().all(|span| span.status == Status::Unset));
        assert!(!format!("{all:?}").contains("secret"));
    });
}

#[test]
fn a_commit_of_several_records_links_to_their_spans() {
    run(async {
        topic();
        let bed = Bed::new(1).await;
        let publisher = TraceLayer::new().layer(bed.publisher.clone());
        for _ in 0..3 {
            let record = ProducerRecord::to(bed.topic.as_str()).partition(0);
            publisher.send(record).await.unwrap();
        }
        let calls = Calls::default();
        let handler = TraceLayer::new().layer(calls.service(async |_| Ok(())));
        // The end commits, and nothing before it.
        let interval = std::time::Duration::from_secs(3600);
        let settings = bed.settings().commit_interval(interval);
        let settings = settings.semconv(SemConv::V1_45);
        let running = crate::bed::Running::start(settings, handler);
        calls.all_below(0, 3).await;
        running.stop().await;

        let topic = bed.topic.as_str();
        let processed = named(topic, &format!("process {topic}"), 3).await;
        let commit = named(topic, &format!("commit {topic}"), 1).await.remove(0);
        assert_eq!(commit.parent_span_id, SpanId::INVALID);
        assert_eq!(links(&commit), Vec::from_iter(processed.iter().map(ids_of)));
        let commit = attributes(&commit);
        assert_eq!(commit["messaging.system.name"], "kafka");
        assert_eq!(commit["kafka.offset"], "3");

        let sent = named(topic, &format!("send {topic}"), 3).await;
        let polls = named(topic, &format!("poll {topic}"), 1).await;
        let linked: Vec<_> = polls.iter().flat_map(links).collect();
        assert_eq!(linked, Vec::from_iter(sent.iter().map(ids_of)));
        let count = |span| attributes(span)["messaging.batch.message_count"].clone();
        let count = polls
            .iter()
            .map(|span| count(span).parse::<usize>().unwrap());
        assert_eq!(count.sum::<usize>(), 3);
    });
}

#[test]
fn what_passes_no_layer_is_committed_in_a_span_of_its_own() {
    run(async {
        topic();
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let handler =
            service_fn(async |_: ConsumerRecord| Ok::<_, kafka_tower::BoxError>(Outcome::Ack));
        let running = bed.serve(handler);
        bed.committed_soon(&bed.all_at(1)).await;
        running.stop().await;
        let topic = bed.topic.as_str();
        for operation in ["poll", "commit"] {
            let found = named(topic, &format!("{operation} {topic}"), 1).await;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].parent_span_id, SpanId::INVALID);
            assert_eq!(links(&found[0]), []);
        }
    });
}
