//! A topic that is deleted while it is consumed.

use kafka_tower::{ConsumerSettings, testing::TestKafka};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::task::yield_now;

use crate::{
    bed::{Bed, Calls, Running, soon},
    capture::logs,
    support::run,
};

async fn delete(bed: &Bed) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bed.brokers())
        .create()
        .expect("a client");
    let deleted = admin.delete_topics(&[&bed.topic], &AdminOptions::new());
    let deleted = deleted.await.expect("an answer");
    deleted[0].as_ref().expect("it is deleted");
}

/// A consumer of two topics, of which one is deleted and comes back.
fn is_deleted(settings: fn(&Bed) -> ConsumerSettings) {
    run(async {
        let (bed, other) = (Bed::new(1).await, Bed::new(1).await);
        if bed.mock().is_some() {
            println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
            return;
        }
        let logs = logs();
        bed.fill(5).await;
        other.fill(5).await;
        let calls = Calls::default();
        let settings = settings(&bed)
            .topics([&other.topic])
            .set("topic.metadata.refresh.interval.ms", "500");
        let running = Running::start(settings, calls.acking());
        calls.reach(10).await;
        delete(&bed).await;
        // The other one goes on meanwhile, and is committed.
        other.fill(5).await;
        calls.reach(15).await;
        let of_topic = |topic: &str| {
            let all = running.handle.partitions();
            all.into_iter().find(|one| one.topic == topic)
        };
        soon("the other is committed", async {
            while of_topic(&other.topic).is_none_or(|one| one.committed != Some(10)) {
                yield_now().await;
            }
        })
        .await;
        soon("it is given up", async {
            while of_topic(&bed.topic).is_some() {
                yield_now().await;
            }
        })
        .await;

        let kafka = TestKafka::from_env().await.expect("a cluster");
        let created = kafka.create_topic(&bed.topic, 1).await;
        created.expect("a topic");
        bed.fill(3).await;
        calls.reach(18).await;
        other.fill(5).await;
        calls.reach(23).await;
        let summary = running.stop().await;
        // Once it may be told so with the deleted one; then each is committed by itself.
        let refused = ["not committed yet", &other.topic, "UnknownTopicOrPartition"];
        assert!(logs.count(&refused) <= 1);
        assert_eq!((summary.acked, summary.undone.len()), (23, 0));
        let committed = |bed: &Bed| summary.committed[&(bed.topic.clone(), 0)];
        assert_eq!((committed(&bed), committed(&other)), (3, 15));
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}

#[test]
fn a_deleted_topic_is_given_up_and_taken_up_again() {
    is_deleted(Bed::settings);
}

#[test]
fn a_deleted_topic_is_given_up_and_taken_up_again_with_the_consumer_protocol() {
    is_deleted(|bed| bed.plain_settings().set("group.protocol", "consumer"));
}
