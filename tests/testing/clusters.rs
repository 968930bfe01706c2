//! The clusters that tests run on.

use std::{io::ErrorKind, time::Duration};

use kafka_tower::{
    BoxError, ConsumerRecord, ConsumerSettings, ErrorClass, ProducerRecord, ProducerSettings,
    PublishExt, Publisher,
    testing::{EmbeddedKafka, Request, TestKafka},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tokio::task::spawn_blocking;
use tower::service_fn;

use crate::{
    bed::{Running, SOON, soon},
    capture::logs,
    support::run,
};

const BRIEFLY: Duration = Duration::from_millis(500);

fn order() -> ProducerRecord {
    ProducerRecord::to("orders").payload("tea")
}

fn publisher(kafka: &EmbeddedKafka) -> Publisher {
    let settings = ProducerSettings::low_latency(kafka.bootstrap_servers());
    Publisher::new(settings).unwrap()
}

/// One that gives up soon.
fn hasty(kafka: &EmbeddedKafka) -> Publisher {
    let settings = ProducerSettings::low_latency(kafka.bootstrap_servers());
    Publisher::new(settings.delivery_timeout(BRIEFLY)).unwrap()
}

/// For a single member, which no pause of a busy machine is to cost its partition.
fn settings(kafka: &EmbeddedKafka) -> ConsumerSettings {
    let settings = kafka.settings("group");
    settings.session_timeout(Duration::from_secs(5))
}

#[test]
fn a_topic_that_is_there_already_is_left_as_it_is() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let topic = kafka.unique_topic("twice", 2).await.unwrap();
        kafka.create_topic(&topic, 2).await.unwrap();
        let another = kafka.unique_topic("twice", 2).await.unwrap();
        assert_ne!(topic, another);
        assert!(topic.starts_with("twice") && another.starts_with("twice"));
    });
}

#[test]
fn an_embedded_topic_is_created_once_with_a_legal_name_and_partitions() {
    run(async {
        let kafka = EmbeddedKafka::start().await.unwrap();
        kafka.create_topic("once", 1).unwrap();
        for (topic, partitions, kind) in [
            ("once", 1, ErrorKind::AlreadyExists),
            ("none", 0, ErrorKind::InvalidInput),
            ("no name", 1, ErrorKind::InvalidInput),
            ("nul\0", 1, ErrorKind::InvalidInput),
        ] {
            let error = kafka.create_topic(topic, partitions).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    });
}

#[test]
fn a_cluster_of_several_brokers_starts_and_ends() {
    run(async {
        let kafka = EmbeddedKafka::start_brokers(3).await.unwrap();
        assert_eq!(kafka.bootstrap_servers().split(',').count(), 3);
        kafka.broker_down(3).unwrap();
        kafka.broker_up(3).unwrap();
        assert!(kafka.broker_down(4).is_err());
        drop(kafka);
        assert!(EmbeddedKafka::start_brokers(0).await.is_err());
    });
}

#[test]
fn a_topic_of_a_cluster_has_up_to_three_replicas() {
    run(async {
        for (brokers, replicas) in [(1, 1), (2, 2), (4, 3)] {
            let kafka = EmbeddedKafka::start_brokers(brokers).await.unwrap();
            kafka.create_topic("orders", 1).unwrap();
            let servers = kafka.bootstrap_servers().to_owned();
            let ask = spawn_blocking(move || {
                let client: BaseConsumer = ClientConfig::new()
                    .set("bootstrap.servers", servers)
                    .create()
                    .unwrap();
                let metadata = client.fetch_metadata(Some("orders"), SOON).unwrap();
                metadata.topics()[0].partitions()[0].replicas().len()
            });
            assert_eq!(ask.await.unwrap(), replicas);
        }
    });
}

#[test]
fn a_broker_is_away_until_it_is_back() {
    run(async {
        let kafka = EmbeddedKafka::start().await.unwrap();
        kafka.broker_down(1).unwrap();
        let error = hasty(&kafka).send(order()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retriable);
        kafka.broker_up(1).unwrap();
        let delivery = soon("it is back", publisher(&kafka).send(order())).await;
        delivery.unwrap();
    });
}

#[test]
fn a_consumer_ends_in_order_though_its_cluster_is_gone() {
    run(async {
        let kafka = EmbeddedKafka::start().await.unwrap();
        publisher(&kafka).send(order()).await.unwrap();
        let acks = service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
        let running = Running::start(settings(&kafka).topics(["orders"]), acks);
        let drained = running.handle.drained();
        soon("it is drained", drained).await.unwrap();
        drop(kafka);
        assert_eq!(running.stop().await.acked, 1);
    });
}

#[test]
fn failures_that_have_not_come_up_are_forgotten() {
    const NOT_LEADER: i32 = 6;
    run(async {
        let kafka = EmbeddedKafka::start().await.unwrap();
        kafka.fail_next(Request::Produce, 1_000_000, NOT_LEADER);
        hasty(&kafka).send(order()).await.unwrap_err();
        kafka.stop_failing(Request::Produce);
        let delivery = soon("it is delivered", publisher(&kafka).send(order())).await;
        assert_eq!(delivery.unwrap().offset, Some(0));
    });
}

#[test]
fn every_kind_of_request_fails_on_order_and_clients_get_over_it() {
    run(async {
        let logs = logs();
        for request in [
            Request::Produce,
            Request::Fetch,
            Request::ListOffsets,
            Request::OffsetCommit,
            Request::OffsetFetch,
            Request::FindCoordinator,
            Request::JoinGroup,
            Request::Heartbeat,
            Request::SyncGroup,
            Request::InitProducerId,
            Request::ConsumerGroupHeartbeat,
        ] {
            let kafka = EmbeddedKafka::start().await.unwrap();
            kafka.create_topic("orders", 1).unwrap();
            kafka.fail_next(request, 1, -195);
            let acks = service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
            let settings = match request {
                Request::ConsumerGroupHeartbeat => {
                    let settings = ConsumerSettings::new(kafka.bootstrap_servers(), "group");
                    settings.set("group.protocol", "consumer")
                }
                _ => settings(&kafka),
            };
            let running = Running::start(settings.topics(["orders"]), acks);
            // The cluster's own has begun before the order was given.
            publisher(&kafka).send(order()).await.unwrap();
            // A connection that breaks shows in the log of the client.
            let address = kafka.bootstrap_servers();
            logs.line(&["in state UP", address]).await;
            let drained = running.handle.drained();
            soon(&format!("{request:?}"), drained).await.unwrap();
            assert_eq!(running.stop().await.acked, 1, "{request:?}");
        }
    });
}
