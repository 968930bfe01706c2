//! Topics that are subscribed to by a prefix of their names.

use kafka_tower::{
    ConsumerSettings, ProducerRecord, Router, ServeError, extract::Topic, testing::TestKafka,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{
    bed::{Bed, Running, soon},
    support::run,
    topics::beside,
};

/// Settings that name no topic, for a consumer that looks for new ones often.
fn settings(bed: &Bed) -> ConsumerSettings {
    let settings = match bed.mock() {
        Some(kafka) => kafka.settings(&bed.group),
        None => ConsumerSettings::new(bed.brokers(), &bed.group),
    };
    settings.set("topic.metadata.refresh.interval.ms", "200")
}

/// Serves a handler that tells the topics of its records.
fn serve_prefix(bed: &Bed, settings: ConsumerSettings) -> (Running, UnboundedReceiver<String>) {
    let (seen, topics) = unbounded_channel();
    let handler = async move |Topic(topic): Topic| {
        seen.send(topic.to_string()).unwrap();
    };
    let router = Router::new().topic_prefix(format!("{}.", bed.topic), handler);
    (Running::start(settings, router), topics)
}

async fn new_topic(bed: &Bed, suffix: &str) -> String {
    let topic = beside(bed, suffix).await;
    bed.send(ProducerRecord::to(topic.as_str()).payload(""))
        .await;
    topic
}

#[test]
fn topics_are_found_when_they_are_created_and_dead_letters_are_left_alone() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let first = new_topic(&bed, ".first").await;
        new_topic(&bed, ".first.dlq").await;
        new_topic(&bed, "xfirst").await;
        let (running, mut topics) = serve_prefix(&bed, settings(&bed));
        let seen = soon("the first topic", topics.recv()).await;
        assert_eq!(seen.as_ref(), Some(&first));
        // Else it may come again: the mock cluster refuses commits while a group rebalances.
        running
            .status(0, "the first is committed", |one| one.committed == Some(1))
            .await;

        let second = new_topic(&bed, ".second").await;
        new_topic(&bed, ".second.dlq").await;
        let seen = soon("the second topic", topics.recv()).await;
        assert_eq!(seen.as_ref(), Some(&second));
        let assigned = running.handle.partitions().into_iter();
        let assigned = Vec::from_iter(assigned.map(|one| one.topic));
        assert_eq!(assigned, [first, second]);
        running.stop().await;
    });
}

#[test]
fn there_may_be_no_topic_yet() {
    run(async {
        let bed = Bed::new(1).await;
        let (running, mut topics) = serve_prefix(&bed, settings(&bed));
        let first = new_topic(&bed, ".first").await;
        let seen = soon("the first topic", topics.recv()).await;
        assert_eq!(seen, Some(first));
        assert_eq!(running.stop().await.acked, 1);
    });
}

#[test]
fn the_new_group_protocol_finds_them_too() {
    run(async {
        let bed = Bed::new(1).await;
        if bed.mock().is_some() {
            eprintln!("only on a real broker");
            return;
        }
        let first = new_topic(&bed, ".first").await;
        new_topic(&bed, ".first.dlq").await;
        let settings = settings(&bed).set("group.protocol", "consumer");
        let (running, mut topics) = serve_prefix(&bed, settings);
        let seen = soon("the first topic", topics.recv()).await;
        assert_eq!(seen.as_ref(), Some(&first));
        let assigned = running.handle.partitions();
        assert_eq!(assigned.len(), 1, "{assigned:?}");
        assert_eq!(running.stop().await.acked, 1);
    });
}

#[test]
fn a_dead_letter_topic_that_is_named_is_consumed() {
    run(async {
        let bed = Bed::new(1).await;
        let letters = new_topic(&bed, ".first.dlq").await;
        let (seen, mut topics) = unbounded_channel();
        let letter = async move |Topic(topic): Topic| seen.send(topic.to_string()).unwrap();
        let router = Router::new()
            .topic_prefix(format!("{}.", bed.topic), async || {})
            .topic(letters.as_str(), letter);
        let running = Running::start(settings(&bed), router);
        let seen = soon("the dead letter", topics.recv()).await;
        assert_eq!(seen, Some(letters));
        running.stop().await;
    });
}

#[test]
fn prefixes_that_can_not_be_are_refused_together() {
    run(async {
        let kafka = TestKafka::from_env().await.unwrap();
        let settings = ConsumerSettings::new(kafka.bootstrap_servers(), "group");
        let router = Router::new()
            .topic("a topic", async || {})
            .topic_prefix("__consumer", async || {})
            .topic_prefix("^a", async || {});
        let error = Running::start(settings, router).end().await.unwrap_err();
        let ServeError::Config(error) = error else {
            panic!("{error}");
        };
        let shown = error.to_string();
        for part in ["`a topic`", "`__consumer` would match", "`^a`"] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
    });
}

#[test]
fn a_topic_of_the_settings_goes_to_the_fallback() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.publish(0, 1).await;
        let (seen, mut topics) = unbounded_channel();
        let router = Router::new()
            .topic_prefix("tenant-", async || {})
            .fallback(async move |Topic(topic): Topic| seen.send(topic.to_string()).unwrap());
        let running = bed.serve(router);
        let seen = soon("the record", topics.recv()).await;
        assert_eq!(seen.as_ref(), Some(&bed.topic));
        running.stop().await;

        // Without one it is an error.
        bed.publish(0, 1).await;
        let router = Router::new().topic_prefix("tenant-", async || {});
        let error = bed.serve(router).end().await.unwrap_err();
        let ServeError::Unhandled { source, .. } = error else {
            panic!("{error}");
        };
        assert!(source.to_string().contains(&bed.topic), "{source}");
    });
}
