//! Metrics: names, units, buckets, points.

use crate::{journey::JOURNEY, received::Metric};

const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

#[track_caller]
fn metric(name: &str) -> &'static Metric {
    let metrics = &JOURNEY.received.metrics;
    let found = metrics.get(name);
    found.unwrap_or_else(|| panic!("{name}: not among {:?}", metrics.keys()))
}

/// Asserts that a metric has these points and no others, apart from the system.
#[track_caller]
fn assert_points(name: &str, unit: &str, kind: &str, expected: &[(String, f64)]) {
    let metric = metric(name);
    assert_eq!((metric.unit.as_str(), metric.kind), (unit, kind), "{name}");
    let points = metric.points.iter().map(|(at, value)| {
        let at = at.replace(" messaging.system=kafka", "");
        (at, *value)
    });
    let mut expected = expected.to_vec();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(Vec::from_iter(points), expected, "{name}");
}

fn sent(topic: &str) -> String {
    format!(
        "messaging.destination.name={topic} messaging.operation.name=send messaging.operation.type=send"
    )
}

fn processed(group: &str, topic: &str) -> String {
    format!(
        "messaging.consumer.group.name={group} messaging.destination.name={topic} \
         messaging.operation.name=process messaging.operation.type=process"
    )
}

#[test]
fn publishing_is_counted_and_timed() {
    let journey = &*JOURNEY;
    let (sent, moved) = (sent(&journey.topic), sent(&journey.dead));
    let failed = format!("error.type=MessageSizeTooLarge {sent}");
    let points = [(sent, 1.0), (failed, 1.0), (moved, 1.0)];
    let (duration, messages) = (
        "messaging.client.operation.duration",
        "messaging.client.sent.messages",
    );
    assert_points(duration, "s", "histogram", &points);
    assert_eq!(metric(duration).bounds, BUCKETS);
    assert_points(messages, "{message}", "counter", &points);
}

#[test]
fn each_attempt_is_counted_and_timed_by_what_came_of_it() {
    let journey = &*JOURNEY;
    let order = processed(&journey.group, &journey.topic);
    let letter = processed(&journey.repair_group, &journey.dead);
    let points = [
        (
            format!("error.type=retriable kafka_tower.outcome=retried {order}"),
            1.0,
        ),
        (format!("kafka_tower.outcome=moved {order}"), 1.0),
        (format!("kafka_tower.outcome=acked {letter}"), 1.0),
    ];
    assert_points("messaging.process.duration", "s", "histogram", &points);
    assert_eq!(metric("messaging.process.duration").bounds, BUCKETS);
    assert_points(
        "messaging.client.consumed.messages",
        "{message}",
        "counter",
        &points,
    );
    let once = [(order, 1.0)];
    assert_points("kafka_tower.retries", "{retry}", "counter", &once);
    assert_points("kafka_tower.dead_letters", "{message}", "counter", &once);
}

#[test]
fn consumers_and_publishers_are_observed() {
    let journey = &*JOURNEY;
    let of = |group: &str| format!("messaging.consumer.group.name={group}");
    let groups = [of(&journey.group), of(&journey.repair_group)];
    let partitions = [(&groups[0], &journey.topic), (&groups[1], &journey.dead)];
    let idle = partitions.map(|(group, topic)| {
        let at = "messaging.destination.partition.id=0";
        (
            format!("{group} messaging.destination.name={topic} {at}"),
            0.0,
        )
    });
    assert_points("kafka_tower.consumer.lag", "{message}", "gauge", &idle);
    let none = groups.clone().map(|group| (group, 0.0));
    let stale = "kafka_tower.consumer.stale_completions";
    assert_points(stale, "{message}", "counter", &none);
    let one = groups.clone().map(|group| (group, 1.0));
    assert_points(
        "kafka_tower.consumer.rebalances",
        "{rebalance}",
        "counter",
        &one,
    );
    assert_eq!(metric("kafka_tower.consumer.poll_age").unit, "s");
    let publisher = [("messaging.client.id=order-service".to_owned(), 0.0)];
    let in_flight = "kafka_tower.publisher.in_flight";
    assert_points(in_flight, "{message}", "gauge", &publisher);
}
