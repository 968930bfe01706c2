//! What one run of the benchmark was asked for, and how subjects take turns.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use kafka_tower::{ProducerRecord, ProducerSettings, PublishExt, Publisher, testing::TestKafka};
use tokio::time::timeout;

use crate::report::{Report, Sample};

/// A wait that takes longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);
/// How many preloaded records are on their way at once.
const PRELOADING: usize = 10_000;
const KEYS: usize = 1_000;

pub(crate) struct Run {
    pub(crate) kafka: TestKafka,
    pub(crate) rounds: usize,
    pub(crate) records: Option<usize>,
    /// Properties of librdkafka for all consumers.
    pub(crate) properties: Vec<(String, String)>,
}

impl Run {
    pub(crate) fn records(&self, default: usize) -> usize {
        self.records.unwrap_or(default)
    }

    /// Lets each subject be measured once a round, in an order that moves on with each round. The
    /// first one is what the others are held against.
    pub(crate) async fn compare(
        &self,
        work: &'static str,
        subjects: &[&'static str],
        mut measure: impl AsyncFnMut(&'static str) -> Sample,
    ) -> Report {
        let mut report = Report::new(work);
        for round in 0..self.rounds {
            let mut samples = Vec::new();
            for turn in 0..subjects.len() {
                let subject = (turn + round) % subjects.len();
                samples.push((subject, measure(subjects[subject]).await));
            }
            samples.sort_by_key(|(subject, _)| *subject);
            samples
                .into_iter()
                .for_each(|(_, sample)| report.add(sample));
        }
        report
    }

    /// A topic with as many records of `bytes` bytes in each of its partitions, under 1 000 keys.
    pub(crate) async fn preload(&self, partitions: usize, each: usize, bytes: usize) -> String {
        self.preload_with(partitions, each, &vec![b'x'; bytes])
            .await
    }

    /// The same with this payload.
    pub(crate) async fn preload_with(
        &self,
        partitions: usize,
        each: usize,
        payload: &[u8],
    ) -> String {
        let topic = self.topic(partitions).await;
        let settings = ProducerSettings::high_reliability(self.kafka.bootstrap_servers());
        let publisher = Publisher::new(settings.without_message_id_header()).expect("a publisher");
        stream::iter(0..partitions * each)
            .map(|index| {
                let key = index % KEYS;
                // Equal keys in one partition, however many there are.
                let partition = match partitions < KEYS {
                    true => key % partitions,
                    false => index % partitions,
                };
                let record = ProducerRecord::to(topic.as_str())
                    .partition(i32::try_from(partition).expect("a partition"))
                    .key(key.to_string())
                    .payload(payload);
                publisher.send(record)
            })
            .buffer_unordered(PRELOADING)
            .try_for_each(async |_| Ok(()))
            .await
            .expect("delivered");
        topic
    }

    pub(crate) async fn topic(&self, partitions: usize) -> String {
        let partitions = i32::try_from(partitions).expect("a number of partitions");
        let topic = self.kafka.unique_topic("bench", partitions).await;
        topic.expect("a topic")
    }
}

/// The report of a work that would say nothing on the embedded broker.
pub(crate) fn skipped(work: &'static str) -> Report {
    eprintln!("{work}: only on a real broker (KAFKA_BOOTSTRAP_SERVERS)");
    Report::new(work)
}

/// Ends with a panic what doesn't end by itself.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
