//! Spans: names, kinds, parents, links, attributes, status.

use crate::{
    journey::JOURNEY,
    received::{Attributes, Span},
};

#[track_caller]
fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    // What the subscriber's layer adds of itself: where in the code, in which thread, how busy.
    let own = |name: &str| name.starts_with("messaging.") || name.starts_with("kafka_tower.");
    let shown = |name: &str| own(name) || name.starts_with("server.") || name == "error.type";
    let mut attributes = span.attributes.clone();
    attributes.retain(|name, _| shown(name));
    let expected = expected.iter();
    let expected: Attributes = expected
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(attributes, expected, "{}", span.name);
}

/// As a link names a span.
fn ids(span: &Span) -> (String, String) {
    (span.trace.clone(), span.id.clone())
}

#[test]
fn one_trace_goes_from_a_request_over_both_attempts_to_the_dead_letters_handler() {
    let journey = &*JOURNEY;
    let (topic, dead) = (&journey.topic, &journey.dead);
    let request = journey.span("POST /orders");
    let send = journey.span(&format!("send {topic}"));
    let attempts = journey.spans(&format!("process {topic}"));
    let [first, second] = attempts[..] else {
        panic!("two attempts: {attempts:?}");
    };
    let moved = journey.span(&format!("send {dead}"));
    let repaired = journey.span(&format!("process {dead}"));

    let way = [
        (request, "SERVER", None, vec![]),
        (send, "PRODUCER", Some(request), vec![]),
        (first, "CONSUMER", Some(send), vec![ids(send)]),
        (second, "CONSUMER", Some(send), vec![ids(send)]),
        (moved, "PRODUCER", Some(second), vec![]),
        (repaired, "CONSUMER", Some(moved), vec![ids(moved)]),
    ];
    for (span, kind, parent, links) in way {
        assert_eq!(span.trace, journey.trace, "{}", span.name);
        assert_eq!(span.kind, kind, "{}", span.name);
        let parent = parent.map_or("", |parent| &parent.id);
        assert_eq!(span.parent, parent, "{}", span.name);
        assert_eq!(span.links, links, "{}", span.name);
        assert!(!span.is_error, "{span:?}");
    }
}

#[test]
fn spans_have_the_attributes_of_the_conventions() {
    let journey = &*JOURNEY;
    let (topic, dead) = (journey.topic.as_str(), journey.dead.as_str());
    let sent = |topic| {
        [
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", topic),
            ("messaging.destination.partition.id", "0"),
            ("messaging.kafka.offset", "0"),
            ("kafka_tower.attempt", "1"),
            ("kafka_tower.outcome", "delivered"),
        ]
    };
    let processed = |topic, group, attempt, outcome| {
        [
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", topic),
            ("messaging.destination.partition.id", "0"),
            ("messaging.consumer.group.name", group),
            ("messaging.client.id", "order-service-1"),
            ("server.address", "kafka.internal"),
            ("server.port", "9092"),
            ("messaging.kafka.offset", "0"),
            ("kafka_tower.attempt", attempt),
            ("kafka_tower.outcome", outcome),
        ]
    };
    let send = journey.span(&format!("send {topic}"));
    let id = send.attributes["messaging.message.id"].as_str();
    let with_id = |attributes: &[(&'static str, _)]| {
        let mut attributes = attributes.to_vec();
        attributes.push(("messaging.message.id", id));
        attributes
    };
    assert_attributes(send, &with_id(&sent(topic)));
    let attempts = journey.spans(&format!("process {topic}"));
    let group = journey.group.as_str();
    let [first, second] = ["1 retried", "2 moved"].map(|told| {
        let (attempt, outcome) = told.split_once(' ').expect("two words");
        with_id(&processed(topic, group, attempt, outcome))
    });
    assert_attributes(attempts[0], &first);
    assert_attributes(attempts[1], &second);
    let moved = journey.span(&format!("send {dead}"));
    assert_attributes(moved, &with_id(&sent(dead)));
    let repaired = journey.span(&format!("process {dead}"));
    let group = journey.repair_group.as_str();
    assert_attributes(repaired, &with_id(&processed(dead, group, "1", "acked")));
}

#[test]
fn a_failed_publish_is_an_error_of_its_span_in_the_trace_of_its_request() {
    let journey = &*JOURNEY;
    let sent = journey.spans(&format!("send {}", journey.topic));
    let failed: Vec<_> = sent.into_iter().filter(|span| span.is_error).collect();
    let [failed] = failed[..] else {
        panic!("one error: {failed:?}");
    };
    assert_ne!(failed.trace, journey.trace);
    let requests = journey.spans("POST /orders");
    let request = requests.iter().find(|span| span.id == failed.parent);
    assert_eq!(request.expect("its request").trace, failed.trace);
    assert_attributes(
        failed,
        &[
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", &journey.topic),
            (
                "messaging.message.id",
                &failed.attributes["messaging.message.id"],
            ),
            ("kafka_tower.attempt", "1"),
            ("kafka_tower.outcome", "failed"),
            ("error.type", "MessageSizeTooLarge"),
        ],
    );
}

#[test]
fn a_poll_links_to_what_it_read_and_a_commit_belongs_to_what_it_completes() {
    let journey = &*JOURNEY;
    let send = journey.span(&format!("send {}", journey.topic));
    let polls = journey.spans(&format!("poll {}", journey.topic));
    let poll = polls.iter().find(|poll| poll.links == [ids(send)]);
    let poll = poll.unwrap_or_else(|| panic!("one that links to the send span: {polls:?}"));
    assert_eq!((poll.kind, poll.parent.as_str()), ("CLIENT", ""));
    assert_ne!(poll.trace, journey.trace);
    assert_eq!(poll.attributes["messaging.operation.type"], "receive");
    assert_eq!(poll.attributes["messaging.batch.message_count"], "1");

    let moved = journey.spans(&format!("process {}", journey.topic))[1];
    let commit = journey.span(&format!("commit {}", journey.topic));
    assert_eq!((commit.kind, &commit.parent), ("CLIENT", &moved.id));
    assert_eq!(commit.attributes["messaging.operation.type"], "settle");
    assert_eq!(commit.attributes["messaging.kafka.offset"], "1");
    assert_eq!(
        commit.attributes["messaging.consumer.group.name"],
        journey.group
    );
}

#[test]
fn everything_says_which_service_sent_it_and_nothing_what_the_records_hold() {
    let received = &JOURNEY.received;
    assert!(received.services.iter().all(|one| one == "order-service"));
    // Spans, metrics and logs came apart.
    assert!(received.services.len() >= 3, "{:?}", received.services);
    let all = format!("{received:?}");
    let shown = all.find("secret").map(|at| &all[at.saturating_sub(300)..]);
    assert_eq!(shown, None);
}
