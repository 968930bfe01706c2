//! The clusters that tests run on.

use std::io::ErrorKind;

use kafka_tower::{
    BoxError, ConsumerRecord, ProducerRecord, PublishExt,
    testing::{EmbeddedKafka, Request, TestKafka},
};
use tower::service_fn;

use crate::{
    bed::{Running, soon},
    capture::logs,
    support::run,
};

#[test]
fn a_topic_that_is_there_already_is_left_as_it_is() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let topic = kafka.unique_topic("twice", 2).await.unwrap();
        kafka.create_topic(&topic, 2).await.unwrap();
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
        ] {
            let kafka = EmbeddedKafka::start().await.unwrap();
            kafka.create_topic("orders", 1).unwrap();
            kafka.fail_next(request, 1, -195);
            let acks = service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
            let running = Running::start(kafka.settings("group").topics(["orders"]), acks);
            let order = ProducerRecord::to("orders").payload("tea");
            kafka.publisher().send(order).await.unwrap();
            // A connection that breaks shows in the log of the client.
            let address = kafka.bootstrap_servers();
            logs.line(&["Disconnected", address]).await;
            let drained = running.handle.drained();
            soon(&format!("{request:?}"), drained).await.unwrap();
            assert_eq!(running.stop().await.acked, 1, "{request:?}");
        }
    });
}
