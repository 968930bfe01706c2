//! What is looked at when it is collected: consumers, publishers, circuits.

use std::time::Duration;

use futures_util::FutureExt;
use kafka_tower::{
    BoxError, ConsumerRecord, Outcome, ProducerSettings, Publisher, layers::CircuitBreakerLayer,
    testing::EmbeddedKafka,
};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    Sdk,
    bed::{Bed, Calls, Running, soon},
    handled, owned, published,
    support::run,
};

#[tokio::test(start_paused = true)]
async fn circuits_are_reported_while_they_are_there() {
    let sdk = Sdk::new();
    let metrics = sdk.metrics();
    let layer = CircuitBreakerLayer::consecutive(1, Duration::from_secs(5));
    let keys = CircuitBreakerLayer::consecutive(1, Duration::from_secs(5)).per_key();
    metrics.observe_circuit("one", &layer.monitor());
    metrics.observe_circuit("keys", &keys.monitor());
    let state = |one, keys| {
        let points = [
            ("kafka_tower.circuit_breaker.name=one", one),
            ("kafka_tower.circuit_breaker.name=keys", keys),
        ];
        owned(&points)
    };
    let state_name = "kafka_tower.circuit_breaker.state";
    let open_name = "kafka_tower.circuit_breaker.open_circuits";
    assert_eq!(sdk.points(state_name), state(0.0, 0.0));

    let no = async |_: ConsumerRecord| Err::<Outcome, BoxError>("no".into());
    let _ = layer.layer(service_fn(no)).oneshot(handled()).await;
    for key in ["a", "b"] {
        let record = ConsumerRecord::builder("orders", 0, 0).key(key).build();
        let _ = keys.layer(service_fn(no)).oneshot(record).await;
    }
    assert_eq!(sdk.points(state_name), state(2.0, 2.0));
    assert_eq!(sdk.points(open_name), state(1.0, 2.0));
    tokio::time::advance(Duration::from_secs(5)).await;
    let hanging =
        service_fn(|_: ConsumerRecord| std::future::pending::<Result<Outcome, BoxError>>());
    let mut probe = Box::pin(layer.layer(hanging).oneshot(handled()));
    assert!(probe.as_mut().now_or_never().is_none());
    assert_eq!(sdk.points(state_name), state(1.0, 2.0));
    drop((probe, layer, keys));
    assert_eq!(sdk.points(state_name), [].into());
}

#[tokio::test]
async fn a_publisher_is_reported_while_it_is_there() {
    let kafka = EmbeddedKafka::start().await.expect("a cluster");
    let sdk = Sdk::new();
    let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
    let publisher = Publisher::new(settings).expect("a publisher");
    sdk.metrics().observe_publisher(&publisher, "orders");
    let name = "kafka_tower.publisher.in_flight";
    kafka.broker_down(1).expect("a broker");
    let mut service = publisher.clone();
    let future = service.ready().await.expect("room").call(published());
    assert_eq!(publisher.in_flight(), 1);
    sdk.shows(name, &[("messaging.client.id=orders", 1.0)])
        .await;
    kafka.broker_up(1).expect("a broker");
    soon("it is delivered", future).await.expect("a delivery");
    sdk.shows(name, &[("messaging.client.id=orders", 0.0)])
        .await;
    drop((publisher, service));
    sdk.shows(name, &[]).await;
}

/// Everything that is reported of a consumer.
const OF_CONSUMERS: [&str; 11] = [
    "kafka_tower.consumer.assigned_partitions",
    "kafka_tower.consumer.bytes_held",
    "kafka_tower.consumer.commits",
    "kafka_tower.consumer.commits_refused",
    "kafka_tower.consumer.in_flight",
    "kafka_tower.consumer.lag",
    "kafka_tower.consumer.paused_partitions",
    "kafka_tower.consumer.poll_age",
    "kafka_tower.consumer.rebalances",
    "kafka_tower.consumer.stale_completions",
    "kafka_tower.consumer.waiting",
];

#[test]
fn a_consumer_is_reported_while_it_runs() {
    run(async {
        let bed = Bed::new(2).await;
        bed.publish(0, 5).await;
        bed.publish(1, 3).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let opened = gate.clone();
        let service = calls.service(move |record| {
            let opened = opened.clone();
            async move {
                Ok(match (record.partition(), record.offset()) {
                    (0, 2) => {
                        opened.cancelled().await;
                        Outcome::Ack
                    }
                    (1, 1) if record.attempt() == 1 => Outcome::Retry {
                        after: Some(Duration::from_secs(3600)),
                    },
                    _ => Outcome::Ack,
                })
            }
        });
        let sdk = Sdk::new();
        let settings = bed.settings().drain_timeout(Duration::from_millis(50));
        let running = Running::start_with(settings, service, |serve| {
            sdk.metrics().observe_consumer(&serve.handle(), "shop");
            serve
        });
        calls.of(0, 2).await;
        running.runs(0).await;

        let group = "messaging.consumer.group.name=shop";
        let topic = format!("{group} messaging.destination.name={}", bed.topic);
        let [first, second] =
            [0, 1].map(|one| format!("{topic} messaging.destination.partition.id={one}"));
        let (first, second) = (first.as_str(), second.as_str());
        sdk.shows("kafka_tower.consumer.lag", &[(first, 3.0), (second, 2.0)])
            .await;
        sdk.shows(
            "kafka_tower.consumer.in_flight",
            &[(first, 1.0), (second, 0.0)],
        )
        .await;
        let waiting = "kafka_tower.consumer.waiting";
        sdk.shows(waiting, &[(first, 0.0), (second, 1.0)]).await;
        let paused = "kafka_tower.consumer.paused_partitions";
        assert_eq!(sdk.points(paused), owned(&[(&topic, 0.0)]));
        let handle = running.handle.clone();
        handle.pause(&bed.topic, 1).await.expect("it is assigned");
        sdk.shows(paused, &[(&topic, 1.0)]).await;
        let assigned = "kafka_tower.consumer.assigned_partitions";
        assert_eq!(sdk.points(assigned), owned(&[(&topic, 2.0)]));
        let rebalances = "kafka_tower.consumer.rebalances";
        assert_eq!(sdk.points(rebalances), owned(&[(group, 1.0)]));
        let stale = "kafka_tower.consumer.stale_completions";
        assert_eq!(sdk.points(stale), owned(&[(group, 0.0)]));
        let collected = sdk.collect();
        assert_eq!(collected.keys().collect::<Vec<_>>(), OF_CONSUMERS);
        let bytes = &collected["kafka_tower.consumer.bytes_held"];
        assert_eq!(bytes.unit, "By");
        assert!(bytes.points[group] > 0.0);
        let poll_age = &collected["kafka_tower.consumer.poll_age"];
        assert_eq!(poll_age.unit, "s");
        assert!(poll_age.points[group] < 60.0);

        // The call that hangs is cut off.
        let summary = running.stop().await;
        assert_eq!(sdk.points(stale), owned(&[(group, 1.0)]));
        let commits = sdk.points("kafka_tower.consumer.commits");
        assert_eq!(commits, owned(&[(group, summary.commits as f64)]));
        assert!(summary.commits > 0);
        let left = sdk.collect();
        assert!(left.values().all(|one| one.kind == "counter"), "{left:?}");
        drop(handle);
        assert_eq!(sdk.collect(), [].into());
    });
}

#[test]
fn consumers_of_a_group_are_added_up() {
    run(async {
        let bed = Bed::for_several(2).await;
        bed.fill(1).await;
        let sdk = Sdk::new();
        let metrics = sdk.metrics();
        let both = [0, 1].map(|_| {
            let calls = Calls::default();
            Running::start_with(bed.settings(), calls.acking(), |serve| {
                metrics.observe_consumer(&serve.handle(), "shop");
                serve
            })
        });
        let topic = format!(
            "messaging.consumer.group.name=shop messaging.destination.name={}",
            bed.topic
        );
        let each_has_one = async {
            let mut often = interval(Duration::from_millis(20));
            while !both.iter().all(|one| one.handle.partitions().len() == 1) {
                often.tick().await;
            }
        };
        soon("each has a partition", each_has_one).await;
        sdk.shows("kafka_tower.consumer.assigned_partitions", &[(&topic, 2.0)])
            .await;
        for one in both {
            one.stop().await;
        }
    });
}
