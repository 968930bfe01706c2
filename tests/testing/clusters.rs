//! The clusters that tests run on.

use std::io::ErrorKind;

use kafka_tower::testing::{EmbeddedKafka, TestKafka};

use crate::support::run;

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
